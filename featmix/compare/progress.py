"""How far an experiment is: a bar with the time left in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINES = 10  # how many lines a whole experiment writes where there is no terminal


@contextlib.contextmanager
def progress(console: Console, total: int, already: int) -> Iterator[Callable[[str], None]]:
    """Show progress while the context lasts.

    Args:
        console: Where.
        total: Runs in all.
        already: Of these, done before.

    Yields:
        A function to call after each run, with a few words on it.
    """
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("runs,"))
        bar = Progress(
            *columns, TimeElapsedColumn(), TextColumn("gone,"), TimeRemainingColumn(), TextColumn("left"), console=console
        )
        with bar:
            task = bar.add_task("starting", total=total - already)
            yield lambda words: bar.update(task, advance=1, description=words)
    else:
        yield _Lines(console, total, already)


class _Lines:
    """About `LINES` lines, evenly over the runs."""

    def __init__(self, console: Console, total: int, already: int) -> None:
        self._console, self._total, self._done, self._already = console, total, already, already
        self._begun = time.monotonic()
        self._next = 0

    def __call__(self, words: str) -> None:
        self._done += 1
        share = (self._done - self._already) / (self._total - self._already)
        if share * LINES >= self._next or share == 1:
            gone = time.monotonic() - self._begun
            left = gone / share - gone
            self._console.print(f"{self._done} of {self._total} runs, {gone:.0f} s gone, about {left:.0f} s left: {words}")
            self._next = int(share * LINES) + 1
