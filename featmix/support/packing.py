"""Many small tensors sent to another device in one copy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_DTYPES = (torch.float64, torch.int64, torch.float32, torch.int32, torch.float16, torch.bfloat16, torch.uint8, torch.bool)


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
    if device.type != "cpu" and any(_spread(t) for t in tensors):  # rows that share their memory go once
        once = sent([t[:1] if _spread(t) else t for t in tensors], device)
        return [each.expand(t.shape) if _spread(t) else each for each, t in zip(once, tensors, strict=True)]
    packable = [t for t in tensors if t.device.type == "cpu" and t.dtype in _DTYPES and t.numel()]
    if device.type == "cpu" or len(packable) < 2:
        return [t if t.device == device else t.to(device, non_blocking=device.type == "cuda") for t in tensors]
    there = _packed(packable, device)
    return [there[id(t)] if id(t) in there else t.to(device, non_blocking=True) for t in tensors]


def _spread(t: Tensor) -> bool:
    return t.ndim > 1 and t.shape[0] > 1 and t.stride(0) == 0


def _packed(tensors: Sequence[Tensor], device: torch.device) -> dict[int, Tensor]:
    """Return the views by the identity of the tensor that each came from."""
    groups = [(dtype, [t for t in tensors if t.dtype == dtype]) for dtype in _DTYPES]  # widest first: all stay aligned
    groups = [(dtype, found) for dtype, found in groups if found]
    counts = [sum(t.numel() for t in found) for _, found in groups]
    ends = _ends([count * dtype.itemsize for (dtype, _), count in zip(groups, counts, strict=True)])
    buffer = torch.empty(ends[-1], dtype=torch.uint8, pin_memory=device.type == "cuda")
    for (dtype, found), count, start in zip(groups, counts, [0, *ends], strict=False):
        flat = buffer[start : start + count * dtype.itemsize].view(dtype)
        torch.cat([t.reshape(-1) for t in found], out=flat)
    arrived = buffer.to(device, non_blocking=True)
    views: dict[int, Tensor] = {}
    for (dtype, found), count, start in zip(groups, counts, [0, *ends], strict=False):
        flat = arrived[start : start + count * dtype.itemsize].view(dtype)
        for t, part in zip(found, flat.split_with_sizes([t.numel() for t in found]), strict=True):
            views[id(t)] = part if t.ndim == 1 else part.view(t.shape)
    return views


def _ends(sizes: Sequence[int]) -> list[int]:
    """Return where each part of the buffer ends, the next one aligned to 16 bytes."""
    ends: list[int] = []
    for size in sizes:
        ends.append((ends[-1] if ends else 0) + -(-size // 16) * 16)
    return ends
