"""The streams that a pipeline's data sets draw from: one for each data set, epoch, rank, and place in the epoch's order."""

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
    """Where in an epoch an item is.

    Args:
        key: Of the epoch: made of seed, rank, data set and epoch.
        position: How many items come before it in the epoch's order.
    """

    key: int
    position: int


class Numbered(list[Any]):
    """The indices of a batch, or one index where there are no batches, and where in the epoch they are."""

    place: Place

    def __init__(self, indices: Any, place: Place) -> None:
        super().__init__(indices)
        self.place = place

    def __reduce__(self) -> Any:
        return Numbered, (list(self), self.place)


class _Around:
    """The place of the item that a data set around this one asks for."""

    place: Place | None = None


@contextmanager
def within(place: Place | None) -> Iterator[None]:
    """Data sets of a pipeline that are asked for items meanwhile draw for this place."""
    before, _Around.place = _Around.place, place
    try:
        yield
    finally:
        _Around.place = before


class Stream:
    """From which numbers one data set draws.

    A loader of the pipeline says where each batch is in its epoch: the numbers are made of that, and the number of workers is
    no matter. Under any other loader, and without one, they are made of how many items were asked for before in this process;
    in a worker also of the numbers that the loader gave it, which differ in each epoch and for each worker.

    Args:
        seed: The pipeline's.
        number: Of the data set among the pipeline's.
    """

    def __init__(self, seed: int | None, number: int) -> None:
        self.seed, self.number, self.taken = seed, number, 0
        self.family = ""  # whose data sets it is one of
        self._rank = 0
        self._key: tuple[object, int] | None = None  # of this process, and what it was made for

    def next(self, place: Place | None = None, count: int = 1) -> int:
        """The number that seeds what is drawn for the next items.

        Args:
            place: Where the first of them is, if a loader of the pipeline says so.
            count: How many they are.
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
        """A seed for the order before anything was drawn; without one of the pipeline's, it is made of torch's."""
        return derived(torch.initial_seed() if self.seed is None else self.seed, self.rank(), self.number, ORDER)

    def rank(self) -> int:
        """This process's, or where it does not know, that of the process it was sent from."""
        return rank() or self._rank

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_rank": self.rank(), "_key": None}


class Streamed:
    """A data set that draws from a stream."""

    stream: Stream


def epoch_key(seed: int, number: int, epoch: int) -> int:
    """What a data set's numbers in one epoch are made of, on this rank.

    Args:
        seed: The pipeline's, or one that was drawn for the epoch.
        number: Of the data set among the pipeline's.
        epoch: Which.
    """
    return derived(seed, rank(), number, epoch, SAMPLES)
