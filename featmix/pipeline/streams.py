"""The random streams of a pipeline's data sets: one for each data set, epoch, rank and position in the epoch's order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.utils.data import get_worker_info

from featmix.pipeline.generators import mixed
from featmix.seeding import derived, rank

SAMPLES, WORKERS, ORDER, PLAIN = 2, 3, 4, 5  # what numbers are derived for


class Place(NamedTuple):
    """The place of an item in an epoch.

    Args:
        key: Seed of the epoch, derived from seed, rank, data set and epoch.
        position: Number of items before it in the epoch's order.
    """

    key: int
    position: int


class Numbered(list[Any]):
    """The indices of a batch, or one index without batches, with their place in the epoch."""

    place: Place

    def __init__(self, indices: Any, place: Place) -> None:
        super().__init__(indices)
        self.place = place

    def __reduce__(self) -> Any:
        return Numbered, (list(self), self.place)


class _Around:
    """The place of the item that a surrounding data set reads."""

    place: Place | None = None


@contextmanager
def within(place: Place | None) -> Iterator[None]:
    """Give a place to data sets of a pipeline whose items are read in this context."""
    before, _Around.place = _Around.place, place
    try:
        yield
    finally:
        _Around.place = before


class Stream:
    """The random stream of one data set.

    With a loader of the pipeline, random numbers depend on the position of a batch in its epoch, and not on the number of
    workers. With another loader, or none, they depend on the number of items read before in this process; in a worker also on
    the seed that the loader gave it, which differs in each epoch and for each worker.

    Args:
        seed: Seed of the pipeline.
        number: Number of the data set in the pipeline.
    """

    def __init__(self, seed: int | None, number: int) -> None:
        self.seed, self.number, self.taken = seed, number, 0
        self.family = ""  # whose data sets it is one of
        self._rank = 0
        self._key: tuple[object, int] | None = None  # of this process, and what it was made for

    def next(self, place: Place | None = None, count: int = 1) -> int:
        """Return the seed for the next items.

        Args:
            place: The place of the first of them, if a loader of the pipeline gives it.
            count: Number of items.
        """
        place = place or _Around.place
        if place is not None:
            return mixed(mixed(*place), self.number)
        info = get_worker_info()
        if info is None and self.seed is None:
            return int(torch.randint(2**63 - 1, ()))
        first, self.taken = self.taken, self.taken + count
        where = None if info is None else info.seed
        if self._key is None or self._key[0] != where:
            words = (self.seed or 0, self.rank(), self.number, PLAIN)
            key = derived(*words) if info is None else derived(*words, info.seed - info.id, info.id)
            self._key = where, key
        return mixed(self._key[1], first)

    def pass_by(self) -> None:
        """Count an item for which nothing is drawn."""
        if _Around.place is None and (self.seed is not None or get_worker_info() is not None):
            self.taken += 1

    @property
    def first_seed(self) -> int:
        """The seed of the order before anything was drawn; without a seed of the pipeline, derived from torch's."""
        return derived(torch.initial_seed() if self.seed is None else self.seed, self.rank(), self.number, ORDER)

    def rank(self) -> int:
        """Return the rank of this process, or if unknown, of the process that sent this object."""
        return rank() or self._rank

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_rank": self.rank(), "_key": None}


class Streamed:
    """A data set that draws from a stream."""

    stream: Stream


def epoch_key(seed: int, number: int, epoch: int) -> int:
    """Return the seed of a data set for one epoch on this rank.

    Args:
        seed: Seed of the pipeline, or one that was drawn for the epoch.
        number: Number of the data set in the pipeline.
        epoch: Number of the epoch.
    """
    return derived(seed, rank(), number, epoch, SAMPLES)
