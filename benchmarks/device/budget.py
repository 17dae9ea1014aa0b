"""Jobs in the order of their importance, as many as there is time for."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.results import Row


@dataclass(frozen=True)
class Job:
    """What gives a row, or some.

    Args:
        name: What a reader is told where it is left out.
        group: The first label of its rows, by which jobs are chosen.
        seconds: How long it takes, by a careful estimate.
        run: Measures.
    """

    name: str
    group: str
    seconds: float
    run: Callable[[], Iterator[Row]]


class TimeIsOut(Exception):  # noqa: N818 - what happened, not what went wrong
    """A job took longer than what was left."""


def carried_out(
    jobs: Iterable[Job], seconds: float, missing: list[str], clock: Callable[[], float] = time.monotonic
) -> Iterator[Row]:
    """The rows of the jobs, as long as there is time.

    A job that needs more than what is left is left out, and smaller ones after it are tried. One that fails, or finds a wrong
    result, leaves its reason, and the next is carried out.

    Args:
        jobs: The most important first.
        seconds: For all of them.
        missing: Takes a line for each job that gave no rows, or not all.
        clock: Seconds, from any beginning.
    """
    begun = clock()
    for job in jobs:
        left = seconds - (clock() - begun)
        if left < job.seconds:
            missing.append(f"{job.name}: takes about {job.seconds:.0f} s, {max(left, 0):.0f} of {seconds:.0f} were left")
            continue
        try:
            with _at_most(left):
                found = list(job.run())
        except Exception as error:  # a card is lent for minutes: whatever fails, the rest is measured
            message = str(error).strip().splitlines() or [""]
            missing.append(f"{job.name}: {type(error).__name__}: {message[0]}")
            continue
        yield from found


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Stop what runs for longer, a compiler for instance; where signals can be had."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise TimeIsOut(f"stopped after {seconds:.0f} s, which were left")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
