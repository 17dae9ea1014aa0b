"""Items of data sets, taken apart: the image, the maps that belong to it, and the rest, which stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.errors import FeatmixError

IMAGE, MASK = "image", "mask"


@dataclass(frozen=True)
class Item:
    """An item of a data set.

    Args:
        image: A PIL image, an array ``(H, W)`` or ``(H, W, C)``, or a tensor ``(C, H, W)``.
        masks: Maps of the same height and width that go wherever the image goes.
        put_back: The item again, with another image and other masks.
    """

    image: Any
    masks: tuple[Any, ...]
    put_back: Callable[[Any, Sequence[Any]], Any]


def take_apart(item: Any) -> Item:
    """Find the image and its masks in an item.

    Args:
        item: An image; a tuple or list that begins with one, whose masks are the entries of the image's height and width; or
            a dictionary with the keys ``image`` and, where there is one, ``mask``.

    Raises:
        FeatmixError: If it is none of these.
    """
    if isinstance(item, Mapping):
        if not is_image(item.get(IMAGE)):
            raise _refuse(f"a dictionary of {sorted(map(str, item))}")
        masks = (item[MASK],) if item.get(MASK) is not None else ()
        return Item(item[IMAGE], masks, lambda image, masks: {**item, IMAGE: image, **({MASK: masks[0]} if masks else {})})
    if isinstance(item, list | tuple):
        if not item or not is_image(item[0]):
            raise _refuse(f"a {type(item).__name__} that begins with {type(item[0]).__name__ if item else 'nothing'}")
        places = [i for i, value in enumerate(item) if i and is_map(value) and size_of(value) == size_of(item[0])]
        return Item(item[0], tuple(item[i] for i in places), lambda image, masks: _rebuilt(item, image, places, masks))
    if is_image(item):
        return Item(item, (), lambda image, masks: image)
    raise _refuse(type(item).__name__)


def is_pil(value: Any) -> bool:
    """Return whether a value is a PIL image."""
    return any(cls.__module__.startswith("PIL.") and cls.__name__ == "Image" for cls in type(value).__mro__)


def is_map(value: Any) -> bool:
    """Return whether a value has a height and a width."""
    return is_pil(value) or (isinstance(value, np.ndarray | Tensor) and value.ndim in (2, 3))


def is_image(value: Any) -> bool:
    """Return whether a value can be an image: a tensor needs a channel axis."""
    return is_map(value) and not (isinstance(value, Tensor) and value.ndim == 2)


def size_of(value: Any) -> tuple[int, int]:
    """Return height and width."""
    if is_pil(value):
        return value.height, value.width
    axes = value.shape[-2:] if isinstance(value, Tensor) else value.shape[:2]
    return int(axes[0]), int(axes[1])


def as_array(value: Any, *, image: bool) -> Any:
    """An image or mask as an array with its channels last. PIL images of unusual modes become RGB; masks keep their indices."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Tensor):
        array = value.detach().cpu().numpy()
        return np.ascontiguousarray(np.moveaxis(array, 0, -1)) if array.ndim == 3 else array
    if image and value.mode not in ("L", "RGB"):
        value = value.convert("RGB")
    return np.array(value)


def as_float_image(value: Any) -> Tensor:
    """An image as a tensor ``(C, H, W)``: bytes become float32 in [0, 1], tensors of floats stay as they are.

    Raises:
        FeatmixError: If it holds integers whose range nobody knows.
    """
    if isinstance(value, Tensor) and value.is_floating_point():
        return value
    x = value if isinstance(value, Tensor) else _channels_first(as_array(value, image=True))
    if x.dtype == torch.uint8:
        return x.float() / 255
    if x.dtype == torch.uint16:
        return x.float() / 65535
    if x.dtype == torch.bool or x.is_floating_point():
        return x.float()
    fix = "Say in sample= what they mean, for example lambda image: image.astype('float32') / 4095."
    raise FeatmixError("Pipeline.collate", IMAGE, expected="bytes or floats", got=str(x.dtype), fix=fix)


def as_mask(value: Any) -> Tensor:
    """A mask as a tensor ``(H, W)`` or ``(K, H, W)``: integers become int64, as losses want class indices; others stay."""
    x = value if isinstance(value, Tensor) else _channels_first(as_array(value, image=False), keep_flat=True)
    if x.dtype == torch.bool or x.is_floating_point():
        return x.float() if x.dtype == torch.float64 else x
    return x.long()


def _channels_first(array: np.ndarray[Any, Any], *, keep_flat: bool = False) -> Tensor:
    x = torch.from_numpy(np.ascontiguousarray(array))
    if x.ndim == 3:
        return x.movedim(-1, 0).contiguous()
    return x if keep_flat else x.unsqueeze(0)


def _rebuilt(item: Sequence[Any], image: Any, places: Sequence[int], masks: Sequence[Any]) -> Any:
    values = [image, *item[1:]]
    for place, mask in zip(places, masks, strict=True):
        values[place] = mask
    return type(item)(*values) if hasattr(item, "_fields") else type(item)(values)  # type: ignore[call-arg]


def _refuse(got: str) -> FeatmixError:
    return FeatmixError(
        "Pipeline",
        "item",
        expected="an image, (image, label), (image, mask), or a dictionary with the key 'image'",
        got=got,
        fix="Images are PIL images, arrays (H, W, C) or tensors (C, H, W).",
    )
