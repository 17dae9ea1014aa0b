"""A pool of worker processes that survives the death of any of them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self

from featmix.compare.results import Row
from featmix.compare.settings import Settings
from featmix.compare.sources import Source
from featmix.compare.training import Run
from featmix.compare.worker import READY, serve
from featmix.errors import FeatmixError

_DEADLY_STARTS = 2  # workers that may die in a row before they took a run


class Pool:
    """Worker processes, started by `start`, or with the first run.

    Args:
        jobs: Number of processes.
        nested: Whether runs start their own processes, as in data-parallel training.

    Raises:
        FeatmixError: If each worker would run the calling script again.
    """

    def __init__(self, jobs: int, *, nested: bool = False) -> None:
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            fix = 'Put the call under `if __name__ == "__main__":`, since each worker process imports the script.'
            raise FeatmixError("compare", expected="to be called by the main process", got="a call on import", fix=fix)
        self._jobs, self._nested = jobs, nested
        self._workers: list[_Worker] = []

    @property
    def machines(self) -> list[dict[str, object]]:
        """The other machines that made runs: none."""
        return []

    def start(self, limit: int | None = None) -> None:
        """Start the workers unless they run already, at most ``limit``."""
        if not self._workers:
            self._workers = [_Worker(self._nested) for _ in range(self._jobs if limit is None else min(self._jobs, limit))]

    def shrink(self, most: int) -> None:
        """End workers until there are at most ``most``."""
        self._jobs = min(self._jobs, most)
        while len(self._workers) > self._jobs:
            self._workers.pop().end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for worker in self._workers:
            worker.end()

    def make(self, runs: Sequence[Run], settings: Settings, source: Source) -> Iterator[Row]:
        """Make runs and yield their rows when they are finished.

        Args:
            runs: The runs, in the order in which they are assigned.
            settings: Settings of all runs.
            source: The data set; sent to each worker once.

        Raises:
            FeatmixError: If workers die before they take a run, so that no run can be made.
        """
        self.start(limit=len(runs))
        left, deaths = deque(runs), 0
        while len(self._workers) > max(1, len(runs)):
            self._workers.pop().end()
        while left or any(worker.run is not None for worker in self._workers):
            busy = {worker.connection: worker for worker in self._workers if worker.run is not None or not worker.ready}
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]  # only connections were waited for
                try:
                    answer = worker.receive(settings, source)
                except (EOFError, OSError):
                    deaths = deaths + 1 if worker.run is None else 0
                    if worker.run is not None:
                        yield worker.run.row(error=f"the worker process ended with {worker.exit_reason()}")
                    elif deaths >= _DEADLY_STARTS:
                        got = f"one that ended with {worker.exit_reason()} while it started"
                        raise FeatmixError("compare", "jobs", expected="a worker process", got=got) from None
                    worker = self._replace(worker, needed=bool(left))
                else:
                    if answer is not None:
                        yield answer
                if worker.ready and left:
                    worker.hand(left.popleft())

    def _replace(self, dead: _Worker, *, needed: bool) -> _Worker:
        dead.end()
        self._workers.remove(dead)
        if not needed and self._workers:
            return dead
        fresh = _Worker(self._nested)
        self._workers.append(fresh)
        return fresh


class _Worker:
    """One process and its current run."""

    def __init__(self, nested: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=serve, args=(theirs,), daemon=not nested)
        with _interrupts_ignored():
            self._process.start()
        theirs.close()
        self.ready = False
        self.run: Run | None = None

    def receive(self, settings: Settings, source: Source) -> Row | None:
        """Receive a message of the worker: the row of its run, or None if it only reports that it is ready."""
        message = self.connection.recv()
        if message == READY:
            self.connection.send((settings, source))
            self.ready = True
            return None
        self.run, row = None, message
        return row if isinstance(row, Row) else None

    def hand(self, run: Run) -> None:
        """Give the worker its next run; if it is dead, the next `receive` reports it."""
        self.run = run
        with contextlib.suppress(OSError):
            self.connection.send(run)

    def exit_reason(self) -> str:
        """Return the reason why the process ended, as text."""
        self._process.join(5)
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"signal {signal.Signals(-code).name}" + (" (out of memory?)" if code == -9 else "")
        return f"exit code {code}"

    def end(self) -> None:
        """Stop the process, whatever it is doing."""
        self.ready = False
        self._process.terminate()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
        self.connection.close()


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let processes that start here ignore Ctrl-C until they have their own handlers; meanwhile the parent ignores it too."""
    if threading.current_thread() is not threading.main_thread() or os.name != "posix":
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
