"""Entries with one value for each box: selected, moved and concatenated, with the class of the original."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.pipeline.coordinates import like_table
from featmix.pipeline.parts import Part


def taken(given: Any, kept: Tensor) -> Any:
    """Return the entries with these indices, of a tensor, an array, a list or a tuple."""
    if isinstance(given, Tensor):
        return given[kept.to(given.device)]
    if isinstance(given, np.ndarray):
        return given[kept.numpy()]
    return type(given)(given[k] for k in kept.tolist())


def times(values: Any, factors: Tensor) -> Any:
    """Multiply numbers of any kind; whole numbers become floating."""
    if not isinstance(values, Tensor):
        array = np.asarray(values, dtype=np.float64) * factors.double().numpy()
        if isinstance(values, np.ndarray):
            return array.astype(values.dtype) if values.dtype.kind == "f" else array
        return type(values)(array.tolist())
    dtype = values.dtype if values.is_floating_point() else torch.float32
    return (values.double() * factors.double().to(values.device)).to(dtype)


def points(given: Any, part: Part) -> Any:
    """Return keypoints ``(N, K, 3)`` at their new place; those that are hidden are 0, and so is their visibility."""
    table = plain(given)
    place = table[..., :2].double().cpu()
    scale, shift = (place.new_tensor(list(pair)[::-1]) for pair in (part.scale, part.shift))
    moved = (place + 0.5) * scale + shift  # the middle of a pixel is at half of it
    new = torch.cat([moved - 0.5, table[..., 2:].double().cpu()], dim=-1)
    held = new[..., 2] > 0
    if part.seen is not None:
        high, wide = part.seen.shape
        column, row = moved[..., 0].floor().long(), moved[..., 1].floor().long()
        held = held & (column >= 0) & (column < wide) & (row >= 0) & (row < high)
        held = held & part.seen[row.clamp(0, high - 1), column.clamp(0, wide - 1)]
    new = new * held.unsqueeze(-1)
    done = new.to(table.device, table.dtype if table.is_floating_point() or part.stands else torch.float32)
    return again(done, given)


def again(table: Tensor, given: Any) -> Any:
    """Convert a table to the class of the original."""
    if isinstance(given, Tensor):
        return table if type(given) is Tensor else type(given)(table)
    return table.cpu().numpy() if isinstance(given, np.ndarray) else table.tolist()


def masks_like(maps: Tensor, given: Any) -> Any:
    """Convert instance maps to the class of the original; for a list, a list of maps."""
    if isinstance(given, Tensor | np.ndarray):
        return again(maps, given)
    arrays = not any(isinstance(each, Tensor) for each in given)
    return type(given)(each.numpy() if arrays else each for each in maps)


def boxes_like(table: Tensor, given: Any, size: tuple[int, int], form: str) -> Any:
    """Convert boxes as corners to the format and class of the original; whole numbers become float32."""
    if isinstance(given, Tensor):
        table = table.to(given.device, given.dtype if given.is_floating_point() else torch.float32)
    elif not isinstance(given, np.ndarray) or given.dtype.kind != "f":
        table = table.float()
    return like_table(table, given, size, form=form)


def joined(values: Sequence[Any]) -> Any:
    """Concatenate entries of several samples."""
    first = values[0]
    if isinstance(first, Tensor):
        return again(torch.cat([value.as_subclass(Tensor) for value in values]), first)
    if isinstance(first, np.ndarray):
        return np.concatenate(values)
    return type(first)(each for value in values for each in value)


def plain(given: Any) -> Tensor:
    """Return a plain tensor of a tensor of any class, an array, or a list of either."""
    if isinstance(given, Tensor):
        return given.as_subclass(Tensor)
    if isinstance(given, list | tuple) and given and isinstance(given[0], Tensor):
        return torch.stack([each.as_subclass(Tensor) for each in given])
    return torch.as_tensor(np.asarray(given))
