"""Data sets whose items are transformed by the ``sample`` part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from featmix.checks import whole
from featmix.errors import FeatmixError
from featmix.pipeline.generators import Drawing, Sources
from featmix.pipeline.item_ranges import looked_at
from featmix.pipeline.made import draws_within
from featmix.pipeline.names import Names
from featmix.pipeline.quick import quick_transform
from featmix.pipeline.sample import apply_to_item
from featmix.pipeline.streams import Numbered, Place, Stream, Streamed, within
from featmix.pipeline.views import ViewPlan, apply_views
from featmix.seeding import derived

_PLAIN = Names()


class Work:
    """The transform of each item, and its sources of random numbers.

    Args:
        transform: The ``sample`` part, or ``None``.
        names: Which entries of an item are images and masks.
        views: Several views of each item with their own transforms, and the names for each view.
        around: Whether the data set contains others of the pipeline, which do the work.

    Attributes:
        idle: Whether items stay as they are.
        made: The result of :meth:`ready`, after its first call.
    """

    def __init__(
        self,
        transform: Any = None,
        names: Names = _PLAIN,
        views: tuple[ViewPlan, tuple[Names, ...]] | None = None,
        *,
        around: bool = False,
    ) -> None:
        self.transform, self.names, self.views, self.around = transform, names, views, around
        self.idle = around or (transform is None and views is None)
        self.made: tuple[Callable[[Any], Any], Sources] | None = None

    def ready(self) -> tuple[Callable[[Any], Any], Sources]:
        """Return the function that transforms an item, and its sources of random numbers; made at first use in each process."""
        if self.made is None:
            if self.views is None:
                apply, sources = _applied(self.transform, self.names), Sources(self.transform)
                self.made = looked_at(apply, self.names, self._looked), sources
            else:
                plan, names = self.views
                each = [_applied(transform, own) for transform, own in zip(plan.transforms, names, strict=True)]
                self.made = partial(apply_views, plan, each, names=self.names), Sources(*plan.transforms)
        return self.made

    def _looked(self, apply: Callable[[Any], Any]) -> None:
        """Continue without the check of ranges."""
        if self.made is not None:
            self.made = apply, self.made[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "made": None}


def _applied(transform: Any, names: Names) -> Callable[[Any], Any]:
    return quick_transform(transform, names, lambda item: apply_to_item(transform, item, names))


class Transformed(Streamed, Dataset[Any]):
    """A map-style data set that applies the ``sample`` part to an item when it is read.

    Args:
        source: A data set, or any sequence of items.
        work: The transform of its items.
        stream: The random numbers.

    Raises:
        FeatmixError: If it has no length, or no items by index.
    """

    def __init__(self, source: Any, work: Work, stream: Stream) -> None:
        if isinstance(source, IterableDataset) or not (hasattr(source, "__getitem__") and hasattr(source, "__len__")):
            raise FeatmixError(
                "Pipeline.dataset",
                "source",
                expected="a data set: map-style, or a torch.utils.data.IterableDataset",
                got=type(source).__name__,
                fix="It needs a length, and items by index. What is iterated once is empty in the second epoch.",
            )
        self.source, self.work, self.stream = source, work, stream
        self.transform = work.transform
        self._draws_within = draws_within(source)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Any) -> Any:
        """Return the item, transformed."""
        if isinstance(index, Numbered):
            return self._read(index, index.place)[0]
        work = self.work
        if work.idle:
            return self.source[index]
        apply, sources = work.made or work.ready()
        if sources.none:
            self.stream.pass_by()
            return apply(self.source[index])
        with Drawing(sources, self.stream.next()):
            return apply(self.source[index])

    def __getitems__(self, indices: Any) -> list[Any]:
        """Return items, transformed; those of a batch draw one after the other from one stream."""
        return self._read(indices, indices.place if isinstance(indices, Numbered) else None)

    def _read(self, indices: Any, place: Place | None) -> list[Any]:
        source, known = self.source, place is not None
        if self.work.idle:
            if known and get_worker_info() is not None:
                Sources().seed(self.stream.next(place), everything=True)
            return [self._beneath(index, place, number) for number, index in enumerate(indices)]
        apply, sources = self.work.ready()
        with sources.drawing(self.stream.next(place, len(indices)), everything=known):
            if known and self._draws_within:
                return [apply(self._beneath(index, place, number)) for number, index in enumerate(indices)]
            return [apply(source[index]) for index in indices]

    def _beneath(self, index: Any, place: Place | None, number: int) -> Any:
        if place is None or not self._draws_within:
            return self.source[index]
        with within(Place(place.key, place.position + number)):
            return self.source[index]

    def state_dict(self) -> dict[str, Any]:
        """Return the number of items read in this process, for loaders that save the state of data sets."""
        return {"taken": self.stream.taken, **_state_of(self.source)}

    def load_state_dict(self, state: Any) -> None:
        """Continue from a state of :meth:`state_dict`.

        Raises:
            FeatmixError: If it is not such a state.
        """
        (taken,) = _checked(state, self.source, "taken")
        if is_stateful(self.source):
            self.source.load_state_dict(state["source"])
        self.stream.taken = taken

    def __repr__(self) -> str:
        return f"Transformed({self.source!r})"


class TransformedStream(Streamed, IterableDataset[Any]):
    """An iterable data set that applies the ``sample`` part to each item when it is read.

    The source decides which items each worker gets, as always with such data sets: one that does not ask
    ``torch.utils.data.get_worker_info()`` gives all of its items in each worker. The random numbers of an item depend on the
    worker, and on how many items came before it there.

    Args:
        source: The data set.
        work: The transform of its items.
        stream: The random numbers.
    """

    def __init__(self, source: IterableDataset[Any], work: Work, stream: Stream) -> None:
        self.source, self.work, self.stream = source, work, stream
        self.transform = work.transform
        self._key: int | None = None  # of the epoch that a loader of the pipeline begins
        self._shared: Tensor | None = None  # the same, where workers live longer than an epoch
        self.draws_within = draws_within(source)

    def begin(self, key: int, *, shared: bool) -> None:
        """Use the random numbers of an epoch from now on.

        Args:
            key: Seed of the epoch.
            shared: Whether workers that run already have to learn it.
        """
        self._key = key
        if shared:
            if self._shared is None:
                self._shared = torch.zeros(1, dtype=torch.int64)
                self._shared.share_memory_()  # type: ignore[no-untyped-call]
            self._shared.fill_(key)

    def __len__(self) -> int:
        return len(self.source)  # type: ignore[arg-type] # raises TypeError where it has none, as the source does

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the transformed items."""
        info = get_worker_info()
        key = self._key if self._shared is None else int(self._shared)
        if key is not None:
            key = derived(key, 0 if info is None else info.id + 1)
            if info is not None:
                Sources().seed(key, everything=True)
        return TransformedItems(self, iter(self.source), key)

    def __repr__(self) -> str:
        return f"TransformedStream({self.source!r})"


class TransformedItems(Iterator[Any]):
    """One pass over a :class:`TransformedStream`.

    Args:
        dataset: The data set.
        items: Items of its source.
        key: Seed of the epoch, if a loader of the pipeline gives one.
    """

    def __init__(self, dataset: TransformedStream, items: Iterator[Any], key: int | None) -> None:
        self._dataset, self._items, self._key = dataset, items, key
        self._position = 0

    def __next__(self) -> Any:
        """Return the next item, transformed."""
        place = None if self._key is None else Place(self._key, self._position)
        work, stream = self._dataset.work, self._dataset.stream
        if self._dataset.draws_within:
            with within(place):
                item = next(self._items)
        else:
            item = next(self._items)
        self._position += 1
        if work.idle:
            return item
        apply, sources = work.ready()
        with sources.drawing(stream.next(place)):
            return apply(item)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of items read, for loaders that save the state of iterators."""
        return {"taken": self._dataset.stream.taken, "position": self._position, **_state_of(self._items)}

    def load_state_dict(self, state: Any) -> None:
        """Continue from a state of :meth:`state_dict`; a source without a state is read up to that item.

        Raises:
            FeatmixError: If it is not such a state.
        """
        taken, position = _checked(state, self._items, "taken", "position")
        if is_stateful(self._items):
            self._items.load_state_dict(state["source"])  # type: ignore[attr-defined]
        elif not is_stateful(self._dataset.source):
            for _ in range(position):
                next(self._items, None)
        self._dataset.stream.taken, self._position = taken, position


class StatefulStream(TransformedStream):
    """A stream whose source has a state; a loader that finds ``state_dict`` here does not read past items again."""

    def state_dict(self) -> dict[str, Any]:
        """Return the number of items read in this process, and the state of the source."""
        return {"taken": self.stream.taken, **_state_of(self.source)}

    def load_state_dict(self, state: Any) -> None:
        """Continue from a state of :meth:`state_dict`.

        Raises:
            FeatmixError: If it is not such a state.
        """
        (taken,) = _checked(state, self.source, "taken")
        self.source.load_state_dict(state["source"])  # type: ignore[attr-defined]
        self.stream.taken = taken


def is_stateful(source: Any) -> bool:
    """Return whether a data set, or an iterator, has a state."""
    return callable(getattr(source, "state_dict", None)) and callable(getattr(source, "load_state_dict", None))


def _state_of(source: Any) -> dict[str, Any]:
    return {"source": source.state_dict()} if is_stateful(source) else {}


def _checked(state: Any, source: Any, *names: str) -> list[int]:
    """Check a state, with that of the source if it has one, and return its whole numbers."""
    wanted = {*names, "source"} if is_stateful(source) else {*names}
    if not isinstance(state, Mapping) or set(state) != wanted:
        got = repr(sorted(map(str, state))) if isinstance(state, Mapping) else type(state).__name__
        raise FeatmixError("Transformed.load_state_dict", "state", expected=repr(sorted(wanted)), got=got)
    return [whole("Transformed.load_state_dict", name, state[name]) for name in names]
