"""Strategies on features: their kernels, what the host takes, and the published formula, eager and compiled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from benchmarks.device.clock import Clock
from benchmarks.formulas import Duel, Layer, differ, duels, gradient
from benchmarks.results import Row
from benchmarks.timing import Call, Timing

GROUP, COMPILED = "features", "compiled formula"
PASSES = {"mixup": (3, 6), "cutmix": (2, 4)}  # over the features at least, forward and with backward; moments have (3, 8)
LIMITS = {torch.float32: 1e-3, torch.bfloat16: 2e-2}  # of a sample's error, by its norm
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
WAYS = ("forward", "with backward")


class WrongResultError(Exception):
    """featmix and the formula disagree: there is nothing to time."""


@dataclass(frozen=True)
class Case:
    """A strategy on features of one shape, dtype and memory format."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    layout: str
    strategy: str

    def __str__(self) -> str:
        return " ".join(self.labels(GROUP).values())

    def labels(self, group: str) -> dict[str, str]:
        """Columns of its row."""
        dtype = {torch.float32: "float32", torch.bfloat16: "bfloat16"}[self.dtype]
        return {group: "×".join(map(str, self.shape)), "dtype": dtype, "format": self.layout, "strategy": self.strategy}


def row(case: Case, clock: Clock) -> Iterator[Row]:
    """One case against a copy and the eager formula."""
    x, weight, duel = _made(case, clock)
    ready, eager = torch.empty_like(x), duel.typed(case.dtype).formula
    copy, _ = clock.alone(lambda: ready.copy_(x))
    values, timings = {"copy, µs": 1e6 * copy.median}, {"copy": copy}
    passes = PASSES.get(case.strategy, (3, 8))
    for way, least in zip(WAYS, passes, strict=True):
        calls = {"featmix": _call(way, duel.featmix, x, weight), "formula": _call(way, eager, x, weight)}
        paces = clock.race(calls)
        ours, theirs = (_alone(way, who, calls, clock, timings) for who in calls)
        values |= {
            f"{way}: µs on the device": 1e6 * ours.median,
            f"{way}: share of a copy": least / 2 * copy.median / ours.median,
            f"{way}: × formula on the device": theirs.median / ours.median,
            f"{way}: × formula": paces["formula"].wall.median / paces["featmix"].wall.median,
            f"{way}: µs on the host": 1e6 * paces["featmix"].host.median,
        }
        for who, pace in paces.items():
            timings |= {f"{way}, {who}": pace.wall, f"{way}, {who}, host": pace.host}
    yield Row(case.labels(GROUP), values, timings)


def compiled_row(case: Case, clock: Clock) -> Iterator[Row]:
    """One case against the formula as Inductor compiles it, which takes seconds."""
    x, weight, duel = _made(case, clock)
    decision = duel.typed(case.dtype).decision
    torch._dynamo.reset()
    compiled = torch.compile(duel.plain, backend="inductor" if clock.device.type == "cuda" else "eager")

    def layer(z: Tensor) -> Tensor:
        return compiled(z, *decision)

    begun = time.perf_counter()
    layer(x)
    gradient(layer, x, weight)()
    clock.settle()
    values, timings = {"compiling, s": time.perf_counter() - begun}, {}
    for way in WAYS:
        calls = {"featmix": _call(way, duel.featmix, x, weight), COMPILED: _call(way, layer, x, weight)}
        paces = clock.race(calls)
        ours, theirs = (_alone(way, who, calls, clock, timings) for who in calls)
        values |= {
            f"{way}: µs on the device": 1e6 * ours.median,
            f"{way}: compiled, µs on the device": 1e6 * theirs.median,
            f"{way}: × compiled on the device": theirs.median / ours.median,
            f"{way}: × compiled": paces[COMPILED].wall.median / paces["featmix"].wall.median,
        }
        for who, pace in paces.items():
            timings |= {f"{way}, {who}": pace.wall, f"{way}, {who}, host": pace.host}
    yield Row(case.labels(COMPILED), values, timings)


def size_of(row: Row) -> str:
    """The class of a row's size."""
    elements = math.prod(map(int, row.labels[GROUP].split("×")))
    return "200 million elements" if elements >= 1e8 else "everyday sizes"


def _made(case: Case, clock: Clock) -> tuple[Tensor, Tensor, Duel]:
    clock.tidy()
    x, weight = (torch.randn(case.shape, device=clock.device).to(case.dtype) for _ in range(2))
    if len(case.shape) == 4:
        x, weight = (each.contiguous(memory_format=FORMATS[case.layout]) for each in (x, weight))
    made = duels(case.shape, labels_too=True, device=clock.device)
    duel = next(each for each in made if each.name == case.strategy)
    error = differ(duel, x, weight)
    if not error <= LIMITS[case.dtype]:
        raise WrongResultError(f"not timed: a sample is {error:.1e} of its norm off the formula in float32")
    return x, weight, duel


def _call(way: str, layer: Layer, x: Tensor, weight: Tensor) -> Call:
    return partial(layer, x) if way == WAYS[0] else gradient(layer, x, weight)


def _alone(way: str, who: str, calls: dict[str, Callable[[], object]], clock: Clock, timings: dict[str, Timing]) -> Timing:
    found, replayed = clock.alone(calls[who])
    timings[f"{way}, {who}, on the device{'' if replayed else ' by events'}"] = found
    return found
