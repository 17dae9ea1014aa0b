"""On a CUDA device.

Bandwidth of a forward (three passes over the features) and of a forward with backward (eight) as a share of a copy on the
device, and against the eager and the compiled formula, on 64×64×56×56 in float32 and bfloat16.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.formulas import Duel, duels, there_and_back
from benchmarks.results import Row
from benchmarks.timing import Stopwatch

missing: list[str] = []


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Each strategy that changes moments, in each dtype."""
    if not torch.cuda.is_available():
        missing.append("there is no CUDA device")
        return
    shape = (4, 8, 8, 8) if watch.quick else (64, 64, 56, 56)
    for dtype in (torch.float32, torch.bfloat16):
        for duel in duels(shape):
            yield _row(duel, torch.randn(shape, device="cuda").to(dtype), watch)


def _row(duel: Duel, x: Tensor, watch: Stopwatch) -> Row:
    decision = tuple(each.cuda() if isinstance(each, Tensor) else each for each in duel.decision)
    compiled, ready, weight = torch.compile(duel.plain), torch.empty_like(x), torch.randn_like(x)
    layers = {
        "formula": lambda z: duel.plain(z, *decision),
        "compiled": lambda z: compiled(z, *decision),
        "featmix": duel.featmix,
    }
    forward = watch.race({"copy": lambda: ready.copy_(x), **{who: partial(layer, x) for who, layer in layers.items()}})
    both = watch.race({who: there_and_back(layer, x, weight) for who, layer in layers.items()})
    values = {
        "forward: share of a copy": 1.5 * forward["copy"].median / forward["featmix"].median,
        "forward: × formula": forward["formula"].median / forward["featmix"].median,
        "forward: × compiled": forward["compiled"].median / forward["featmix"].median,
        "with backward: share of a copy": 4 * forward["copy"].median / both["featmix"].median,
        "with backward: × formula": both["formula"].median / both["featmix"].median,
        "with backward: × compiled": both["compiled"].median / both["featmix"].median,
    }
    timings = {**forward, **{f"{who} and backward": each for who, each in both.items()}}
    return Row({"strategy": duel.name, "dtype": str(x.dtype).removeprefix("torch.")}, values, timings)
