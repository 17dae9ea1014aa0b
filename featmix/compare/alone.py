"""Makes runs in this process, one after the other, for a network that no other process could make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from featmix.compare.models import Factory
from featmix.compare.repeatable import prepared_torch
from featmix.compare.results import Row, one_line
from featmix.compare.settings import Settings
from featmix.compare.sources import Source
from featmix.compare.training import Run, train


class Alone:
    """Makes runs in this process, with the interface of the process pool.

    Args:
        factory: Makes the network.
    """

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        return None

    @property
    def machines(self) -> list[dict[str, object]]:
        """The other machines that made runs: none."""
        return []

    def start(self, limit: int | None = None) -> None:
        """Do nothing, since there is nothing to start."""

    def shrink(self, most: int) -> None:
        """Do nothing, since there is nothing to end."""

    def make(self, runs: Sequence[Run], settings: Settings, source: Source) -> Iterator[Row]:
        """Make runs and yield their rows; generators and threads of the process are restored after each run.

        Args:
            runs: The runs, in the order in which they are made.
            settings: Settings of all runs.
            source: The data set.
        """
        for run in runs:
            with prepared_torch():
                try:
                    row = train(run, settings, source, self._factory)
                except Exception as error:  # a run that fails must not take the others with it
                    row = run.row(error=one_line(f"{type(error).__name__}: {error}"))
            yield row
