"""The ``sample`` part: applied to the images of one item, and to its masks alike, in the loader's workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.pipeline.batch import apply_to_batch, apply_to_views
from featmix.pipeline.images import as_array, as_float_image, as_mask, like_given
from featmix.pipeline.items import IMAGE, MASK, Item, take_apart
from featmix.pipeline.names import Names, targets_of
from featmix.pipeline.origin import library_of
from featmix.support.extras import imported

_PLAIN = Names()


def apply_to_item(transform: Any, item: Any, names: Names = _PLAIN) -> Any:
    """An item with its images, and its masks, transformed; the rest is left alone. All of them are moved by one draw.

    Args:
        transform: Of albumentations (which sees every entry of a dictionary, boxes and keypoints too), torchvision v2, kornia,
            or any callable: of the images and the masks, of which it then returns as many.
        item: See :func:`~featmix.pipeline.items.take_apart`.
        names: Which entries are images and masks.

    Raises:
        FeatmixError: If there is no image in it, a callable does not return as many as it was given, or a transform does not
            know of several images.
    """
    taken = take_apart(item, names)
    library = library_of(transform)
    if library == "albumentations":
        return _albumentations(transform, item, taken)
    if library == "torchvision.transforms.v2":
        moved = _torchvision(transform, taken.images, taken.masks)
    elif library == "kornia":
        moved = _kornia(transform, taken.images, taken.masks)
    else:
        moved = together(transform, taken.images, taken.masks, "sample")
    count = len(taken.images)
    return taken.put_back(moved[:count], moved[count:])


def together(transform: Any, images: Sequence[Any], masks: Sequence[Any], argument: str) -> list[Any]:
    """A callable applied to images and their masks in one call, since their geometry is one."""
    count = len(images) + len(masks)
    if count == 1:
        return [transform(images[0])]
    done = transform(*images, *masks)
    if not isinstance(done, list | tuple) or len(done) != count:
        pictures = "an image" if len(images) == 1 else f"{len(images)} images"
        raise FeatmixError(
            "Pipeline",
            argument,
            expected=f"{pictures} and {len(masks)} mask(s) back, as they were given",
            got=f"{len(done)} values" if isinstance(done, list | tuple) else type(done).__name__,
            fix="A callable gets the masks after the images and returns all of them, moved alike.",
        )
    return list(done)


def _albumentations(transform: Any, item: Any, taken: Item) -> Any:
    """An item after a transform, which gets all of a dictionary: boxes and keypoints go along."""
    count, mapping = len(taken.images), isinstance(item, Mapping)
    names = taken.names if mapping else (None,) * (count + len(taken.masks))
    rest = {name: value for name, value in item.items() if name not in taken.names} if mapping else {}
    images = dict(zip(_image_keys(transform, names[:count]), taken.images, strict=True))
    arrays = [as_array(mask, image=False) for mask in taken.masks]
    keys = _mask_keys(transform, names[count:])
    call: dict[str, Any] = {key: as_array(image, image=True) for key, image in images.items()}
    gathered: list[Any] = []
    for key, array in zip(keys, arrays, strict=True):
        if key is None:
            gathered.append(_narrow(array))
        else:
            call[key] = _narrow(array)
    if gathered:
        call["masks"] = gathered
    if set(call) & set(rest):
        taking = sorted(set(call) & set(rest))
        raise FeatmixError("Pipeline", "item", expected=f"no other entry called {taking}", got="one", fix="Rename it.")
    done: dict[str, Any] = transform(**rest, **call)
    found = {key: done.pop(key) for key in call}
    moved = iter(found.get("masks", ()) if gathered else ())
    new = [like_given(found[key], image) for key, image in images.items()]
    maps = [
        like_given(_widened(next(moved) if key is None else found[key], array.dtype), mask)
        for key, array, mask in zip(keys, arrays, taken.masks, strict=True)
    ]
    again = taken.put_back(new, maps)
    return {**done, **{name: again[name] for name in taken.names}} if mapping else again


def _image_keys(transform: Any, names: Sequence[Any]) -> list[str]:
    """Return under which keys albumentations is given images: the first as ``image``, others as it was told of."""
    known = [name for name, kind in targets_of(transform).items() if kind == IMAGE]
    more = [name for name in names[1:] if name in known] if None not in names else known[: len(names) - 1]
    if len(more) < len(names) - 1:
        wanted = {str(name or f"image{k}"): IMAGE for k, name in enumerate(names[1:], start=2)}
        raise FeatmixError(
            "Pipeline",
            "sample",
            expected="a transform that knows of several images, and moves them by one draw",
            got=f"additional targets {targets_of(transform)}",
            fix=f"A.Compose([...], additional_targets={wanted}).",
        )
    return [IMAGE, *more]


def _mask_keys(transform: Any, names: Sequence[Any]) -> list[str | None]:
    """Return under which keys albumentations is given masks: as it was told of, or ``mask``; ``None`` for one of several."""
    known = [name for name, kind in targets_of(transform).items() if kind == MASK]
    keys = [name if name in known else None for name in names]
    return [MASK if key is None and keys.count(None) == 1 else key for key in keys]


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


def _torchvision(transform: Any, images: Sequence[Any], masks: Sequence[Any]) -> list[Any]:
    kinds = imported("torchvision.tv_tensors", subject="Pipeline", install="torchvision")
    wrapped = [_as_torchvision_has_it(image, kinds) for image in images]
    maps = [kinds.Mask(mask if isinstance(mask, Tensor) else torch.from_numpy(as_array(mask, image=False))) for mask in masks]
    inputs = [*wrapped, *maps]
    done = transform(*inputs) if len(inputs) > 1 else (transform(*inputs),)
    return [value.as_subclass(Tensor) if isinstance(value, Tensor) else value for value in done]


def _as_torchvision_has_it(image: Any, kinds: Any) -> Any:
    if isinstance(image, np.ndarray):
        array = as_array(image, image=True)
        image = torch.from_numpy(np.ascontiguousarray(array[..., None] if array.ndim == 2 else array)).movedim(-1, 0)
    return kinds.Image(image) if isinstance(image, Tensor) else image


def _kornia(transform: Any, images: Sequence[Any], masks: Sequence[Any]) -> list[Any]:
    maps = [as_mask(mask).unsqueeze(0) for mask in masks]
    x, *more = (as_float_image(image).unsqueeze(0) for image in images)
    if more:
        moved = apply_to_views(transform, [x, *more], maps, "sample")
    else:
        one, others = apply_to_batch(transform, x, maps, "sample")
        moved = [one, *others]
    return [value.squeeze(0) for value in moved]
