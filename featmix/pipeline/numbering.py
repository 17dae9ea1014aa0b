"""The data sets and loaders of one pipeline, numbered in the order of creation, with the position of each in training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

from featmix.checks import whole
from featmix.errors import FeatmixError
from featmix.pipeline.loader import PipelineLoader
from featmix.pipeline.position import Position, fields_of
from featmix.pipeline.streams import Stream
from featmix.seeding import rank

_WHO = "Pipeline.load_state_dict"


class Numbering:
    """Numbers the data sets of a pipeline, and keeps track of those that still exist.

    Copies, also those pickled to other processes, continue with the next number.
    """

    def __init__(self) -> None:
        self.family, self._count = os.urandom(8).hex(), 0
        self._streams: WeakValueDictionary[int, Stream] = WeakValueDictionary()
        self._loaders: WeakValueDictionary[int, PipelineLoader] = WeakValueDictionary()
        self._awaited: dict[int, Position] = {}  # of a state that was loaded, what is not made yet
        self._known, self._same_rank = 0, True  # of that state: how many data sets it counted, and whose it is

    def stream(self, seed: int | None) -> Stream:
        """Return the random stream of the next data set.

        Args:
            seed: Seed of the pipeline.
        """
        made = Stream(seed, self._count)
        made.family = self.family
        self._count += 1
        self._streams[made.number] = made
        if made.number in self._awaited:
            made.taken = self._awaited[made.number].taken
        return made

    def follow(self, loader: PipelineLoader, stream: Stream) -> None:
        """Register the loader of a data set, which continues from a state that was loaded before.

        Raises:
            FeatmixError: If that state has no loader for this data set.
        """
        number, awaited = stream.number, self._awaited
        if awaited and number not in awaited and number < self._known:
            raise FeatmixError(
                "Pipeline.loader",
                expected=f"data set {', '.join(map(str, sorted(awaited)))} of the state that was loaded",
                got=f"data set {number}",
                fix="Make data sets and loaders in the order of the run that was saved, each once and before its first epoch.",
            )
        loader.follow(stream)
        position = awaited.get(number)
        if position is not None:
            loader.check(position, same_rank=self._same_rank)
            loader.go_on(position)
        self._loaders[number] = loader
        self._arrived(number)

    def state(self, seed: int | None) -> dict[str, Any]:
        """Return the positions of all data sets and loaders.

        Args:
            seed: Seed of the pipeline.
        """
        found = {number: Position(stream.taken) for number, stream in sorted(self._streams.items())}
        found.update({number: loader.position() for number, loader in self._loaders.items()})
        streams = {str(number): position.as_state() for number, position in found.items()}
        return {"seed": seed, "rank": rank(), "datasets": self._count, "streams": streams}

    def load(self, state: Any, seed: int | None) -> None:
        """Continue from a state; data sets and loaders that do not exist yet continue once they are made.

        Args:
            state: Result of :meth:`state`.
            seed: Seed of the pipeline.

        Raises:
            FeatmixError: If it is not such a state, or that of another pipeline; then nothing changes.
        """
        given = fields_of(state, {"seed", "rank", "datasets", "streams"}, "state")
        theirs = given["seed"] if given["seed"] is None else whole(_WHO, "seed", given["seed"])
        if theirs != seed:
            fix = "Make the pipeline with the seed of the run that was saved."
            raise FeatmixError(_WHO, "seed", expected=repr(seed), got=repr(theirs), fix=fix)
        known, same_rank = whole(_WHO, "datasets", given["datasets"]), whole(_WHO, "rank", given["rank"]) == rank()
        positions = _positions(given["streams"], known, seeded=seed is not None)
        if not same_rank:  # whose order is another one
            positions = {number: replace(position, order=None) for number, position in positions.items()}
        loaders = dict(self._loaders)
        for number, loader in loaders.items():
            if number not in positions:
                got = f"those of data sets {', '.join(map(str, sorted(positions)))}" if positions else "none"
                fix = "Make data sets and loaders in the order of the run that was saved."
                raise FeatmixError(_WHO, "streams", expected=f"where the loader of data set {number} was", got=got, fix=fix)
            loader.check(positions[number], same_rank=same_rank)
        self._known, self._same_rank = known, same_rank
        self._awaited = dict(positions)
        for number, stream in list(self._streams.items()):
            if number in positions:
                stream.taken = positions[number].taken
        for number, loader in loaders.items():
            loader.go_on(positions[number])
        for number in list(self._streams):
            self._arrived(number)

    def _arrived(self, number: int) -> None:
        """Continue the numbers of the saved run, once all data sets that existed in it have been made."""
        self._awaited.pop(number, None)
        if not self._awaited:
            self._count = max(self._count, self._known)

    def __getstate__(self) -> dict[str, Any]:
        return {"family": self.family, "_count": self._count}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        vars(self).update(state)


def _positions(streams: Any, known: int, *, seeded: bool) -> dict[int, Position]:
    if not isinstance(streams, Mapping):
        raise FeatmixError(_WHO, "streams", expected="entries by the number of a data set", got=type(streams).__name__)
    found: dict[int, Position] = {}
    for name, entry in streams.items():
        numbered = isinstance(name, str) and name.isascii() and name.isdigit() and len(name) < 20
        if not numbered or int(name) >= known or str(int(name)) != name:
            expected = f"the number of a data set, below {known}"
            raise FeatmixError(_WHO, "streams", expected=expected, got=repr(name))
        found[int(name)] = position = Position.of(entry, f"streams.{name}")
        if (position.drawn is not None) if seeded else (position.drawn is None and position.position):
            expected = f"{'no' if seeded else 'a'} number, for a pipeline {'with' if seeded else 'without'} a seed"
            raise FeatmixError(_WHO, f"streams.{name}.drawn", expected=expected, got=repr(position.drawn))
    return found
