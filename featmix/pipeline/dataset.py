"""A data set seen through the ``sample`` part, and what makes a batch of its items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset, IterableDataset, default_collate, get_worker_info

from featmix.errors import FeatmixError
from featmix.pipeline.items import as_float_image, as_mask, take_apart
from featmix.pipeline.sample import apply_to_item
from featmix.seeding import derived, rank, seed_transforms, seed_worker, seeded


class Transformed(Dataset[Any]):
    """A map-style data set whose items go through the ``sample`` part as they are asked for.

    In a worker it seeds itself before its first item, so that workers and epochs differ also where ``worker_init_fn`` was
    forgotten. Without workers it draws from the pipeline's seed, if there is one, and leaves global generators alone.

    Args:
        source: A data set, or any sequence of items.
        transform: The ``sample`` part, or ``None``.
        seed: The pipeline's.

    Raises:
        FeatmixError: If it has no length and no items by index.
    """

    def __init__(self, source: Any, transform: Any, seed: int | None) -> None:
        if isinstance(source, IterableDataset) or not (hasattr(source, "__getitem__") and hasattr(source, "__len__")):
            fix = "It needs a length, and items by index."
            raise FeatmixError(
                "Pipeline.dataset", "source", expected="a map-style data set", got=type(source).__name__, fix=fix
            )
        self.source, self.transform, self.seed = source, transform, seed
        self._seed_worker = seed_worker(transform, seed=seed or 0)
        self._seeded_as: int | None = None  # the worker's seed, or -1 in the main process
        self._taken = 0

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: Any) -> Any:
        """The item, transformed."""
        item = self.source[index]
        if self.transform is None:
            return item
        info = get_worker_info()
        if info is not None:
            if self._seeded_as != info.seed:
                self._seed_worker(info.id)
                self._seeded_as = info.seed
            return apply_to_item(self.transform, item)
        if self.seed is None:
            return apply_to_item(self.transform, item)
        if self._seeded_as != -1:
            seed_transforms(self.transform, seed=derived(self.seed, rank(), 2))
            self._seeded_as = -1
        self._taken += 1
        with seeded(derived(self.seed, rank(), 2, self._taken)):
            return apply_to_item(self.transform, item)

    def __repr__(self) -> str:
        return f"Transformed({self.source!r})"


def collate(items: Sequence[Any]) -> Any:
    """A batch of items: images as floating tensors ``(B, C, H, W)``, masks as tensors, the rest as torch's ``default_collate``.

    Bytes become float32 in [0, 1]; masks of integers become int64.

    Raises:
        FeatmixError: If there is no image in an item, or images of one batch differ in size.

    Example:
        >>> import numpy as np
        >>> images, labels = collate([(np.full((8, 6, 3), 255, np.uint8), 1), (np.zeros((8, 6, 3), np.uint8), 0)])
        >>> images.shape, images.dtype, float(images.max()), labels
        (torch.Size([2, 3, 8, 6]), torch.float32, 1.0, tensor([1, 0]))
    """
    ready, sizes = [], set()
    for item in items:
        taken = take_apart(item)
        image = as_float_image(taken.image)
        sizes.add(tuple(image.shape))
        ready.append(taken.put_back(image, [as_mask(mask) for mask in taken.masks]))
    if len(sizes) > 1:
        raise FeatmixError(
            "Pipeline.collate",
            "items",
            expected="images of one shape in a batch",
            got=", ".join(map(str, sorted(sizes))),
            fix="Crop or resize them in sample=.",
        )
    return default_collate(ready)
