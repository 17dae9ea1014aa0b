"""Growth with batch, channels and resolution.

Forward, the decision made before, from a shape of 32×32×32×32, one of its sizes at a time, and all at once. Where
tensors are small, what counts is the fixed cost of a call, its checks among it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from matplotlib.figure import Figure

from benchmarks import figures
from benchmarks.formulas import duels
from benchmarks.results import Row
from benchmarks.timing import Stopwatch

START = (32, 32, 32, 32)
SIZES = {
    "everything": ((0, 1, 2, 3), (2, 4, 8, 16, 32)),
    "batch": ((0,), (2, 8, 32, 128)),
    "channels": ((1,), (2, 8, 32, 128)),
    "resolution": ((2, 3), (2, 4, 8, 16, 32, 64)),
}


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Each strategy at each size."""
    for what, (axes, sizes) in SIZES.items():
        for size in sizes[:2] if watch.quick else sizes:
            shape = tuple(size if axis in axes else n for axis, n in enumerate(START))
            x = torch.randn(shape)
            for duel in duels(shape, labels_too=True):
                found = watch.race({"formula": lambda d=duel, x=x: d.formula(x), "featmix": lambda d=duel, x=x: d.featmix(x)})
                ours, theirs = found["featmix"].median, found["formula"].median
                values = {"featmix, µs": 1e6 * ours, "formula, µs": 1e6 * theirs, "× formula": theirs / ours}
                yield Row({"grows": what, "size": str(size), "strategy": duel.name}, values, found)


def summary(found: list[Row]) -> dict[str, float]:
    """The least factor, and how steady the machine was: the shape that all start from is measured several times."""
    least = min(found, key=lambda row: row.values["× formula"])
    name = f"least, × formula ({least.labels['strategy']}, {least.labels['grows']} {least.labels['size']})"
    slower = sum(row.values["× formula"] < 1 for row in found)
    spread = 1.0
    start = [row for row in found if row.labels["size"] == str(START[0])]
    for strategy in {row.labels["strategy"] for row in start}:
        times = [row.values["featmix, µs"] for row in start if row.labels["strategy"] == strategy]
        spread = max(spread, max(times) / min(times))
    return {
        name: least.values["× formula"],
        f"rows of {len(found)} in which the formula is quicker": slower,
        "the starting shape again and again, slowest by quickest": spread,
    }


def figure(found: list[Row]) -> Figure:
    """Lines, on logarithmic axes."""
    return figures.lines(found, across="grows", along="size", each="strategy", columns=("featmix, µs", "formula, µs"))
