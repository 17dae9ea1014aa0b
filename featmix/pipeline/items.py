"""Separates items of data sets into images, their masks, and other entries, which stay as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featmix.errors import FeatmixError
from featmix.pipeline.images import check_axes, is_image, is_map, is_pil, size_of
from featmix.pipeline.names import Name, Names
from featmix.pipeline.targets import type_of
from featmix.pipeline.volumes import MASK3D, VOLUME, channels_first, is_volume, plane_of

IMAGE, MASK = "image", "mask"
_PLAIN = Names()
_CALLED_IMAGE = re.compile(r"(image|img)_?(\d+|left|right|[ab])", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """An item of a data set.

    Args:
        images: PIL images, arrays ``(H, W)`` or ``(H, W, C)``, or tensors ``(C, H, W)`` or ``(C, D, H, W)``.
        masks: Maps of the same height and width, transformed with the first image.
        names: Their keys or positions, images first; empty if the item is an image itself.
        put_back: Returns the item with other images and masks.
    """

    images: tuple[Any, ...]
    masks: tuple[Any, ...]
    names: tuple[Name, ...]
    put_back: Callable[[Sequence[Any], Sequence[Any]], Any]

    def channels_first(self) -> tuple[list[Any], list[Any]]:
        """Return images and masks, with arrays of volumes as tensors."""
        names = self.names or (None,) * len(self.images)
        found = [channels_first(name, value) for name, value in zip(names, (*self.images, *self.masks), strict=True)]
        return found[: len(self.images)], found[len(self.images) :]


def take_apart(item: Any, names: Names = _PLAIN) -> Item:
    """Find the images and masks in an item.

    Args:
        item: An image; a tuple or list; or a dictionary.
        names: Which entries are images and masks. By default, the image is first or has the key ``image``, and a mask has the
            key ``mask``.

    Raises:
        FeatmixError: If there is no image, a named entry is missing or is no image or mask, or another entry has the image's
            height and width and is not named.
    """
    if isinstance(item, Mapping):
        entries: dict[Name, Any] = dict(item)
        first = VOLUME if VOLUME in item and IMAGE not in item else IMAGE
        images: tuple[Name, ...] = names.images or (first, *(name for name in names.more_images if name in item))
        masks = (MASK, *((MASK3D,) if first == VOLUME else ()), *names.more_masks) if names.masks is None else names.masks
        masks = tuple(name for name in masks if entries.get(name) is not None or (names.masks is not None and name not in item))
        return _taken(item, entries, images, masks, names, lambda new: {**item, **new})
    if isinstance(item, list | tuple):
        fields: tuple[str, ...] = getattr(item, "_fields", ())
        images = tuple(fields.index(name) if name in fields else name for name in names.images or (0,))
        masks = tuple(fields.index(name) if name in fields else name for name in names.masks or ())
        if fields and names.stay:
            names = replace(names, stay=tuple(fields.index(name) if name in fields else name for name in names.stay))
        return _taken(item, dict(enumerate(item)), images, masks, names, lambda new: _rebuilt(item, new))
    if (is_image(item) or is_volume(None, item)) and len(names.images or (0,)) == 1:
        check_axes(item)
        return Item((item,), (), (), lambda images, masks: images[0])
    raise _refuse(type(item).__name__)


def _taken(
    item: Any,
    entries: dict[Name, Any],
    images: tuple[Name, ...],
    masks: tuple[Name, ...],
    names: Names,
    again: Callable[[dict[Name, Any]], Any],
) -> Item:
    for name in images:
        if is_volume(name, entries.get(name)):
            continue
        if not is_image(entries.get(name)):
            raise _refuse(_described(item, name))
        check_axes(entries[name])
    for name in masks:
        if not is_map(entries.get(name)) and not is_volume(name, entries.get(name)):
            raise FeatmixError(
                "Pipeline",
                "masks",
                expected=f"a map at {name!r}: a PIL image, an array or a tensor with height and width",
                got=type(entries[name]).__name__ if name in entries else _described(item, name),
            )
    if names.masks is None:
        _check_unnamed(entries, images, masks, names)
    named = (*images, *masks)
    found = [entries[name] for name in named]
    return Item(
        tuple(found[: len(images)]),
        tuple(found[len(images) :]),
        named,
        lambda new, maps: again(dict(zip(named, (*new, *maps), strict=True))),
    )


def _check_unnamed(entries: dict[Name, Any], images: Sequence[Name], masks: Sequence[Name], names: Names) -> None:
    """Refuse an unnamed entry that may be a mask or another view, since it is unknown whether it moves with the image."""
    size = plane_size(images[0], entries[images[0]])
    for name, value in entries.items():
        if name in (*images, *masks, *names.known, *names.stay) or type_of(value):
            continue
        of_size = is_map(value) and size_of(value) == size
        if of_size or (is_image(value) and isinstance(name, str) and _CALLED_IMAGE.fullmatch(name)):
            raise FeatmixError(
                "Pipeline",
                f"item[{name!r}]",
                expected="to be told what it is",
                got=f"{_kind(value)} of the image's height and width" if of_size else f"{_kind(value)}, by its name an image",
                fix=f"Pipeline(masks=({name!r},)) if it is a map that moves with the image, "
                f"images=({', '.join(map(repr, (*images, name)))}) if it is one more image, masks=() if it stays as it is.",
            )


def plane_size(name: Name, value: Any) -> tuple[int, int]:
    """Return height and width of an image, or of the planes of a volume."""
    return plane_of(name, value) or size_of(value)


def _rebuilt(item: Sequence[Any], new: Mapping[Any, Any]) -> Any:
    values = [new.get(place, value) for place, value in enumerate(item)]
    return type(item)(*values) if hasattr(item, "_fields") else type(item)(values)  # type: ignore[call-arg]


def _kind(value: Any) -> str:
    if is_pil(value):
        return f"a PIL image of mode {value.mode}"
    return f"{'an array' if isinstance(value, np.ndarray) else 'a tensor'} {tuple(value.shape)}"


def _described(item: Any, name: Name) -> str:
    if isinstance(item, Mapping):
        return f"a dictionary of {sorted(map(str, item))}"
    kind = type(item).__name__
    if name == 0:
        return f"a {kind} that begins with {type(item[0]).__name__ if item else 'nothing'}"
    if not isinstance(name, int):
        return f"a {kind}, which has no key {name!r}"
    return f"a {kind} with {type(item[name]).__name__ if name < len(item) else 'nothing'} at position {name}"


def _refuse(got: str) -> FeatmixError:
    return FeatmixError(
        "Pipeline",
        "item",
        expected="an image, a tuple that begins with one, a dictionary with the key 'image', or what images= says",
        got=got,
        fix="Images are PIL images, arrays (H, W, C) or tensors (C, H, W).",
    )
