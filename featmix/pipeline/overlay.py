"""Masks and boxes of items, drawn over their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.pipeline.batch import apply_to_batch, apply_to_tables, is_of_kornia
from featmix.pipeline.coordinates import CXCYWH, XYWH, XYXY, as_table, form_of
from featmix.pipeline.images import as_mask
from featmix.pipeline.items import take_apart
from featmix.pipeline.names import Names, box_forms
from featmix.pipeline.origin import library_of
from featmix.pipeline.targets import BOXES, targets_in
from featmix.support.extras import imported

_FAINT, _LINE = 0.45, "#ff3b30"


@dataclass(frozen=True)
class Laid:
    """The mask and the boxes of an image.

    Args:
        mask: ``(H, W)``, or ``None``.
        boxes: ``(N, 4)``, as corners in pixels.
    """

    mask: Tensor | None
    boxes: Tensor


def laid_on(item: Any, names: Names, sample: Any) -> Laid:
    """Return the first mask and all boxes of an item; boxes in an unknown format are left out.

    Args:
        item: The item.
        names: Which entries are images and masks.
        sample: The ``sample`` part, which may give the format of boxes.
    """
    taken = take_apart(item, names)
    masks = [as_mask(mask) for mask in taken.channels_first()[1]]
    mask = next((mask for mask in masks if mask.ndim == 2), None)
    boxes = [torch.zeros(0, 4)]
    for target in targets_in(item, taken.names) if taken.names else ():
        form = _form(target.value, target.name, sample) if target.kind == BOXES else ""
        if form and len(target.value) and np.ndim(target.value) == 2:
            rows = torch.as_tensor(np.asarray(target.value, np.float32))[:, :4]
            boxes.append(as_table(rows, "Pipeline.preview", "boxes", boxes=True, form=form))
    return Laid(mask, torch.cat(boxes))


def _form(value: Any, name: Any, sample: Any) -> str:
    """Return the format of boxes; empty if they are not in pixels, or the format is unknown."""
    form = box_forms(sample).get(name) or form_of(value, name)
    return form if form in (XYXY, XYWH, CXCYWH) else ""


def after_batch(batch: Any, x: Tensor, laid: Sequence[Laid]) -> tuple[Tensor, list[Laid]]:
    """Return images after the ``batch`` part, with masks and boxes; without them if ``batch`` is a callable.

    Args:
        batch: The ``batch`` part.
        x: ``(B, C, H, W)``.
        laid: Masks and boxes of each image.
    """
    masks = [each.mask for each in laid if each.mask is not None and each.mask.shape == x.shape[-2:]]
    with_boxes = any(len(each.boxes) for each in laid)
    moves = is_of_kornia(batch) or library_of(batch) == "torchvision.transforms.v2"
    if x.ndim != 4 or not moves or len(masks) not in (0, len(laid)) or not (masks or with_boxes):
        return apply_to_batch(batch, x, ())[0], [Laid(None, torch.zeros(0, 4)) for _ in laid]
    stacked = [torch.stack(masks)] if masks else []
    done, maps, boxes, _ = apply_to_tables(batch, x, stacked, [each.boxes for each in laid] if with_boxes else [], [], "batch")
    moved = list(maps[0]) if masks else [None] * len(laid)
    return done, [Laid(mask, table) for mask, table in zip(moved, boxes or [each.boxes for each in laid], strict=True)]


def draw_laid(axis: Any, laid: Laid) -> None:
    """Draw a transparent mask, and boxes, over the image on an axis of matplotlib."""
    if laid.mask is not None:
        mask = laid.mask.float().numpy()
        axis.imshow(np.ma.masked_where(mask == 0, mask), cmap="tab10", alpha=_FAINT, interpolation="nearest")
    patches = imported("matplotlib.patches", subject="Pipeline.preview", install="featmix[pipeline]")
    for left, top, right, bottom in laid.boxes.tolist():
        place = (left - 0.5, top - 0.5)  # pictures have the middle of a pixel at whole numbers
        axis.add_patch(patches.Rectangle(place, right - left, bottom - top, fill=False, edgecolor=_LINE, linewidth=1))
