"""Moments and their application on the CPU, one block of samples after the other.

Moment exchange is bound by memory: features are read for the moments, read again, and written. A block fits into the cache, so
that what happens to it between reading and writing costs no memory traffic, and scratch memory is as large as a block and no
larger. Everything here works on tensors whose samples lie one after the other in memory, in any order of the other axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor

BLOCK_BYTES = 1 << 20  # timed from 256 KiB to 4 MiB: flat from 512 KiB on, and small enough for caches to share


def blocks(x: Tensor) -> Iterator[slice]:
    """Slices of the batch, of about ``BLOCK_BYTES`` in float32."""
    rows = max(1, BLOCK_BYTES // (4 * max(1, prod(x.shape[1:]))))
    for start in range(0, len(x), rows):
        yield slice(start, start + rows)


def moments(x: Tensor, dims: tuple[int, ...], *, eps: float, unbiased: bool) -> tuple[Tensor, Tensor]:
    """Mean and ``sqrt(var + eps)`` over ``dims``, in float32 or float64: one pass over memory.

    Within the cache it is two passes, and the mean is corrected by what it lost to rounding.
    """
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    n = prod(x.shape[d] for d in dims)
    shape = [1 if d in dims else size for d, size in enumerate(x.shape)]
    mean, std = (torch.empty(shape, dtype=wide) for _ in range(2))
    scratch = _scratch(x, wide)
    for rows in blocks(x):
        block, centred = x[rows], scratch[: len(x[rows])]
        m = block.mean(dims, keepdim=True, dtype=wide)
        torch.sub(block, m, out=centred)
        lost = centred.mean(dims, keepdim=True)
        squares = centred.mul_(centred).sum(dims, keepdim=True)
        torch.add(m, lost, out=mean[rows])
        variance = (squares - n * lost.square()).clamp_(min=0).div_(max(n - unbiased, 1))
        torch.sqrt(variance.add_(eps), out=std[rows])
    return mean, std


def affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``x * scale + shift`` in the dtype and memory format of ``x``: one pass over memory."""
    y = torch.empty_like(x)
    scratch = None if x.dtype == scale.dtype else _scratch(x, scale.dtype)
    for rows in blocks(x):
        if scratch is None:
            torch.addcmul(shift[rows], x[rows], scale[rows], out=y[rows])
        else:
            wide = scratch[: len(x[rows])].copy_(x[rows])
            y[rows].copy_(torch.addcmul(shift[rows], wide, scale[rows], out=wide))
    return y


def sums(g: Tensor, x: Tensor, mean: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """``sum g`` and ``sum g * (x - mean)`` over ``dims``: one pass over both."""
    total, against = torch.empty_like(mean), torch.empty_like(mean)
    scratch = _scratch(x, mean.dtype)
    for rows in blocks(x):
        centred = torch.sub(x[rows], mean[rows], out=scratch[: len(x[rows])])
        total[rows] = g[rows].sum(dims, keepdim=True, dtype=mean.dtype)
        against[rows] = centred.mul_(g[rows]).sum(dims, keepdim=True)
    return total, against


def combine(g: Tensor, a: Tensor, x: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """``g * a + x * b + c`` in the dtype and memory format of ``x``: one pass over both."""
    y = torch.empty_like(x)
    scratch = _scratch(x, a.dtype)
    for rows in blocks(x):
        wide = scratch[: len(x[rows])]
        torch.addcmul(c[rows], _as(x[rows], wide), b[rows], out=wide)
        if y.dtype == wide.dtype:
            torch.addcmul(wide, _as(g[rows], wide), a[rows], out=y[rows])
        else:
            y[rows].copy_(wide.addcmul_(_as(g[rows], wide), a[rows]))
    return y


def _as(block: Tensor, like: Tensor) -> Tensor:
    return block if block.dtype == like.dtype else block.to(like.dtype)


def _scratch(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Memory for one block, in the memory format of ``x``."""
    first = next(blocks(x), slice(0, 0))
    return torch.empty_like(x[first], dtype=dtype)
