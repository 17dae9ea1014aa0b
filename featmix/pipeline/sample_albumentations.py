"""The ``sample`` part if it is of albumentations, which takes all entries by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.pipeline.geometry import moves_geometry
from featmix.pipeline.images import as_array, like_given
from featmix.pipeline.items import IMAGE, MASK, Item
from featmix.pipeline.names import targets_of
from featmix.pipeline.origin import parts_of
from featmix.pipeline.targets import BOXES, KEYPOINTS, TABLE, Target, at, changed
from featmix.pipeline.volumes import MASK3D, VOLUME, check_is_array

BBOXES, POINTS = "bboxes", "keypoints"
_told: WeakKeyDictionary[Any, frozenset[str]] = WeakKeyDictionary()


def by_albumentations(transform: Any, item: Any, taken: Item, targets: Sequence[Target]) -> Any:
    """Transform an item; all entries of a dictionary are passed, of dictionaries in a tuple only those with known names.

    Arguments that only inform a transform, such as reference images, are not in the result.

    Args:
        transform: A transform of albumentations.
        item: The item.
        taken: Its images and masks.
        targets: Other targets, such as boxes and keypoints.

    Raises:
        FeatmixError: If the transform does not support a target, or several images.
    """
    for image in taken.images:
        check_is_array(VOLUME, image)
    known, told = _known_names(transform), told_names(transform)
    left = [target for target in targets if not _is_reached(target, item, known)]
    if left and moves_geometry(transform):
        raise left[0].refused(_fix(left[0]))
    mapping, kept = isinstance(item, Mapping), {target.way for target in left}
    ways: dict[str, tuple[Any, ...]] = {}
    for way in _ways(item, taken, known):
        if way[-1] in ways:
            raise FeatmixError("Pipeline", "item", expected=f"one entry called {way[-1]!r}", got="two", fix="Rename one.")
        if way not in kept:
            ways[way[-1]] = way
    missing = sorted(told - set(ways))
    if missing:
        fix = f"Items are dictionaries then: {{'image': ..., {missing[0]!r}: ...}}; it is left out of the batch."
        raise FeatmixError("Pipeline", "item", expected=f"{missing[0]!r}, which the transform asks for", got="none", fix=fix)
    given = {name: _narrowed(name, at(item, way)) for name, way in ways.items()}
    done, new, maps = _called(transform, taken, given, mapping)
    _check_labels_were_dropped(transform, given, done)
    again = taken.put_back(new, maps)
    after = {
        name: _given_back(name, done[name], at(item, way)) for name, way in ways.items() if name in done and name not in told
    }
    if mapping:
        more = {name: value for name, value in done.items() if name not in ways}
        return {**{name: value for name, value in again.items() if name not in told}, **after, **more}
    return _into_tuple(again, {way: after.get(name, _GONE) for name, way in ways.items()}) if ways else again


def _called(transform: Any, taken: Item, rest: Mapping[str, Any], mapping: bool) -> tuple[dict[str, Any], list[Any], list[Any]]:
    """Call the transform; return other entries, images and masks."""
    count = len(taken.images)
    names = taken.names if mapping else (None,) * (count + len(taken.masks))
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
    return done, new, maps


def _check_labels_were_dropped(transform: Any, given: Mapping[str, Any], done: Mapping[str, Any]) -> None:
    """Refuse a result without some boxes or points but with all entries that belong to them."""
    processors = getattr(transform, "processors", None) or {}
    fields = {*processors, *(field for each in processors.values() for field in each.params.label_fields or ())}
    for name, processor in processors.items():
        before, after = (_length(held.get(name)) for held in (given, done))
        if before == after:
            continue
        for other, value in given.items():
            if other not in fields and _length(value) == before:
                raise FeatmixError(
                    "Pipeline",
                    f"item[{other!r}]",
                    expected=f"to lose what {name} lost: {before - after} of {before} were dropped",
                    got=f"{type(value).__name__} that keeps all",
                    fix=f"Name it among the label_fields of {type(processor.params).__name__}(...), or its numbers there.",
                )


def _length(value: Any) -> int:
    """Return the length of a list, an array or a tensor; -1 for anything else."""
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray | Tensor) and value.ndim):
        return len(value)
    return -1


class _Gone:
    """Marks an entry that is left out of the result."""


_GONE = _Gone()


def _into_tuple(item: Any, new: Mapping[tuple[Any, ...], Any]) -> Any:
    """Return a tuple with new values in its dictionaries, without entries that only inform and dictionaries left empty."""

    def renewed(place: Any, held: Any) -> Any:
        if not isinstance(held, Mapping) or not any(way[0] == place for way in new):
            return held
        entries = {name: new.get((place, name), old) for name, old in held.items()}
        return {name: value for name, value in entries.items() if value is not _GONE} or _GONE

    renewing = changed(item, renewed)
    if not any(value is _GONE for value in renewing) or hasattr(item, "_fields"):
        return renewing
    return type(item)(value for value in renewing if value is not _GONE)


def _ways(item: Any, taken: Item, known: frozenset[str]) -> list[tuple[Any, ...]]:
    """Return which entries are passed: all of a dictionary but images and masks; in a tuple's dictionaries, known names."""
    if isinstance(item, Mapping):
        return [(name,) for name in item if name not in taken.names]
    held = enumerate(item) if taken.names else ()
    return [(place, name) for place, value in held if isinstance(value, Mapping) for name in value if name in known]


def _is_reached(target: Target, item: Any, known: frozenset[str]) -> bool:
    if target.typed and target.kind in (BOXES, KEYPOINTS):
        return False  # its format need not be that of the transform
    return target.name in known and len(target.way) == (1 if isinstance(item, Mapping) else 2)


def _fix(target: Target) -> str:
    if target.kind in (BOXES, TABLE):
        return "Call it 'bboxes', an array, and give A.Compose bbox_params=A.BboxParams(...)."
    if target.kind == KEYPOINTS:
        return "Call it 'keypoints', an array, and give A.Compose keypoint_params=A.KeypointParams(...)."
    return "Call it 'mask', or 'masks' if there are several."


def _known_names(transform: Any) -> frozenset[str]:
    """Return the names that a transform supports; boxes and points only if it has their format."""
    processors = getattr(transform, "processors", {}) if hasattr(transform, "transforms") else {}
    kinds = targets_of(transform)
    names = {*getattr(transform, "available_keys", ()), "masks", *kinds, *told_names(transform)} - {IMAGE, MASK}
    return frozenset(
        name for name in names if kinds.get(name, name) not in (BBOXES, POINTS) or kinds.get(name, name) in processors
    )


def told_names(transform: Any) -> frozenset[str]:
    """Return the arguments that only inform a transform, such as reference images."""
    if transform not in _told:
        parts = [*parts_of(transform)]
        asked = {name for part in parts for name in getattr(part, "targets_as_params", None) or ()}
        moved = {name for part in parts for name in getattr(part, "_key2func", None) or ()}
        _told[transform] = frozenset(asked - moved - {IMAGE, MASK, "masks", BBOXES, POINTS, "volume", "mask3d"})
    return _told[transform]


def _narrowed(name: str, value: Any) -> Any:
    if name != "masks":
        return value
    return _narrow(value) if isinstance(value, np.ndarray) else [_narrow(as_array(mask, image=False)) for mask in value]


def _given_back(name: str, value: Any, given: Any) -> Any:
    if name != "masks":
        return value
    if isinstance(given, np.ndarray):
        return _widened(value, given.dtype)
    arrays = [as_array(mask, image=False) for mask in given]
    return [like_given(_widened(new, array.dtype), old) for new, array, old in zip(value, arrays, given, strict=True)]


def _image_keys(transform: Any, names: Sequence[Any]) -> list[str]:
    """Return the keys of images for albumentations: ``image`` for the first, declared names for others."""
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
    return [VOLUME if names[0] == VOLUME else IMAGE, *more]


def _mask_keys(transform: Any, names: Sequence[Any]) -> list[str | None]:
    """Return the keys of masks for albumentations: declared names, or ``mask``; ``None`` for one of several."""
    known = [name for name, kind in targets_of(transform).items() if kind == MASK]
    keys = [name if name in (*known, MASK3D) else None for name in names]
    return [MASK if key is None and keys.count(None) == 1 else key for key in keys]


def _narrow(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Convert integers to a dtype that OpenCV supports, which has none for 32 and 64 bits."""
    if mask.dtype.kind not in "iub" or mask.dtype in (np.uint8, np.int16) or not mask.size:
        return mask
    low, high = int(mask.min()), int(mask.max())
    fitting = [kind for kind in (np.uint8, np.int16) if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max]
    return mask.astype(fitting[0] if fitting else np.float32)


def _widened(mask: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(mask, Tensor):  # ToTensorV2 was among the transforms
        return mask.to(torch.from_numpy(np.empty(0, dtype)).dtype)
    return mask.astype(dtype, copy=False)
