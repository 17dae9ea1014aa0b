"""The ``sample`` part: applied to the image of one item, and to its masks alike, in the loader's workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.pipeline.batch import apply_to_batch
from featmix.pipeline.items import IMAGE, MASK, as_array, as_float_image, as_mask, take_apart
from featmix.pipeline.origin import library_of
from featmix.support.extras import imported


def apply_to_item(transform: Any, item: Any) -> Any:
    """An item with its image, and its masks, transformed; the rest is left alone.

    Args:
        transform: Of albumentations (which sees every entry of a dictionary, boxes and keypoints too), torchvision v2, kornia,
            or any callable: of the image, or of the image and its masks, of which it then returns as many.
        item: See :func:`~featmix.pipeline.items.take_apart`.

    Raises:
        FeatmixError: If there is no image in it, or a callable does not return as many maps as it was given.
    """
    taken = take_apart(item)
    image, masks = taken.image, taken.masks
    library = library_of(transform)
    if library == "albumentations":
        if isinstance(item, dict):
            return _albumentations(transform, item, image, masks)
        done = _albumentations(transform, {}, image, masks)
        return taken.put_back(done[IMAGE], done["masks"] if len(masks) > 1 else [done[MASK]] if masks else [])
    if library == "torchvision.transforms.v2":
        image, masks = _torchvision(transform, image, masks)
    elif library == "kornia":
        maps = [as_mask(mask).unsqueeze(0) for mask in masks]
        moved, moved_maps = apply_to_batch(transform, as_float_image(image).unsqueeze(0), maps, "sample")
        image, masks = moved.squeeze(0), tuple(mask.squeeze(0) for mask in moved_maps)
    elif masks:
        image, masks = together(transform, image, masks, "sample")
    else:
        image = transform(image)
    return taken.put_back(image, masks)


def together(transform: Any, image: Any, masks: Sequence[Any], argument: str) -> tuple[Any, tuple[Any, ...]]:
    """A callable applied to an image and its masks in one call, since their geometry is one."""
    done = transform(image, *masks)
    if not isinstance(done, list | tuple) or len(done) != 1 + len(masks):
        raise FeatmixError(
            "Pipeline",
            argument,
            expected=f"an image and {len(masks)} mask(s) back, as they were given",
            got=f"{len(done)} values" if isinstance(done, list | tuple) else type(done).__name__,
            fix="A callable gets the masks after the image and returns all of them, moved alike.",
        )
    return done[0], tuple(done[1:])


def _albumentations(transform: Any, item: dict[str, Any], image: Any, masks: Sequence[Any]) -> dict[str, Any]:
    arrays = [as_array(mask, image=False) for mask in masks]
    narrow = [_narrow(array) for array in arrays]
    named: dict[str, Any] = {} if not masks else {MASK: narrow[0]} if len(masks) == 1 else {"masks": narrow}
    done: dict[str, Any] = transform(**{**item, IMAGE: as_array(image, image=True), **named})
    for name in named:
        moved = [done[name]] if name == MASK else list(done[name])
        wide = [_widened(mask, array.dtype) for mask, array in zip(moved, arrays, strict=True)]
        done[name] = wide[0] if name == MASK else wide
    return done


def _narrow(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Integers in a type that OpenCV can move: it has none for 32 and 64 bits."""
    if mask.dtype.kind not in "iub" or mask.dtype in (np.uint8, np.int16) or not mask.size:
        return mask
    low, high = int(mask.min()), int(mask.max())
    fitting = [kind for kind in (np.uint8, np.int16) if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max]
    return mask.astype(fitting[0] if fitting else np.float32)


def _widened(mask: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(mask, Tensor):  # ToTensorV2 was among the transforms
        return mask.to(torch.from_numpy(np.empty(0, dtype)).dtype)
    return mask.astype(dtype, copy=False)


def _torchvision(transform: Any, image: Any, masks: Sequence[Any]) -> tuple[Any, tuple[Any, ...]]:
    kinds = imported("torchvision.tv_tensors", subject="Pipeline", install="torchvision")
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.ascontiguousarray(image[..., None] if image.ndim == 2 else image)).movedim(-1, 0)
    wrapped = kinds.Image(image) if isinstance(image, Tensor) else image
    maps = [kinds.Mask(mask if isinstance(mask, Tensor) else torch.from_numpy(as_array(mask, image=False))) for mask in masks]
    done = transform(wrapped, *maps) if maps else (transform(wrapped),)
    plain = [value.as_subclass(Tensor) if isinstance(value, Tensor) else value for value in done]
    return plain[0], tuple(plain[1:])
