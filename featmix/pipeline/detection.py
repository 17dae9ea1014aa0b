"""Detection targets: boxes with their labels, masks and keypoints, moved and weighted as the images are mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.pipeline.coordinates import XYXY, as_table, form_of
from featmix.pipeline.names import Name
from featmix.pipeline.parts import Part, seen_of
from featmix.pipeline.per_box import boxes_like, joined, masks_like, plain, points, taken, times
from featmix.pipeline.targets import BOXES, KEYPOINTS, MAP, called, type_of

WEIGHTS = "weights"
_WHO = "Mixer.draw"
_MASKS, _PLAIN, _OF_IMAGE, _AREA, _WEIGHTS = "masks", "of each box", "of the image", "an area", "weights"
_IMAGES = ("image_id", "image_ids", "img_id", "size", "orig_size", "image_size")  # the image's own, as libraries call it
_AREAS = ("area", "areas")


@dataclass(frozen=True, eq=False)
class Detections:
    """The detection targets of a batch.

    Args:
        targets: One dictionary for each image.
        roles: The kind of each entry.
        boxes: For each image ``(N, 4)``, as corners in pixels, float64 on the host.
        form: Format of the boxes: ``xyxy``, ``xywh`` or ``cxcywh``.
        columns: Whether a dictionary of lists was given instead of a list of dictionaries.
    """

    targets: tuple[Mapping[str, Any], ...]
    roles: Mapping[str, str]
    boxes: tuple[Tensor, ...]
    form: str
    columns: bool

    @classmethod
    def of(
        cls, given: Any, rows: int, size: tuple[int, int], stay: Sequence[Name] = (), forms: Mapping[str, str] | None = None
    ) -> Detections:
        """Read the detection targets of a batch.

        Args:
            given: A list of dictionaries, as torchvision's detectors take it, or a dictionary of lists.
            rows: Number of images in the batch.
            size: Their height and width.
            stay: Entries that do not move, even if they look like boxes, keypoints or masks.
            forms: Formats of boxes by name, for boxes whose class does not say it.

        Raises:
            FeatmixError: If it is neither, or an entry does not fit the boxes, or cannot be moved with them.
        """
        columns = isinstance(given, Mapping)
        targets = _rows_of(given, rows) if columns else list(given)
        if len(targets) != rows or not all(isinstance(target, Mapping) for target in targets):
            got = f"{len(targets)} of {', '.join(sorted({type(target).__name__ for target in targets})) or 'nothing'}"
            raise FeatmixError(_WHO, "target", expected=f"{rows} dictionaries, one for each image", got=got)
        keys = list(targets[0]) if targets else []
        for target in targets:
            if set(target) != set(keys):
                expected, got = f"dictionaries of {sorted(map(str, keys))}", f"one of {sorted(map(str, target))}"
                raise FeatmixError(_WHO, "target", expected=expected, got=got)
        name = _boxes_among(keys, targets, stay)
        seen = {_form(target[name], name, forms or {}) for target in targets} or {XYXY}
        if len(seen) > 1:
            raise _refused(name, "boxes of one form in a batch", " and ".join(sorted(seen)))
        form = seen.pop()
        boxes = tuple(_corners(target[name], name, form, size) for target in targets)
        counts = [len(table) for table in boxes]
        roles = {key: _role(key, [target[key] for target in targets], counts, size, stay) for key in keys if key != name}
        return cls(tuple(targets), {name: BOXES, **roles}, boxes, form, columns)

    def after(self, parts: Sequence[Sequence[Part]], size: tuple[int, int], least: float) -> Any:
        """Return the targets of the mixed images in the original format, with ``weights`` for all boxes.

        Args:
            parts: For each image, the samples that are seen in it.
            size: Height and width of the images.
            least: Boxes are dropped if a smaller share of them is visible.
        """
        made = [self._mixed(row, own, size, least) for row, own in enumerate(parts)]
        if not self.columns:
            return made
        keys = [*self.roles, *((WEIGHTS,) if WEIGHTS not in self.roles else ())]
        return {key: [target[key] for target in made] for key in keys}

    def _mixed(self, row: int, parts: Sequence[Part], size: tuple[int, int], least: float) -> dict[str, Any]:
        own = self.targets[row]
        if len(parts) == 1 and parts[0].whole and parts[0].source == row:
            device = plain(own[self._name]).device
            return dict(own) if WEIGHTS in own else {**own, WEIGHTS: torch.ones(len(self.boxes[row]), device=device)}
        seen = [self._seen(part, size, least) for part in parts]
        mixed: dict[str, Any] = {}
        for key, role in self.roles.items():
            if role == _OF_IMAGE:
                mixed[key] = own[key]
            elif role == BOXES:
                mixed[key] = boxes_like(torch.cat([each.boxes for each in seen]), own[key], size, self.form)
            else:
                mixed[key] = joined([self._value(key, role, each) for each in seen])
        if WEIGHTS not in mixed:
            weights = [torch.full((len(each.kept),), each.part.weight) for each in seen]
            mixed[WEIGHTS] = torch.cat(weights).to(plain(own[self._name]).device)
        return mixed

    @property
    def _name(self) -> str:
        return next(key for key, role in self.roles.items() if role == BOXES)

    def _seen(self, part: Part, size: tuple[int, int], least: float) -> _Seen:
        """Return the boxes of a sample that are kept, and the visible part of each."""
        moved = part.boxes(self.boxes[part.source])
        cut, area = seen_of(moved, part.seen, size)
        whole = (moved[:, 2] - moved[:, 0]).clamp(min=0) * (moved[:, 3] - moved[:, 1]).clamp(min=0)
        share = torch.where(whole > 0, area / whole.where(whole > 0, torch.ones_like(whole)), torch.zeros_like(whole))
        masks: dict[str, Any] = {}
        for key in (key for key, role in self.roles.items() if role == _MASKS):
            given = plain(self.targets[part.source][key]).reshape(len(moved), *size)
            masks[key] = part.maps(given)
            full = (given != 0).flatten(1).sum(1).cpu().double() * (part.scale[0] * part.scale[1])
            held = (masks[key] != 0).flatten(1).sum(1).cpu().double()
            share = torch.where(full > 0, held / full.clamp(min=_LEAST), share)
        kept = ((share >= least) & (share > 0)).nonzero().flatten()
        masks = {key: value[kept.to(value.device)] for key, value in masks.items()}
        return _Seen(part, kept, cut[kept], share[kept], masks)

    def _value(self, key: str, role: str, seen: _Seen) -> Any:
        given = self.targets[seen.part.source][key]
        if role == _MASKS:
            return masks_like(seen.masks[key], given)
        chosen = taken(given, seen.kept)
        if role == _AREA:
            return times(chosen, seen.share * (seen.part.scale[0] * seen.part.scale[1]))
        if role == _WEIGHTS:
            return times(chosen, torch.full((len(seen.kept),), seen.part.weight))
        return points(chosen, seen.part) if role == KEYPOINTS else chosen


_LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class _Seen:
    part: Part
    kept: Tensor
    boxes: Tensor
    share: Tensor
    masks: dict[str, Any]


def are_detections(target: Any) -> bool:
    """Return whether a target is a detection target: a list of dictionaries, or a dictionary of lists."""
    if isinstance(target, list | tuple):
        return bool(target) and all(isinstance(each, Mapping) for each in target)
    return isinstance(target, Mapping)


def _rows_of(given: Mapping[str, Any], rows: int) -> list[dict[str, Any]]:
    for key, values in given.items():
        if not isinstance(values, list | tuple | Tensor) or len(values) != rows:
            got = f"{len(values)}" if hasattr(values, "__len__") else type(values).__name__
            raise _refused(key, f"{rows} entries, one for each image", got)
    return [{key: values[row] for key, values in given.items()} for row in range(rows)]


def _boxes_among(keys: Sequence[str], targets: Sequence[Mapping[str, Any]], stay: Sequence[Name]) -> str:
    found = [key for key in keys if key not in stay and (type_of(targets[0][key]) or called(key)) == BOXES]
    if len(found) != 1:
        got = f"{' and '.join(map(repr, found))}" if found else f"none among {sorted(map(str, keys))}"
        fix = "Pipeline(stay=(...,)) names those that do not move." if found else "Call them 'boxes'."
        raise FeatmixError(_WHO, "target", expected="one entry of boxes", got=got, fix=fix)
    return found[0]


def _form(given: Any, name: str, forms: Mapping[str, str]) -> str:
    """Return the format of boxes; raise an error if it is unclear whether they are corners or in the format of ``sample``."""
    if name in forms:
        return forms[name]
    others = [form for form in forms.values() if form != XYXY]
    if others and not type_of(given) and not name.lower().endswith(("_xyxy", "_xywh", "_cxcywh")):
        fix = "Keep the name 'bboxes', end it in _xyxy or _xywh, or use torchvision's tv_tensors.BoundingBoxes."
        raise _refused(name, "a name, or a class, that says how boxes are meant", f"{others[0]} in sample=", fix)
    return form_of(given, name)


def _corners(given: Any, name: str, form: str, size: tuple[int, int]) -> Tensor:
    told = getattr(given, "canvas_size", None)
    if told is not None and tuple(told) != size:
        raise _refused(name, f"boxes on images of {size}", f"boxes on {tuple(told)}")
    return as_table(plain(given).detach().cpu().double(), _WHO, f"target[{name!r}]", boxes=True, form=form)


def _role(key: str, values: Sequence[Any], counts: Sequence[int], size: tuple[int, int], stay: Sequence[Name]) -> str:
    """Return the kind of an entry, or raise an error that names it."""
    if all(_is_single(value) for value in values):
        return _OF_IMAGE
    fits = all(not _is_single(value) and len(value) == count for value, count in zip(values, counts, strict=True))
    if key in stay or key in _IMAGES:
        return _PLAIN if fits and key in stay else _OF_IMAGE
    if not fits:
        expected = f"as many entries as boxes, {list(counts)}"
        got = f"{[len(value) if hasattr(value, '__len__') else type(value).__name__ for value in values]}"
        raise _refused(key, expected, got, f"Pipeline(stay=({key!r},)) if it is the image's own.")
    shapes = {tuple(_shape_of(value)[1:]) for value, count in zip(values, counts, strict=True) if count}
    kind = next((kind for value in values if (kind := type_of(value))), called(key))
    if not shapes:
        return _MASKS if kind in (MAP, "Mask") and all(len(_shape_of(value)) == 3 for value in values) else _PLAIN
    if shapes == {size} and kind in ("", MAP, "Mask"):
        return _MASKS
    if kind == KEYPOINTS and all(len(shape) == 2 and shape[1] == 3 for shape in shapes) and not type_of(values[0]):
        return KEYPOINTS
    if kind or any(len(shape) == 1 and shape[0] in (4, 5) for shape in shapes) or any(shape[-2:] == size for shape in shapes):
        expected = f"masks (N, {size[0]}, {size[1]}), keypoints (N, K, 3) with their visibility, or one entry for each box"
        fix = f"Pipeline(stay=({key!r},)) if it does not move."
        raise _refused(key, expected, f"{kind or 'a table'} ({type(values[0]).__name__}) that would be left behind", fix)
    return _AREA if key in _AREAS else _WEIGHTS if key == WEIGHTS else _PLAIN


def _refused(key: Any, expected: str, got: str, fix: str = "") -> FeatmixError:
    return FeatmixError(_WHO, f"target[{key!r}]", expected=expected, got=got, fix=fix)


def _is_single(value: Any) -> bool:
    if isinstance(value, Tensor | np.ndarray):
        return value.ndim == 0
    return not isinstance(value, list | tuple)


def _shape_of(value: Any) -> tuple[int, ...]:
    if isinstance(value, Tensor | np.ndarray):
        return tuple(value.shape)
    first = value[0] if len(value) else None
    return (len(value), *(_shape_of(first) if isinstance(first, list | tuple | Tensor | np.ndarray) else ()))
