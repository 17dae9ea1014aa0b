"""Bandwidth.

What memory gives on 51 MB in float32 — a copy into memory that is ready, a clone into fresh pages, a sum that only reads —
and how much of it each strategy reaches: bytes that it must move at least (features read twice and written once for moments;
read and written once for Mixup and CutMix, the partner's part besides) by its time.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.formulas import duels
from benchmarks.results import Row
from benchmarks.timing import Stopwatch

PASSES = {"mixup": 3, "cutmix": 2}


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Memory, then strategies."""
    x = torch.randn((4, 8, 8, 8) if watch.quick else (64, 64, 56, 56))
    ready, size = x.clone(), x.numel() * x.element_size() / 1e9
    memory = watch.race({"copy into ready memory": lambda: ready.copy_(x), "clone": x.clone, "sum": x.sum})
    for who, found in memory.items():
        passes = 1 if who == "sum" else 2
        yield Row({"what": who}, {"passes": passes, "GB/s": passes * size / found.median}, {who: found})
    for duel in duels(x.shape, labels_too=True):
        found = watch.race({"featmix": lambda d=duel: d.featmix(x)})
        passes = PASSES.get(duel.name, 3)
        yield Row({"what": duel.name}, {"passes": passes, "GB/s": passes * size / found["featmix"].median}, found)
