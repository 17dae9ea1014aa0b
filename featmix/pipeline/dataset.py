"""A data set seen through the ``sample`` part, and what makes a batch of its items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import Dataset, IterableDataset, default_collate, get_worker_info

from featmix.errors import FeatmixError
from featmix.pipeline.images import as_float_image, as_mask
from featmix.pipeline.items import take_apart
from featmix.pipeline.names import Names
from featmix.pipeline.sample import apply_to_item
from featmix.seeding import derived, rank, seed_transforms, seed_worker, seeded

_PLAIN = Names()


class _Applied:
    """The ``sample`` part, and from which streams it draws: in a worker, and without workers.

    In a worker it seeds itself before its first item, so that workers and epochs differ also where ``worker_init_fn`` was
    forgotten. Without workers it draws from the pipeline's seed, if there is one, and leaves global generators alone.
    """

    def __init__(self, transform: Any, seed: int | None, names: Names) -> None:
        self.transform, self.seed, self.names = transform, seed, names
        self._seed_worker = seed_worker(transform, seed=seed or 0)
        self._seeded_as: int | None = None  # the worker's seed, or -1 in the main process
        self._taken = 0

    def __call__(self, item: Any) -> Any:
        if self.transform is None:
            return item
        info = get_worker_info()
        if info is not None:
            if self._seeded_as != info.seed:
                self._seed_worker(info.id)
                self._seeded_as = info.seed
            return apply_to_item(self.transform, item, self.names)
        if self.seed is None:
            return apply_to_item(self.transform, item, self.names)
        if self._seeded_as != -1:
            seed_transforms(self.transform, seed=derived(self.seed, rank(), 2))
            self._seeded_as = -1
        self._taken += 1
        with seeded(derived(self.seed, rank(), 2, self._taken)):
            return apply_to_item(self.transform, item, self.names)


class Transformed(Dataset[Any]):
    """A map-style data set whose items go through the ``sample`` part as they are asked for.

    Args:
        source: A data set, or any sequence of items.
        transform: The ``sample`` part, or ``None``.
        seed: The pipeline's.
        names: Which entries of an item are images and masks.

    Raises:
        FeatmixError: If it has no length and no items by index.
    """

    def __init__(self, source: Any, transform: Any, seed: int | None, names: Names = _PLAIN) -> None:
        if isinstance(source, IterableDataset) or not (hasattr(source, "__getitem__") and hasattr(source, "__len__")):
            raise FeatmixError(
                "Pipeline.dataset",
                "source",
                expected="a data set: map-style, or a torch.utils.data.IterableDataset",
                got=type(source).__name__,
                fix="It needs a length, and items by index. What is iterated once is empty in the second epoch.",
            )
        self.source, self.transform = source, transform
        self._apply = _Applied(transform, seed, names)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Any) -> Any:
        """The item, transformed."""
        return self._apply(self.source[index])

    def __repr__(self) -> str:
        return f"Transformed({self.source!r})"


class TransformedStream(IterableDataset[Any]):
    """An iterable data set whose items go through the ``sample`` part as they come.

    Which items come in which worker is for the source to say, as always with such data sets: one that does not ask
    ``torch.utils.data.get_worker_info()`` gives all of its items in each worker.

    Args:
        source: The data set.
        transform: The ``sample`` part, or ``None``.
        seed: The pipeline's.
        names: Which entries of an item are images and masks.
    """

    def __init__(self, source: IterableDataset[Any], transform: Any, seed: int | None, names: Names = _PLAIN) -> None:
        self.source, self.transform = source, transform
        self._apply = _Applied(transform, seed, names)

    def __len__(self) -> int:
        return len(self.source)  # type: ignore[arg-type] # raises TypeError where it has none, as the source does

    def __iter__(self) -> Iterator[Any]:
        """The items, transformed."""
        return map(self._apply, iter(self.source))

    def __repr__(self) -> str:
        return f"TransformedStream({self.source!r})"


def collate(items: Sequence[Any], names: Names = _PLAIN) -> Any:
    """A batch of items: images as floating tensors ``(B, C, H, W)``, masks as tensors, the rest as torch's ``default_collate``.

    Bytes and 16 bits become float32 in [0, 1]; masks of integers become int64. PIL images keep their channels.

    Args:
        items: See :func:`~featmix.pipeline.items.take_apart`.
        names: Which entries of an item are images and masks.

    Raises:
        FeatmixError: If there is no image in an item, or images of one batch differ in size.

    Example:
        >>> import numpy as np
        >>> images, labels = collate([(np.full((8, 6, 3), 255, np.uint8), 1), (np.zeros((8, 6, 3), np.uint8), 0)])
        >>> images.shape, images.dtype, float(images.max()), labels
        (torch.Size([2, 3, 8, 6]), torch.float32, 1.0, tensor([1, 0]))
    """
    ready: list[Any] = []
    sizes: dict[int, set[tuple[int, ...]]] = {}
    for item in items:
        taken = take_apart(item, names)
        images = [as_float_image(image) for image in taken.images]
        for place, image in enumerate(images):
            sizes.setdefault(place, set()).add(tuple(image.shape))
        ready.append(taken.put_back(images, [as_mask(mask) for mask in taken.masks]))
    for found in sizes.values():
        if len(found) > 1:
            channels = len({size[0] for size in found}) > 1
            raise FeatmixError(
                "Pipeline.collate",
                "items",
                expected="images of one shape in a batch",
                got=", ".join(map(str, sorted(found))),
                fix="Give all images one mode in the data set: image.convert('RGB')."
                if channels
                else "Crop or resize them in sample=.",
            )
    return default_collate(ready)
