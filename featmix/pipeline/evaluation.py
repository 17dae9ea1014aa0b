"""Data sets for evaluation: an item is the same at each read, and normalized as in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from featmix.errors import FeatmixError
from featmix.pipeline.generators import Sources, mixed
from featmix.pipeline.images import as_float_image
from featmix.pipeline.items import take_apart
from featmix.pipeline.made import draws_within
from featmix.pipeline.names import Names
from featmix.pipeline.normalization import Normalization
from featmix.pipeline.sample import apply_to_item

_WHO = "Pipeline.eval_dataset"
_KEY = 0x6576616C  # draws of evaluation are made of it and of the item's index alone


class Evaluation:
    """The transform of each item in evaluation.

    Args:
        transform: The transform for evaluation, or ``None``.
        names: Which entries of an item are images and masks.
        normalization: The normalization, applied last, or ``None``.
    """

    def __init__(self, transform: Any, names: Names, normalization: Normalization | None) -> None:
        self.transform, self.names, self.normalization = transform, names, normalization
        self._sources: Sources | None = None

    def __call__(self, number: int, get: Callable[[], Any]) -> Any:
        """Return an item with its images as floating tensors ``(C, H, W)``.

        Args:
            number: Number of the item, which seeds its transform.
            get: Returns the item.
        """
        item = get()
        if self.transform is not None:
            if self._sources is None:
                self._sources = Sources(self.transform)
            with self._sources.drawing(mixed(_KEY, number)):
                item = apply_to_item(self.transform, item, self.names)
        taken = take_apart(item, self.names)
        given, _ = taken.channels_first()
        return taken.put_back([self._normalized(as_float_image(image)) for image in given], taken.masks)

    def _normalized(self, image: Tensor) -> Tensor:
        return image if self.normalization is None else self.normalization(image.unsqueeze(0)).squeeze(0)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_sources": None}


class Evaluated(Dataset[Any]):
    """A map-style data set for evaluation.

    Args:
        source: A data set, or any sequence of items.
        work: The transform of its items.
    """

    def __init__(self, source: Any, work: Evaluation) -> None:
        self.source, self.work = source, work

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Any) -> Any:
        """Return the item, transformed and normalized."""
        return self.work(int(index) if hasattr(index, "__index__") else 0, lambda: self.source[index])

    def __repr__(self) -> str:
        return f"Evaluated({self.source!r})"


class EvaluatedStream(IterableDataset[Any]):
    """An iterable data set for evaluation.

    Args:
        source: The data set.
        work: The transform of its items.
    """

    def __init__(self, source: IterableDataset[Any], work: Evaluation) -> None:
        self.source, self.work = source, work

    def __len__(self) -> int:
        return len(self.source)  # type: ignore[arg-type] # raises TypeError where it has none, as the source does

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the items, transformed and normalized."""
        for number, item in enumerate(self.source):
            yield self.work(number, lambda item=item: item)  # type: ignore[misc] # of this round

    def __repr__(self) -> str:
        return f"EvaluatedStream({self.source!r})"


def evaluated(source: Any, transform: Any, names: Names, normalization: Normalization | None) -> Evaluated | EvaluatedStream:
    """Return the data set of :meth:`featmix.Pipeline.eval_dataset`.

    Args:
        source: The data set to transform.
        transform: The transform for evaluation, or ``None``.
        names: Which entries of an item are images and masks.
        normalization: The normalization, applied last, or ``None``.

    Raises:
        FeatmixError: If the source is no data set, or its items are transformed for training.
    """
    if draws_within(source):
        fix = "Give the data set that it was made of."
        raise FeatmixError(
            _WHO, "source", expected="images that no pipeline transformed", got="a data set of training", fix=fix
        )
    work = Evaluation(transform, names, normalization)
    if isinstance(source, IterableDataset):
        return EvaluatedStream(source, work)
    if not (hasattr(source, "__getitem__") and hasattr(source, "__len__")):
        expected = "a data set: map-style, or a torch.utils.data.IterableDataset"
        raise FeatmixError(_WHO, "source", expected=expected, got=type(source).__name__)
    return Evaluated(source, work)
