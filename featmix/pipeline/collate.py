"""Makes a batch of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from featmix.errors import FeatmixError
from featmix.pipeline.images import as_float_image, as_mask
from featmix.pipeline.items import Item, take_apart
from featmix.pipeline.names import Names
from featmix.pipeline.quick import quick_batch
from featmix.pipeline.targets import TABLE, changed, targets_in
from featmix.pipeline.views import split

_PLAIN = Names()


def collate(items: Sequence[Any], names: Names = _PLAIN) -> Any:
    """Make a batch: images as floating tensors ``(B, C, H, W)``, masks as tensors, the rest by torch's ``default_collate``.

    Bytes and 16 bits become float32 in [0, 1]; masks of integers become int64. PIL images keep their channels. Views of an
    image become a list of batches, or a dictionary of such lists. If items have boxes or keypoints, entries other than images,
    masks, numbers and text become lists with one entry for each item, since their lengths differ.

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
    if items and split(items[0]) is not None:
        return _of_views([split(item) for item in items], names)
    quick = quick_batch(items, names) if items else None
    if quick is not None:
        return quick
    ready: list[Any] = []
    taken_apart = [take_apart(item, names) for item in items]
    ragged = _ragged_in(items, taken_apart)
    lists: dict[Any, list[Any]] = {name: [] for name in ragged}
    sizes: dict[int, set[tuple[int, ...]]] = {}
    for taken in taken_apart:
        given, maps = taken.channels_first()
        images = [as_float_image(image) for image in given]
        for place, image in enumerate(images):
            sizes.setdefault(place, set()).add(tuple(image.shape))
        whole = taken.put_back(images, [as_mask(mask) for mask in maps])
        for name in ragged:
            lists[name].append(_with_tensors(whole[name]))
        ready.append(changed(whole, lambda name, value: 0 if name in ragged else value) if ragged else whole)
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
    batch = default_collate(ready)
    return changed(batch, lambda name, value: lists.get(name, value)) if ragged else batch


def _ragged_in(items: Sequence[Any], taken: Sequence[Item]) -> frozenset[Any]:
    """Entries that are not stacked: if there are boxes, keypoints or instance maps, all but images, masks and numbers."""
    found: set[Any] = set()
    for item, parts in zip(items, taken, strict=True):
        if parts.names and any(target.kind != TABLE for target in targets_in(item, parts.names)):
            entries = item.items() if isinstance(item, Mapping) else enumerate(item)
            found |= {name for name, value in entries if name not in parts.names and not _is_single(value)}
    return frozenset(found)


def _is_single(value: Any) -> bool:
    return isinstance(value, str | bytes | int | float | np.generic) or (isinstance(value, Tensor) and not value.ndim)


def _with_tensors(value: Any) -> Any:
    """Convert arrays of numbers to tensors, at any depth."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(np.ascontiguousarray(value.astype(value.dtype.newbyteorder("="), copy=False)))
    return changed(value, lambda _, held: _with_tensors(held)) if isinstance(value, Mapping | list | tuple) else value


def _of_views(seen: Sequence[Any], names: Names) -> Any:
    if any(each is None or len(each[0]) != len(seen[0][0]) for each in seen):
        raise FeatmixError("Pipeline.collate", "items", expected="as many views of each item", got="items that differ")
    batches = [collate(views, names) for views in zip(*(items for items, _ in seen), strict=True)]
    return seen[0][1](batches)
