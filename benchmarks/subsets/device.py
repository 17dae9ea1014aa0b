"""On a CUDA device.

Before anything is timed, results and gradients are compared with the formula's in float32. ``µs on the device`` is what the
kernels take, by replay of a CUDA graph: what counts where the host is ahead. ``µs on the host`` is what enqueueing takes.
``× formula`` compares both sides as called one after the other, whichever of the two is slower. ``share of a copy`` is by a
copy on the device, of as many passes over the features as are needed at least: 3 forward and 8 with backward for moments, 3 and
6 for Mixup, 2 and 4 for CutMix. Formulas compute in the dtype of the features. With images, a call draws and mixes labels too.
A training step is in bfloat16 by autocast, channels_last; blocks of steps with and without take turns, and ``from`` and ``to``
are a 95 % interval of the median, by the bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from scipy.stats import gmean

from benchmarks.device import features, images, steps
from benchmarks.device.budget import Job, carried_out
from benchmarks.device.clock import Clock
from benchmarks.device.features import FORMATS, WAYS, Case
from benchmarks.results import Row
from benchmarks.subsets import host
from benchmarks.timing import Stopwatch

EVERYDAY, LARGE, INPUT = (64, 64, 56, 56), (256, 256, 56, 56), (128, 3, 224, 224)
WIDE, TOKENS = (64, 1024, 14, 14), (64, 197, 768)
STRATEGIES = ("moex pono", "moex in", "mixstyle", "mixup", "cutmix")
COMPILED_STEP = "compiled step"  # a group only by which it is chosen: its rows stand with those of eager steps
missing: list[str] = []


def on_card() -> bool:
    """Its results stand in a file of the card."""
    return True


def rows(watch: Stopwatch) -> Iterator[Row]:
    """What there is time for, the most important first; a rehearsal runs on the CPU too."""
    missing.clear()
    if not torch.cuda.is_available() and not watch.quick:
        missing.append("there is no CUDA device")
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clock = Clock(device, seconds=0.0005, rounds=1) if watch.quick else Clock(device)
    chosen = [job for job in jobs(clock, quick=watch.quick) if not watch.only or job.group in watch.only]
    yield from carried_out(chosen, 60 * watch.minutes, missing)


def jobs(clock: Clock, *, quick: bool) -> Iterator[Job]:
    """All there is to measure, in the order in which it is."""
    first, rest = _cases()
    if quick:
        first, rest = [_tiny(case) for case in first[:10]], [_tiny(case) for case in rest if len(case.shape) == 3][:1]
    network = ("a small network", 10, (4, 3, 16, 16)) if quick else ("resnet50", 1000, INPUT)
    training = steps.Training(*network, clock, **({"blocks": 2, "steps": 1} if quick else {}))
    trained = [Job(f"step with {what}", steps.GROUP, 9, partial(training.row, what)) for what in steps.ORDER]
    yield from (_features(case, clock) for case in first[:20])
    yield from trained[:2]
    yield from (_features(case, clock) for case in first[20:])
    yield from trained[2:]
    for method in ("mixup", "cutmix"):
        batch = (8, 3, 16, 16) if quick else INPUT
        yield Job(f"{method} of images", images.GROUP, 3, partial(images.rows, method, batch, clock, missing))
    race = host.racing(Stopwatch(seconds=0.001, quick=quick), clock.device)
    yield Job("draws", "draw", 3, partial(host.draws, race, clock.device.type))
    for case in first[:1] if quick else _compiled():
        yield Job(f"{features.COMPILED} {case}", features.COMPILED, 15, partial(features.compiled_row, case, clock))
    yield from (_features(case, clock) for case in rest)
    for what in tuple(steps.STRATEGIES)[:1]:
        yield Job(f"compiled step with {what}", COMPILED_STEP, 100, partial(training.row, what, compiled=True))


def summary(found: list[Row]) -> dict[str, float]:
    """Geometric means by the class of size."""
    said = {}
    measured = [row for row in found if features.GROUP in row.labels]
    for size in dict.fromkeys(features.size_of(row) for row in measured):
        for family in dict.fromkeys(row.labels["strategy"].partition(" ")[0] for row in measured):
            each = [r for r in measured if features.size_of(r) == size and r.labels["strategy"].startswith(family)]
            for column in (f"{way}: × formula{where}" for way in WAYS for where in ("", " on the device")):
                values = [row.values[column] for row in each if column in row.values]
                if values:
                    said[f"{size}, {family}, {column}"] = float(gmean(values))
    return said


def headlines(found: list[Row]) -> dict[str, list[str]]:
    """By the class of size, ``moex 3.1 and 4.0``: times the eager formula, forward and with backward."""
    means, said = summary(found), dict[str, list[str]]()
    for name in means:
        size, family, column = name.split(", ")
        if column == f"{WAYS[0]}: × formula":
            both = (means[f"{size}, {family}, {way}: × formula"] for way in WAYS)
            said.setdefault(size, []).append(f"{family} {' and '.join(f'{mean:.1f}' for mean in both)}")
    return said


def _features(case: Case, clock: Clock) -> Job:
    seconds = 4 if case.shape == LARGE else 3
    return Job(f"features {case}", features.GROUP, seconds, partial(features.row, case, clock))


def _cases() -> tuple[list[Case], list[Case]]:
    """What headlines are made of, and all others."""
    half, single = torch.bfloat16, torch.float32
    first = [Case(shape, half, f, name) for shape in (EVERYDAY, LARGE, INPUT) for f in FORMATS for name in STRATEGIES]
    rest = [Case(shape, single, f, "moex pono") for shape in (EVERYDAY, LARGE, INPUT) for f in FORMATS]
    rest += [Case(WIDE, half, f, name) for f in FORMATS for name in STRATEGIES[:2]]
    rest += [Case(TOKENS, dtype, "contiguous", name) for dtype in (half, single) for name in STRATEGIES[:2]]
    rest += [Case(WIDE, single, f, name) for f in FORMATS for name in STRATEGIES[:2]]
    rest += [Case(shape, single, f, name) for shape in (EVERYDAY, LARGE, INPUT) for f in FORMATS for name in STRATEGIES[1:]]
    return first, rest


def _compiled() -> list[Case]:
    shapes = ((LARGE, FORMATS), (EVERYDAY, ("contiguous",)))
    return [Case(shape, torch.bfloat16, f, name) for shape, formats in shapes for f in formats for name in STRATEGIES[:2]]


def _tiny(case: Case) -> Case:
    return Case((4, 8, 6, 6) if len(case.shape) == 4 else (4, 6, 8), case.dtype, case.layout, case.strategy)
