"""Progress of a long command: a bar with the time left in a terminal, else a line now and then."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINES = 10  # how many lines a whole command writes where there is no terminal


@contextlib.contextmanager
def progress(
    console: Console, total: int, unit: str, *, already: int = 0, words: str = "starting"
) -> Iterator[Callable[[str], None]]:
    """Show progress while the context lasts.

    Args:
        console: Where.
        total: How many in all.
        unit: What is counted, in the plural.
        already: Of these, done before.
        words: Shown until the first is done.

    Yields:
        A function to call after each, with a few words on how it went or what comes next.
    """
    if console.is_terminal:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn(f"{unit},"))
        times = (TimeElapsedColumn(), TextColumn("gone,"), TimeRemainingColumn(), TextColumn("left"))
        with Progress(*columns, *times, console=console, transient=True) as bar:
            task = bar.add_task(words, total=total - already)
            yield lambda words: bar.update(task, advance=1, description=words)
    else:
        yield _Lines(console, total, unit, already)


class _Lines:
    """About `LINES` lines, evenly over the whole."""

    def __init__(self, console: Console, total: int, unit: str, already: int) -> None:
        self._console, self._total, self._unit, self._done, self._already = console, total, unit, already, already
        self._begun = time.monotonic()
        self._next = 0

    def __call__(self, words: str) -> None:
        self._done += 1
        share = (self._done - self._already) / (self._total - self._already)
        if share * LINES >= self._next or share == 1:
            gone = time.monotonic() - self._begun
            spent = f"{gone:.0f} s gone, about {gone / share - gone:.0f} s left"
            line = f"{self._done} of {self._total} {self._unit}, {spent}: {words}"
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
            self._next = int(share * LINES) + 1
