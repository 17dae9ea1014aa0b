"""Finds boxes, keypoints and maps in an item, at any depth."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.pipeline.images import is_map, is_pil, size_of
from featmix.pipeline.names import Name

BOXES, KEYPOINTS, MAP, TABLE = "boxes", "keypoints", "a map", "a table with four or five columns"
_CALLED = {
    BOXES: re.compile(r"(^|_)(b?box(es)?|bounding_?box(es)?)(_xyxy|_xywh|_cxcywh)?$", re.IGNORECASE),
    KEYPOINTS: re.compile(r"(^|_)(key_?points?|kpts|landmarks?|joints)$", re.IGNORECASE),
    MAP: re.compile(r"(^|_)(masks?|segmentations?|segm|polygons?)$", re.IGNORECASE),
}
_OF_TORCHVISION = {"BoundingBoxes": BOXES, "KeyPoints": KEYPOINTS, "Mask": MAP, "Image": "an image", "Video": "a video"}


@dataclass(frozen=True, eq=False)
class Target:
    """An entry with coordinates on the image, which has to move with it.

    Args:
        way: The keys and positions that lead to it.
        kind: Its kind, such as boxes.
        value: The entry.
    """

    way: tuple[Name, ...]
    kind: str
    value: Any

    @property
    def name(self) -> Name:
        """The last key or position."""
        return self.way[-1]

    @property
    def typed(self) -> bool:
        """Whether it is one of torchvision's ``tv_tensors``."""
        return type_of(self.value) != ""

    def refused(self, fix: str) -> FeatmixError:
        """Return the error for a transform that would not move it."""
        where = "".join(f"[{step!r}]" for step in self.way)
        return FeatmixError(
            "Pipeline",
            f"item{where}",
            expected="targets that move with the image",
            got=f"{self.kind} ({type(self.value).__name__}) that the transform would leave behind",
            fix=f"{fix} Pipeline(stay=({self.name!r},)) if it stays as it is.",
        )


def type_of(value: Any) -> str:
    """Return the kind of one of torchvision's ``tv_tensors``; empty for anything else."""
    return _type_of(type(value)) if isinstance(value, Tensor) else ""


@cache
def _type_of(kind: type) -> str:
    names = [cls.__name__ for cls in kind.__mro__ if cls.__module__.startswith("torchvision.tv_tensors")]
    return next((_OF_TORCHVISION[name] for name in names if name in _OF_TORCHVISION), "")


def called(name: Any) -> str:
    """Return the kind of an entry by its name; empty if the name says nothing.

    Example:
        >>> called("gt_bboxes"), called("labels")
        ('boxes', '')
    """
    return next((kind for kind, pattern in _CALLED.items() if isinstance(name, str) and pattern.search(name)), "")


def targets_in(
    item: Any, taken: Sequence[Name] = (), stay: Sequence[Name] = (), *, size: tuple[int, ...] | None = None
) -> list[Target]:
    """Find the targets in an item, except its images and masks.

    Args:
        item: A tuple, list or dictionary; anything else has no targets.
        taken: Which entries are its images and masks.
        stay: Keys and positions of entries that are not transformed.
        size: Height and width of the image; maps of that size are found too.

    Example:
        >>> [(target.way, target.kind) for target in targets_in(({}, {"boxes": [[0, 0, 2, 3]], "labels": [1]}))]
        [((1, 'boxes'), 'boxes')]
    """
    if not isinstance(item, Mapping | list | tuple):
        return []
    found: list[Target] = []
    for name, value in _entries(item):
        if name not in taken:
            found += _within(value, (name,), frozenset(_positions(item, stay)), size)
    return found


def with_targets(item: Any, new: Mapping[tuple[Name, ...], Any]) -> Any:
    """Return an item with new values at some paths; the containers around them are copies."""
    if () in new:
        return new[()]
    heads = {way[0] for way in new}
    inner = {head: {way[1:]: value for way, value in new.items() if way[0] == head} for head in heads}
    return changed(item, lambda name, value: with_targets(value, inner[name]) if name in heads else value)


def at(item: Any, way: Sequence[Name]) -> Any:
    """Return the entry at a path."""
    for step in way:
        item = item[step]
    return item


def changed(item: Any, change: Callable[[Name, Any], Any]) -> Any:
    """Return a dictionary, list or tuple of the same kind with each entry changed."""
    if isinstance(item, Mapping):
        return {name: change(name, value) for name, value in item.items()}
    values = [change(place, value) for place, value in enumerate(item)]
    return type(item)(*values) if hasattr(item, "_fields") else type(item)(values)


def _within(value: Any, way: tuple[Name, ...], stay: frozenset[Name], size: tuple[int, ...] | None) -> Iterator[Target]:
    if way[-1] in stay or value is None:
        return
    kind = type_of(value) or _called(way, value)
    if kind:
        yield Target(way, kind, value)
    elif isinstance(value, Mapping | list | tuple):
        for name, held in _entries(value):
            yield from _within(held, (*way, name), stay, size)
    elif _lies_on(value, len(way) > 1, size):
        yield Target(way, MAP, value)
    elif isinstance(value, np.ndarray | Tensor) and value.ndim == 2 and value.shape[1] in (4, 5):
        yield Target(way, TABLE, value)


def _entries(value: Any) -> list[tuple[Name, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else list(enumerate(value))


def _positions(item: Any, names: Sequence[Name]) -> list[Name]:
    fields: tuple[str, ...] = getattr(item, "_fields", ())
    return [fields.index(name) if isinstance(name, str) and name in fields else name for name in names]


def _called(way: tuple[Name, ...], value: Any) -> str:
    """Return the kind of an entry by its name, if its value allows it."""
    kind = called(way[-1])
    return kind if kind and _has_places(value, kind) else ""


def _has_places(value: Any, kind: str) -> bool:
    """Return whether a value is more than a number, a flag or a label."""
    if is_pil(value):
        return True
    if isinstance(value, np.ndarray | Tensor):
        return value.ndim > 1 or (value.ndim == 1 and kind != MAP and len(value) > 1)
    if not isinstance(value, list | tuple):
        return False
    nested = any(isinstance(each, list | tuple | np.ndarray | Tensor) or is_pil(each) for each in value)
    return nested or not value or (kind != MAP and len(value) > 1 and all(isinstance(each, int | float) for each in value))


def _lies_on(value: Any, nested: bool, size: tuple[int, ...] | None) -> bool:
    """Return whether a value is a map, or a stack of maps, of the image's size; maps beside the image were checked before."""
    if size is None or not (is_pil(value) or isinstance(value, np.ndarray | Tensor)):
        return False
    if nested and is_map(value) and size_of(value) == size:
        return True
    return not is_pil(value) and value.ndim > 2 and tuple(value.shape[-2:]) == size
