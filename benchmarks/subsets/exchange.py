"""Moment exchange against the published formula.

MoEx and MixStyle in float32 on four shapes, the decision made before. ``× formula`` is how many times as fast as the formula
of the authors' code (higher is better), ``clones`` the time divided by that of ``x.clone()`` (lower is better). That both
agree is checked before anything is timed.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from matplotlib.figure import Figure
from scipy.stats import gmean

from benchmarks import figures
from benchmarks.formulas import agree, duels, there_and_back
from benchmarks.results import Row
from benchmarks.timing import Stopwatch

SHAPES = ((128, 64, 32, 32), (64, 64, 56, 56), (16, 256, 56, 56), (256, 16, 32, 32))
FORWARD, BOTH = "forward: × formula", "with backward: × formula"


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Each strategy on each shape."""
    for shape in ((4, 8, 8, 8),) if watch.quick else SHAPES:
        x, weight = torch.randn(shape), torch.randn(shape)
        for duel in duels(shape):
            agree(duel, x)
            found = watch.race(
                {
                    "clone": x.clone,
                    "formula": lambda d=duel, x=x: d.formula(x),
                    "featmix": lambda d=duel, x=x: d.featmix(x),
                    "formula and backward": there_and_back(duel.formula, x, weight),
                    "featmix and backward": there_and_back(duel.featmix, x, weight),
                }
            )
            seconds = {who: each.median for who, each in found.items()}
            values = {
                FORWARD: seconds["formula"] / seconds["featmix"],
                "forward: clones": seconds["featmix"] / seconds["clone"],
                BOTH: seconds["formula and backward"] / seconds["featmix and backward"],
                "with backward: clones": seconds["featmix and backward"] / seconds["clone"],
            }
            yield Row({"shape": "×".join(map(str, shape)), "strategy": duel.name}, values, found)


def summary(found: list[Row]) -> dict[str, float]:
    """Over all shapes and strategies."""
    means = {f"geometric mean, {column}": float(gmean([row.values[column] for row in found])) for column in (FORWARD, BOTH)}
    least = min(row.values[column] for row in found for column in (FORWARD, BOTH))
    return {**means, "least, × formula": least}


def figure(found: list[Row]) -> Figure:
    """Bars: the formula is 1."""
    labels = [" ".join(row.labels.values()) for row in found]
    columns = {column: [row.values[column] for row in found] for column in (FORWARD, BOTH)}
    return figures.bars(labels, columns, "times faster than the published formula", line=1)
