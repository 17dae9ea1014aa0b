"""Compare strategies on real images, in domain and under domain shift, with confidence intervals."""

from __future__ import annotations

from featmix.compare.contenders import DEFAULT_STRATEGIES, Contender, contender
from featmix.compare.data import DATA_SETS, read
from featmix.compare.experiment import Comparison, compare
from featmix.compare.intervals import Estimate
from featmix.compare.lengths import compare_lengths
from featmix.compare.network import HIDDEN_SITES, SITES, SmallResNet
from featmix.compare.results import Row, read_rows
from featmix.compare.settings import Settings
from featmix.compare.sources import Images, PhotoSource, RenderedSource, Source, Trial
from featmix.compare.statistics import Summary, summarize
from featmix.compare.styles import DEFAULT_STYLES, STYLES, render
from featmix.compare.training import Run, train

__all__ = [
    "DATA_SETS",
    "DEFAULT_STRATEGIES",
    "DEFAULT_STYLES",
    "HIDDEN_SITES",
    "SITES",
    "STYLES",
    "Comparison",
    "Contender",
    "Estimate",
    "Images",
    "PhotoSource",
    "RenderedSource",
    "Row",
    "Run",
    "Settings",
    "SmallResNet",
    "Source",
    "Summary",
    "Trial",
    "compare",
    "compare_lengths",
    "contender",
    "read",
    "read_rows",
    "render",
    "summarize",
    "train",
]
