"""Competitors timed in turns, so that a machine that slows down slows down all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch.utils.benchmark import Timer

Call = Callable[[], object]
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Timing:
    """Seconds a call takes.

    Args:
        median: Of all runs.
        iqr: From the first quartile to the third.
        runs: How many.
    """

    median: float
    iqr: float
    runs: int


@dataclass(frozen=True)
class Stopwatch:
    """How long to measure.

    Args:
        seconds: For each competitor in each round.
        rounds: How often they take turns.
        quick: Whether this is a rehearsal: small shapes, figures that mean nothing.
        minutes: For a whole subset, where it measures what there is time for.
        only: Of such a subset, these groups of rows; all where none is named.
    """

    seconds: float = 0.4
    rounds: int = 3
    quick: bool = False
    minutes: float = 4.0
    only: tuple[str, ...] = ()

    def race(self, calls: Mapping[str, Call]) -> dict[str, Timing]:
        """Time each call, in turns."""
        for call in calls.values():
            call()
        timers = {who: Timer("call()", globals={"call": call}, num_threads=THREADS) for who, call in calls.items()}
        times: dict[str, list[float]] = {who: [] for who in calls}
        for _ in range(self.rounds):
            for who, timer in timers.items():
                times[who] += timer.blocked_autorange(min_run_time=self.seconds).times
        return {who: timing(values) for who, values in times.items()}

    def pairs(self, one: Call, other: Call, number: int) -> tuple[list[float], list[float]]:
        """Seconds of single runs on the CPU, one and the other in turns, each first every second time; two warm up."""
        calls = (one, other)
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(number + 2):
            for which in (0, 1) if turn % 2 else (1, 0):
                start = time.perf_counter()  # a Timer would warm up each time
                calls[which]()
                if turn > 1:
                    times[which].append(time.perf_counter() - start)
        return times


def timing(times: list[float]) -> Timing:
    """Median and spread of so many seconds."""
    first, median, third = np.quantile(times, [0.25, 0.5, 0.75])
    return Timing(float(median), float(third - first), len(times))
