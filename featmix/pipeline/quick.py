"""A fast path for items that are an image with its label: transformed and collated without a check of each entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from featmix.pipeline.images import MOST_CHANNELS, is_pil
from featmix.pipeline.names import Names
from featmix.pipeline.origin import library_of, parts_of
from featmix.pipeline.sample_albumentations import told_names

_LABELS = frozenset({int, float, bool, str, np.int64, np.int32, np.uint8, np.float32, np.float64})


def quick_transform(transform: Any, names: Names, otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that transforms ``(image, label)`` directly, and any other item by ``otherwise``.

    Args:
        transform: The ``sample`` part.
        names: Which entries of an item are images and masks.
        otherwise: Transforms an item of any form.
    """
    library = library_of(transform)
    if library == "kornia" or names.images is not None or names.masks:
        return otherwise
    if library == "albumentations" and told_names(transform):
        return otherwise
    if library == "albumentations":
        return _for_albumentations(transform, otherwise)
    if library == "torchvision.transforms.v2":
        return _for_torchvision(transform, otherwise)

    def transformed(item: Any) -> Any:
        if type(item) is tuple and len(item) == 2:
            image, label = item
            if type(label) in _LABELS and (_is_array(image) or _is_picture(image)):
                return transform(image), label
        return otherwise(item)

    return transformed


def _for_albumentations(transform: Any, otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def transformed(item: Any) -> Any:
        if type(item) is tuple and len(item) == 2:
            image, label = item
            if type(label) in _LABELS and _is_array(image):
                return transform(image=image)["image"], label
        return otherwise(item)

    return transformed


def _for_torchvision(transform: Any, otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Use plain tensors, which torchvision's transforms take for images: with its tensor classes all of them are slower."""
    plain = not any(map(_asks_for_types, parts_of(transform)))

    def transformed(item: Any) -> Any:
        if type(item) is tuple and len(item) == 2:
            image, label = item
            if type(label) in _LABELS and _is_picture(image) and (plain or type(image) is not Tensor):
                done = transform(image)
                if type(done) is not Tensor and isinstance(done, Tensor):
                    done = done.as_subclass(Tensor)
                return done, label
        return otherwise(item)

    return transformed


def _asks_for_types(part: Any) -> bool:
    """Return whether a part of a transform is not torchvision's, or depends on the class of a tensor."""
    if not type(part).__module__.startswith("torchvision.transforms.v2."):
        return True
    held = vars(part).values() if hasattr(part, "__dict__") else ()
    return any(isinstance(value, Mapping) and any(isinstance(key, type) for key in value) for value in held)


def quick_batch(items: Sequence[Any], names: Names) -> Any:
    """Return a batch of tuples ``(image, label, ...)`` with images of one kind and shape; ``None`` for anything else."""
    if names.images is not None or names.masks or set(map(type, items)) != {tuple}:
        return None
    if len(set(map(len, items))) > 1 or len(items[0]) < 2:
        return None
    images, *others = zip(*items, strict=True)
    kinds = set(map(type, images))
    if kinds not in ({np.ndarray}, {Tensor}) or len({image.shape for image in images}) > 1:
        return None
    if len({image.dtype for image in images}) > 1 or not all(_LABELS.issuperset(map(type, column)) for column in others):
        return None
    x = _stacked(images)
    return None if x is None else [x, *(default_collate(column) for column in others)]  # type: ignore[arg-type]


def _stacked(images: Sequence[Any]) -> Tensor | None:
    image = images[0]
    if isinstance(image, Tensor):
        if not _is_picture(image) or any(each.requires_grad for each in images):
            return None
        if image.device.type != "cpu" or not (image.is_floating_point() or image.dtype == torch.uint8):
            return None
        x: Tensor = default_collate(images)  # type: ignore[arg-type] # in a worker it stacks them in shared memory
        return x if image.is_floating_point() else x.float().div_(255)
    if not _is_array(image) or image.dtype not in (np.uint8, np.float32):
        return None
    if image.ndim == 2:
        array = np.stack(images)[:, None]
    else:
        height, width, channels = image.shape
        array = np.empty((len(images), channels, height, width), image.dtype)
        for row, each in zip(array, images, strict=True):
            row[:] = each.transpose(2, 0, 1)
    x = torch.from_numpy(array)
    return x.float().div_(255) if image.dtype == np.uint8 else x


def _is_array(image: Any) -> bool:
    if type(image) is not np.ndarray:
        return False
    shape = image.shape
    return (len(shape) == 2 or (len(shape) == 3 and shape[2] <= MOST_CHANNELS)) and image.dtype.isnative


def _is_picture(image: Any) -> bool:
    if type(image) is Tensor:
        shape = image.shape
        return len(shape) == 3 and (shape[2] > MOST_CHANNELS or shape[0] <= MOST_CHANNELS)
    return is_pil(image)
