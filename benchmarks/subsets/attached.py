"""Attached, and nothing drawn.

A model of two empty layers, so that only hooks cost anything: what a forward takes more with a mixer attached to one of them,
in training and in evaluation, and what a draw takes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
from torch import nn

import featmix as fm
from benchmarks.results import Row
from benchmarks.timing import Stopwatch
from featmix.errors import FeatmixWarning


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Training, evaluation, a draw."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FeatmixWarning)  # that nothing is drawn is what is measured
        yield from _rows(watch)


def _rows(watch: Stopwatch) -> Iterator[Row]:
    x = torch.randn(64, 8)
    bare, attached = (nn.Sequential(nn.Identity(), nn.Identity()) for _ in range(2))
    mixer = fm.attach(attached, {"0": fm.MoEx("ln", layout="bc")})
    for mode in ("training", "evaluation"):
        for model in (bare, attached):
            model.train(mode == "training")
        found = watch.race({"bare": lambda: bare(x), "attached": lambda: attached(x)})
        more = 1e6 * (found["attached"].median - found["bare"].median)
        yield Row({"what": f"a forward in {mode}, nothing drawn"}, {"µs more": more}, found)
    attached.train()

    def draw() -> None:
        mixer.draw(x)
        mixer.discard()

    found = watch.race({"draw": draw})
    yield Row({"what": "a draw for 64 samples"}, {"µs more": 1e6 * found["draw"].median}, found)
