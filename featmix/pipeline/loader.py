"""A ``DataLoader`` that knows its position: the epoch, and the number of batches in it."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, IterableDataset

from featmix.errors import FeatmixError
from featmix.pipeline.dataset import TransformedStream
from featmix.pipeline.order import OrderGenerator, samplers_of
from featmix.pipeline.position import Position
from featmix.pipeline.streams import ORDER, WORKERS, Numbered, Place, Stream, epoch_key
from featmix.seeding import derived

_WHO = "Pipeline.loader"


@dataclass
class Run:
    """One pass over a loader.

    Args:
        epoch: Number of the epoch.
        key: Seed of everything that is drawn in it.
        drawn: The number that ``key`` was derived from, if the pipeline has no seed.
        generators: States of the user's generators at its beginning.
        after: Position from which it continues, if another run began the epoch.
        given: Number of batches returned so far.
        checksums: Checksums of the indices of the first batch, the first two batches, and so on.
    """

    epoch: int
    key: int
    drawn: int | None
    generators: tuple[Tensor, ...]
    after: Position | None = None
    given: int = 0
    checksums: list[int] = field(default_factory=list)


class PipelineLoader(DataLoader[Any]):
    """The ``DataLoader`` of :meth:`featmix.Pipeline.loader`: order and random numbers are derived from epoch and position.

    Its state is saved and loaded with that of the pipeline. If a loop over it is left early, a state that is saved before the
    next loop begins continues from that batch.
    """

    _stream: Stream | None = None  # none of a loader that another library makes of its arguments
    _run: Run | None = None
    _next = Position()

    def follow(self, stream: Stream) -> None:
        """Use the stream of a data set."""
        self._stream = stream
        self._seen_epoch = {id(sampler): sampler.epoch for sampler in self._counting()}

    @property
    def epoch(self) -> int:
        """Number of the current epoch, or of the next one if none is in progress."""
        return self.position().epoch

    def position(self) -> Position:
        """Return the current position.

        Raises:
            FeatmixError: If batches come in any order, so that it is unknown which were returned.
        """
        run, taken = self._run, 0 if self._stream is None else self._stream.taken
        if run is None:
            return Position(**{**vars(self._next), "taken": taken})
        if run.given and self.num_workers and not getattr(self, "in_order", True):
            fix = "Take the state between epochs, or give in_order=True."
            got = "a loader with in_order=False, amid an epoch"
            raise FeatmixError("Pipeline.state_dict", expected="batches in order", got=got, fix=fix)
        order = run.checksums[run.given - 1] if run.given and run.checksums else 0
        return Position(taken, run.epoch, run.given, run.drawn, order, run.generators)

    def check(self, position: Position, *, same_rank: bool) -> None:
        """Check that the loader can continue from a position.

        Raises:
            FeatmixError: If the position has other generators than the loader, or those of another rank.
        """
        count = len(self._foreign()) if position.begun else 0
        if len(position.generators) != count or (count and not same_rank):
            got = f"{len(position.generators)} of {'this' if same_rank else 'another'} rank"
            fix = "Save the state of each rank, or leave generators to the pipeline."
            expected = f"states of {count} generators"
            raise FeatmixError("Pipeline.load_state_dict", "generators", expected=expected, got=got, fix=fix)

    def go_on(self, position: Position) -> None:
        """Begin the next pass at a position."""
        self._run, self._next = None, position

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override] # an iterator that counts
        if self._stream is None:
            return super().__iter__()
        run = self._begin(self._stream)
        return self._counted(super().__iter__(), run)

    @property
    def _index_sampler(self) -> Any:
        inner = super()._index_sampler
        numbered = self._stream is not None and not isinstance(self.dataset, IterableDataset)
        return _NumberedSampler(self, inner) if numbered else inner

    def _begin(self, stream: Stream) -> Run:
        before = self._next if self._run is None else Position(epoch=self._run.epoch + 1)
        seed = stream.seed if before.drawn is None else before.drawn
        if seed is None:
            seed = int(torch.randint(2**62, ()))
        drawn = seed if stream.seed is None else None
        key = epoch_key(seed, stream.number, before.epoch)
        if isinstance(self.generator, OrderGenerator):
            self.generator.manual_seed(derived(key, WORKERS))
        for place, sampler in enumerate(samplers_of(vars(self))):
            if isinstance(getattr(sampler, "generator", None), OrderGenerator):
                sampler.generator.manual_seed(derived(key, ORDER, place))
        foreign = self._foreign()
        if before.begun:
            for generator, bits in zip(foreign, before.generators, strict=True):
                generator.set_state(bits)
        for sampler in self._counting():
            if self._seen_epoch.get(id(sampler)) == sampler.epoch:  # nobody has set it since
                sampler.set_epoch(before.epoch)
            self._seen_epoch[id(sampler)] = sampler.epoch
        if isinstance(self.dataset, TransformedStream):
            self.dataset.begin(key, shared=self.persistent_workers and self.num_workers > 0)
        states = tuple(generator.get_state() for generator in foreign)
        self._run = run = Run(before.epoch, key, drawn, states, before if before.begun else None)
        return run

    def _counted(self, batches: Iterator[Any], run: Run) -> Iterator[Any]:
        if run.after is not None:
            run.given = run.after.position
            if isinstance(self.dataset, IterableDataset):
                for number in range(run.given):
                    if next(batches, self) is self:
                        raise _ended(number, run.given)
        for batch in batches:
            run.given += 1
            yield batch
        if self._run is run:
            self._run, self._next = None, Position(epoch=run.epoch + 1)

    def _foreign(self) -> list[Generator]:
        """Return the user's generators that determine the order, each once."""
        held = [self.generator, *(getattr(sampler, "generator", None) for sampler in samplers_of(vars(self)))]
        found = [each for each in held if isinstance(each, Generator) and not isinstance(each, OrderGenerator)]
        return list({id(each): each for each in found}.values())

    def _counting(self) -> list[Any]:
        """Return the samplers that need ``set_epoch``, such as ``DistributedSampler``."""
        return [
            each for each in samplers_of(vars(self)) if callable(getattr(each, "set_epoch", None)) and hasattr(each, "epoch")
        ]


class _NumberedSampler:
    """Yields the loader's indices, each batch with its place in the epoch."""

    def __init__(self, loader: PipelineLoader, inner: Any) -> None:
        self._loader, self._inner = weakref.ref(loader), inner  # a circle would keep workers alive

    def __len__(self) -> int:
        return len(self._inner)

    def __iter__(self) -> Iterator[Any]:
        loader = self._loader()
        if loader is None or loader._run is None:
            return iter(self._inner)
        return _numbered(self._inner, loader._run, batched=loader.batch_sampler is not None)


def _numbered(inner: Any, run: Run, *, batched: bool) -> Iterator[Numbered]:
    position, checksum, count = 0, 0, 0
    skipped = 0 if run.after is None else run.after.position
    for each in inner:
        indices: Sequence[Any] = list(each) if batched else [each]
        checksum = zlib.crc32(_told(indices), checksum)
        run.checksums.append(checksum)
        count += 1
        if count == skipped and run.after is not None and run.after.order not in (None, checksum):
            fix = "Give the loader the same data set, sampler, batch size, and number of ranks."
            got = "another order of samples in this epoch"
            raise FeatmixError(_WHO, expected="the order of the run that was saved", got=got, fix=fix)
        if count > skipped:
            yield Numbered(indices, Place(run.key, position))
        position += len(indices)
    if count < skipped:
        raise _ended(count, skipped)


def _told(indices: Sequence[Any]) -> bytes:
    """Return indices as bytes that are equal in every process; of indices other than numbers and text, only their count."""
    try:
        return np.asarray(indices, dtype=np.int64).tobytes()
    except (OverflowError, TypeError, ValueError):
        return repr([index if isinstance(index, str) else None for index in indices]).encode()


def _ended(count: int, wanted: int) -> FeatmixError:
    fix = "Give the loader the same data set, sampler, batch size, and number of ranks."
    return FeatmixError(_WHO, expected=f"more than {wanted} batches in an epoch", got=f"{count}", fix=fix)
