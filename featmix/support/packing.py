"""Many small tensors sent to another device in one copy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_DTYPES = (torch.float64, torch.int64, torch.float32, torch.int32, torch.float16, torch.bfloat16, torch.uint8, torch.bool)
_ALIGNED = 16  # bytes


def sent(tensors: Sequence[Tensor], device: torch.device | str) -> list[Tensor]:
    """Return the same tensors on another device.

    Tensors that lie on the host are packed into one buffer, pinned where the device is a GPU, and sent with one copy that
    does not make the host wait. What comes back are views of it. A tensor that is on the device already stays as it is.

    Args:
        tensors: Any number, of any shapes and dtypes; decisions, which carry no gradient.
        device: Where they are to go.

    Example:
        >>> rows, shares = sent([torch.arange(3), torch.ones(2, 2)], "meta")
        >>> rows.device.type, rows.dtype, shares.shape
        ('meta', torch.int64, torch.Size([2, 2]))
    """
    device = torch.device(device)
    if device.type == "cpu":
        return [t.to(device) for t in tensors]
    once = [t[:1] if _spread(t) else t for t in tensors]  # rows that share their memory go once
    small = [t for t in once if _packable(t)]
    found = packed(small, device) if len(small) > 1 else {}
    there = [found[id(t)] if id(t) in found else t.to(device, non_blocking=True) for t in once]
    return [each.expand(t.shape) if _spread(t) else each for each, t in zip(there, tensors, strict=True)]


def packed(tensors: Sequence[Tensor], device: torch.device) -> dict[int, Tensor]:
    """Return views of one buffer on the device, by the identity of the tensor on the host that each came from.

    Each part begins at a multiple of 16 bytes. The buffer is written by NumPy and cut by few operations: what a decision takes
    on its way to a GPU is the time of those.
    """
    groups = [(dtype, [t for t in tensors if t.dtype == dtype]) for dtype in _DTYPES]
    parts = [t for _, found in groups for t in found]
    starts = [0]
    for t in parts:
        starts.append(starts[-1] + -(-t.numel() * t.dtype.itemsize // _ALIGNED) * _ALIGNED)
    buffer = torch.empty(starts[-1], dtype=torch.uint8, pin_memory=device.type == "cuda")
    written = buffer.numpy()
    for t, start in zip(parts, starts, strict=False):
        values = _bytes(t)
        written[start : start + len(values)] = values
    arrived, views, first = buffer.to(device, non_blocking=True), dict[int, Tensor](), 0
    for dtype, found in groups:
        if found:
            ends = [start // dtype.itemsize for start in starts[first : first + len(found) + 1]]
            views.update(_cut(arrived.view(dtype), found, ends))
            first += len(found)
    return views


def _cut(buffer: Tensor, tensors: Sequence[Tensor], starts: Sequence[int]) -> dict[int, Tensor]:
    """Return the parts of a buffer, of a dtype, that lie from one start to the next, without the padding behind each."""
    sizes = [starts[0]]
    for t, start, end in zip(tensors, starts, starts[1:], strict=False):
        sizes += [t.numel(), end - start - t.numel()]
    parts = buffer.split_with_sizes([*sizes, buffer.numel() - sum(sizes)])[1::2]
    return {id(t): part if t.ndim == 1 else part.view(t.shape) for t, part in zip(tensors, parts, strict=False)}


def _bytes(t: Tensor) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    if t.dtype == torch.bfloat16:  # NumPy has none
        t = t.view(torch.int16)
    return np.ascontiguousarray(t.numpy()).reshape(-1).view(np.uint8)


def _packable(t: Tensor) -> bool:
    return t.device.type == "cpu" and t.dtype in _DTYPES and t.numel() > 0


def _spread(t: Tensor) -> bool:
    return t.ndim > 1 and t.shape[0] > 1 and t.stride(0) == 0
