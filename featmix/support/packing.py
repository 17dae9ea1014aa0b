"""Many small tensors sent to another device in one copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
import torch
from torch import Tensor

_DTYPES = (torch.float64, torch.int64, torch.float32, torch.int32, torch.float16, torch.bfloat16, torch.uint8, torch.bool)
_ALIGNED = 16  # bytes

_Kind = tuple[torch.dtype, torch.Size]


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
    small = [k for k, t in enumerate(once) if _packable(t)]
    there = list(once)
    if len(small) > 1:
        for k, part in zip(small, packed([once[k] for k in small], device), strict=True):
            there[k] = part
    for k, t in enumerate(once):
        if there[k] is t:
            there[k] = t.to(device, non_blocking=True)
        if t is not tensors[k]:
            there[k] = there[k].expand(tensors[k].shape)
    return there


def packed(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return views of one buffer on the device, one for each tensor on the host.

    Each part begins at a multiple of 16 bytes. What a decision takes on its way to a GPU is the time of these few operations:
    where parts lie is worked out once for tensors of the same shapes and dtypes.
    """
    plan = _plan(tuple((t.dtype, t.shape) for t in tensors))
    buffer = torch.empty(plan.size, dtype=torch.uint8, pin_memory=device.type == "cuda")
    written = buffer.numpy()
    for t, (start, end) in zip(tensors, plan.bounds, strict=True):
        written[start:end] = _bytes(t)
    arrived = buffer.to(device, non_blocking=True)
    pieces: list[Tensor] = []
    for dtype, sizes in plan.cuts:
        pieces += arrived.view(dtype).split_with_sizes(sizes)
    return [pieces[at] if shape is None else pieces[at].view(shape) for at, shape in plan.found]


@dataclass(frozen=True)
class _Plan:
    """Where tensors lie in a buffer.

    Args:
        size: Of the buffer, in bytes.
        bounds: The first byte of each tensor, and the first one past it.
        cuts: For each dtype, the sizes of all parts of the buffer, of tensors, of padding and of what lies around them.
        found: Of each tensor, its number among all parts of all cuts, and its shape where it has more than one axis.
    """

    size: int
    bounds: tuple[tuple[int, int], ...]
    cuts: tuple[tuple[torch.dtype, tuple[int, ...]], ...]
    found: tuple[tuple[int, torch.Size | None], ...]


@lru_cache(maxsize=256)
def _plan(kinds: tuple[_Kind, ...]) -> _Plan:
    order = sorted(range(len(kinds)), key=lambda k: _DTYPES.index(kinds[k][0]))
    starts, size = dict[int, int](), 0
    for k in order:
        starts[k] = size
        size += -(-prod(kinds[k][1]) * kinds[k][0].itemsize // _ALIGNED) * _ALIGNED
    cuts: list[tuple[torch.dtype, tuple[int, ...]]] = []
    places, parts = dict[int, int](), 0
    for dtype in _DTYPES:
        sizes, at = list[int](), 0
        for k in (k for k in order if kinds[k][0] == dtype):
            start, count = starts[k] // dtype.itemsize, prod(kinds[k][1])
            places[k] = parts + len(sizes) + 1
            sizes += [start - at, count]
            at = start + count
        if sizes:
            sizes.append(size // dtype.itemsize - at)
            cuts.append((dtype, tuple(sizes)))
            parts += len(sizes)
    bounds = tuple((starts[k], starts[k] + prod(shape) * dtype.itemsize) for k, (dtype, shape) in enumerate(kinds))
    found = tuple((places[k], shape if len(shape) != 1 else None) for k, (_, shape) in enumerate(kinds))
    return _Plan(size, bounds, tuple(cuts), found)


def _bytes(t: Tensor) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    if t.dtype == torch.bfloat16:  # NumPy has none
        t = t.view(torch.int16)
    return t.numpy().ravel().view(np.uint8)


def _packable(t: Tensor) -> bool:
    return t.device.type == "cpu" and t.dtype in _DTYPES and t.numel() > 0


def _spread(t: Tensor) -> bool:
    return t.ndim > 1 and t.shape[0] > 1 and t.stride(0) == 0
