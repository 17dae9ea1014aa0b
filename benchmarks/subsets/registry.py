"""Every strategy of the registry.

Defaults at p = 1 on 64×64×56×56 in float32, the decision made before, against the strategy's own formula: what runs where there
is no faster way. A ratio near 1 means that there is none. ``clones`` is the time divided by that of ``x.clone()``: lower is
better.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

import featmix as fm
from benchmarks.formulas import own, there_and_back
from benchmarks.results import Row
from benchmarks.timing import Stopwatch


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Each strategy."""
    shape = (4, 8, 8, 8) if watch.quick else (64, 64, 56, 56)
    x, weight = torch.randn(shape), torch.randn(shape)
    for name in fm.list_strategies():
        formula, ours = own(name, shape)
        found = watch.race(
            {
                "clone": x.clone,
                "formula": lambda f=formula: f(x),
                "featmix": lambda f=ours: f(x),
                "formula and backward": there_and_back(formula, x, weight),
                "featmix and backward": there_and_back(ours, x, weight),
            }
        )
        seconds = {who: each.median for who, each in found.items()}
        values = {
            "forward: clones": seconds["featmix"] / seconds["clone"],
            "forward: × own formula": seconds["formula"] / seconds["featmix"],
            "with backward: clones": seconds["featmix and backward"] / seconds["clone"],
            "with backward: × own formula": seconds["formula and backward"] / seconds["featmix and backward"],
        }
        yield Row({"strategy": name}, values, found)
