"""Boxes and keypoints as tables of numbers, converted between the user's format and that of a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.pipeline.targets import BOXES, type_of

XYXY, XYWH, CXCYWH = "xyxy", "xywh", "cxcywh"
_WIDTH = {True: 4, False: 2}


def form_of(value: Any, name: Any = "") -> str:
    """Return the format of boxes, from their class or the end of their name; ``xyxy`` if neither says it."""
    told = getattr(value, "format", None) if type_of(value) == BOXES else None
    if told is not None:
        return str(getattr(told, "name", told)).lower()
    return next((form for form in (CXCYWH, XYWH) if isinstance(name, str) and name.lower().endswith(f"_{form}")), XYXY)


def as_table(value: Any, who: str, argument: str, *, boxes: bool, form: str = XYXY) -> Tensor:
    """Convert to boxes ``(N, 4)`` as corners, or points ``(N, 2)``, floating.

    Args:
        value: A tensor, an array or a list of rows.
        who: Name of the caller, for messages.
        argument: Name of the argument, for messages.
        boxes: Whether they are boxes.
        form: Format of the boxes: ``xyxy``, ``xywh`` or ``cxcywh``.

    Raises:
        FeatmixError: If it has another shape or format.
    """
    table = value.as_subclass(Tensor) if isinstance(value, Tensor) else torch.from_numpy(np.asarray(value, np.float32))
    if table.numel() == 0:
        table = table.reshape(0, _WIDTH[boxes])
    if table.ndim != 2 or table.shape[1] != _WIDTH[boxes] or form not in (XYXY, XYWH, CXCYWH):
        expected = "boxes (N, 4) as xyxy, xywh or cxcywh" if boxes else "keypoints (N, 2)"
        raise FeatmixError(who, argument, expected=expected, got=f"shape {tuple(table.shape)}" + f", {form}" * boxes)
    table = table if table.is_floating_point() else table.float()
    if not boxes or form == XYXY:
        return table
    first, second = table[:, :2], table[:, 2:]
    low = first - second / 2 if form == CXCYWH else first
    return torch.cat([low, low + second], dim=1)


def like_table(table: Tensor, given: Any, size: tuple[int, ...], *, form: str = XYXY) -> Any:
    """Convert a table back to the format, the class and the floating dtype of the original.

    Args:
        table: The result of :func:`as_table`, after the transform.
        given: The original.
        size: Height and width of the image after the transform.
        form: Format of the boxes: ``xyxy``, ``xywh`` or ``cxcywh``.
    """
    if form in (XYWH, CXCYWH):
        low, high = table[:, :2], table[:, 2:]
        table = torch.cat([(low + high) / 2 if form == CXCYWH else low, high - low], dim=1)
    if type_of(given):
        kind: Any = type(given)
        told = {"format": given.format} if hasattr(given, "format") else {}
        return kind(table.to(given.dtype if given.is_floating_point() else table.dtype), canvas_size=tuple(size), **told)
    if isinstance(given, Tensor):
        return table.to(given.dtype) if given.is_floating_point() else table
    array = table.numpy()
    if isinstance(given, np.ndarray):
        return array.astype(given.dtype) if given.dtype.kind == "f" else array
    return array.tolist()


def padded(tables: Sequence[Tensor], like: Tensor) -> Tensor:
    """Put the tables of a batch into one tensor, padded with rows that :func:`cut` removes again."""
    most = max(map(len, tables))
    rows = torch.zeros(len(tables), most, tables[0].shape[1], dtype=like.dtype, device=like.device)
    rows[..., 2:] = 1  # a box has to have a size
    for row, table in zip(rows, tables, strict=True):
        row[: len(table)] = table
    return rows


def cut(rows: Tensor, tables: Sequence[Tensor]) -> list[Tensor]:
    """Undo :func:`padded`: return the separate tables, each on its original device."""
    return [row[: len(table)].to(table.device) for row, table in zip(rows, tables, strict=True)]


@dataclass(frozen=True)
class Tables:
    """Boxes or points of a batch.

    Args:
        given: The original, or ``None``.
        tables: One for each image, floating, boxes as corners.
    """

    given: Any
    tables: tuple[Tensor, ...]

    @classmethod
    def of(cls, given: Any, name: str, rows: int) -> Tables:
        """Read boxes or points of a batch with this number of rows.

        Raises:
            FeatmixError: If there is not one table for each row.
        """
        if given is None:
            return cls(None, ())
        if (
            not isinstance(given, Tensor | list | tuple)
            or len(given) != rows
            or (isinstance(given, Tensor) and given.ndim != 3)
        ):
            got = f"shape {tuple(given.shape)}" if isinstance(given, Tensor) else type(given).__name__
            fix = "A list of tensors, one for each image."
            raise FeatmixError("Mixer.prepare", name, expected=f"{rows} tables", got=got, fix=fix)
        boxes = name == "boxes"
        return cls(given, tuple(as_table(each, "Mixer.prepare", name, boxes=boxes, form=form_of(each)) for each in given))

    def again(self, moved: Sequence[Tensor], size: Sequence[int]) -> Any:
        """Convert transformed tables back to the original format.

        Args:
            moved: One table for each image.
            size: Height and width of the images after the transform.

        Raises:
            FeatmixError: If some rows were dropped, since their labels are not known here.
        """
        if self.given is None:
            return None
        counts = [len(table) for table in moved], [len(table) for table in self.tables]
        if counts[0] != counts[1]:
            fix = "Drop boxes in sample=, where their labels go along."
            raise FeatmixError("Pipeline", "batch", expected=f"{counts[1]} rows back", got=f"{counts[0]}", fix=fix)
        new = [like_table(table, each, tuple(size), form=form_of(each)) for table, each in zip(moved, self.given, strict=True)]
        return torch.stack(new) if isinstance(self.given, Tensor) else new
