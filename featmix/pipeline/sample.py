"""The ``sample`` part: transforms the images of one item with their masks, boxes and keypoints, in the loader's workers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.pipeline.batch import apply_to_batch, apply_to_tables, apply_to_views
from featmix.pipeline.coordinates import as_table, form_of, like_table
from featmix.pipeline.geometry import moves_geometry
from featmix.pipeline.images import as_array, as_float_image, as_mask, is_map, is_pil
from featmix.pipeline.items import Item, plane_size, take_apart
from featmix.pipeline.names import Names
from featmix.pipeline.origin import library_of
from featmix.pipeline.sample_albumentations import by_albumentations
from featmix.pipeline.targets import BOXES, KEYPOINTS, MAP, Target, changed, targets_in, with_targets
from featmix.support.extras import imported

_PLAIN = Names()
_BY_KORNIA = re.compile(r"(^|_)(bbox_xyxy|bbox_xywh|keypoints)$", re.IGNORECASE)
_FIX = {
    "kornia": "Name boxes 'bbox_xyxy' or 'bbox_xywh', points 'keypoints' (kornia's data_keys).",
    "torchvision.transforms.v2": "Wrap it: tv_tensors.BoundingBoxes, KeyPoints or Mask.",
    "": "A callable gets images and masks alone: use albumentations with bbox_params, or torchvision's with tv_tensors.",
}


def apply_to_item(transform: Any, item: Any, names: Names = _PLAIN) -> Any:
    """Transform the images of an item, and masks, boxes and keypoints, with the same random parameters; labels stay.

    Args:
        transform: One of albumentations (targets are passed by its names), torchvision v2 (``tv_tensors`` are transformed too),
            kornia (by its ``data_keys``), or any callable that takes images and masks, and returns as many.
        item: See :func:`~featmix.pipeline.items.take_apart`.
        names: Which entries are images and masks, and which stay.

    Raises:
        FeatmixError: If the item has no image, a callable returns another number of images and masks, a transform does not
            support several images, or a target would not be transformed.
    """
    taken = take_apart(item, names)
    library = library_of(transform)
    targets = _targets(item, taken, names)
    if library == "albumentations":
        return by_albumentations(transform, item, taken, targets)
    typed = library == "torchvision.transforms.v2" and any(target.typed for target in targets)
    known = [target for target in targets if library == "kornia" and _is_known_to_kornia(target)]
    left = [target for target in targets if target not in known and not (typed and target.typed)]
    if left and moves_geometry(transform):
        raise left[0].refused(_FIX[library])
    if typed:
        return _whole_by_torchvision(transform, taken, names)
    if known:
        return _whole_by_kornia(transform, item, taken, known)
    if library == "torchvision.transforms.v2":
        moved = _torchvision(transform, *taken.channels_first())
    elif library == "kornia":
        moved = _kornia(transform, *taken.channels_first())
    else:
        moved = together(transform, taken.images, taken.masks, "sample")
    count = len(taken.images)
    return taken.put_back(moved[:count], moved[count:])


def _targets(item: Any, taken: Item, names: Names) -> list[Target]:
    """Return the targets of the images; with ``masks=``, maps that it does not name stay."""
    if not taken.names:
        return []
    told = names.masks is not None
    found = targets_in(item, taken.names, names.stay, size=None if told else plane_size(taken.names[0], taken.images[0]))
    return [t for t in found if not (told and t.kind == MAP and not t.typed and (is_map(t.value) or not names.masks))]


def together(transform: Any, images: Sequence[Any], masks: Sequence[Any], argument: str) -> list[Any]:
    """Apply a callable to images and their masks in one call, so that they move alike."""
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


def _torchvision(transform: Any, images: Sequence[Any], masks: Sequence[Any]) -> list[Any]:
    kinds = imported("torchvision.tv_tensors", subject="Pipeline", install="torchvision")
    wrapped = [_as_torchvision_has_it(image, kinds) for image in images]
    maps = [kinds.Mask(mask if isinstance(mask, Tensor) else torch.from_numpy(as_array(mask, image=False))) for mask in masks]
    inputs = [*wrapped, *maps]
    done = transform(*inputs) if len(inputs) > 1 else (transform(*inputs),)
    return [value.as_subclass(Tensor) if isinstance(value, Tensor) else value for value in done]


def _whole_by_torchvision(transform: Any, taken: Item, names: Names) -> Any:
    """Transform a whole item in torchvision's form, with ``tv_tensors``."""
    kinds = imported("torchvision.tv_tensors", subject="Pipeline", install="torchvision")
    images = [_as_torchvision_has_it(image, kinds) for image in taken.images]
    maps = [
        kinds.Mask(mask if isinstance(mask, Tensor) else torch.from_numpy(as_array(mask, image=False))) for mask in taken.masks
    ]
    hidden = changed(taken.put_back(images, maps), lambda name, value: _hidden(name, value, taken, names))
    done = changed(transform(hidden), _shown)
    new = [done[name] for name in taken.names]
    plain = [value.as_subclass(Tensor) if isinstance(value, Tensor) else value for value in new]
    again = dict(zip(taken.names, plain, strict=True))
    return changed(done, lambda name, value: again.get(name, value))


class _Kept:
    """Hides a value from a transform."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _hidden(name: Any, value: Any, taken: Item, names: Names) -> Any:
    """Hide arrays and PIL images that are no images of the item, since torchvision would transform them."""
    if name in taken.names:
        return value
    if name in names.stay or is_pil(value) or isinstance(value, np.ndarray):
        return _Kept(value)
    if isinstance(value, Mapping | list | tuple):
        return changed(value, lambda inner, held: _hidden((name, inner), held, taken, names))
    return value


def _shown(_: Any, value: Any) -> Any:
    if isinstance(value, _Kept):
        return value.value
    return changed(value, _shown) if isinstance(value, Mapping | list | tuple) else value


def _is_known_to_kornia(target: Target) -> bool:
    if target.typed:
        return target.kind in (BOXES, KEYPOINTS) or (target.kind == MAP and is_map(target.value))
    return isinstance(target.name, str) and _BY_KORNIA.search(target.name) is not None


def _whole_by_kornia(transform: Any, item: Any, taken: Item, targets: Sequence[Target]) -> Any:
    """Transform images, masks, boxes and keypoints of an item by one call."""
    if len(taken.images) > 1:
        got = f"{len(taken.images)} images"
        fix = "Use albumentations or torchvision's transforms, which move several images with their targets."
        raise FeatmixError("Pipeline", "images", expected="one image, beside boxes and keypoints for kornia", got=got, fix=fix)
    images, masks = taken.channels_first()
    x = as_float_image(images[0]).unsqueeze(0)
    found = {kind: [target for target in targets if target.kind == kind] for kind in (MAP, BOXES, KEYPOINTS)}
    maps = [as_mask(mask).unsqueeze(0) for mask in (*masks, *(target.value for target in found[MAP]))]
    forms = {target: form_of(target.value, target.name) for target in found[BOXES]}
    tables = {kind: [_table(t, forms.get(t, "xyxy")) for t in found[kind]] for kind in (BOXES, KEYPOINTS)}
    joined = {kind: [torch.cat(tables[kind])] if tables[kind] else [] for kind in tables}  # all of them in one image
    image, moved, boxes, points = apply_to_tables(transform, x, maps, joined[BOXES], joined[KEYPOINTS], "sample")
    size = tuple(image.shape[-2:])
    new: dict[Any, Any] = {}
    for kind, rows in ((BOXES, boxes), (KEYPOINTS, points)):
        parts = torch.split(rows[0], [len(table) for table in tables[kind]]) if rows else ()
        for target, table in zip(found[kind], parts, strict=True):
            new[target.way] = like_table(table, target.value, size, form=forms.get(target, "xyxy"))
    flat = [value.squeeze(0) for value in moved]
    for target, value in zip(found[MAP], flat[len(taken.masks) :], strict=True):
        new[target.way] = type(target.value)(value)
    return with_targets(taken.put_back([image.squeeze(0)], flat[: len(taken.masks)]), new)


def _table(target: Target, form: str) -> Tensor:
    return as_table(target.value, "Pipeline", f"item[{target.name!r}]", boxes=target.kind == BOXES, form=form)


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
