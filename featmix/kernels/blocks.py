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

from featmix.kernels import pages

BLOCK_BYTES = 2 << 20  # timed from 256 KiB to 8 MiB


def blocks(x: Tensor) -> Iterator[slice]:
    """Slices of the batch, of about ``BLOCK_BYTES`` in float32."""
    rows = max(1, BLOCK_BYTES // (4 * max(1, prod(x.shape[1:]))))
    for start in range(0, len(x), rows):
        yield slice(start, start + rows)


def moments(x: Tensor, dims: tuple[int, ...], *, eps: float, unbiased: bool) -> tuple[Tensor, Tensor]:
    """Mean and ``sqrt(var + eps)`` over ``dims``, in float32 or float64: one pass over memory.

    Within the cache it is two passes.
    """
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    n = prod(x.shape[d] for d in dims)
    shape = [1 if d in dims else size for d, size in enumerate(x.shape)]
    mean, squares = (torch.empty(shape, dtype=wide) for _ in range(2))
    scratch = _scratch(x, wide)
    for rows in blocks(x):
        block, centred = x[rows], scratch[: len(x[rows])]
        m = torch.mean(block, dims, keepdim=True, dtype=wide, out=mean[rows])
        torch.sub(block, m, out=centred)
        torch.sum(centred.mul_(centred), dims, keepdim=True, out=squares[rows])
    return mean, squares.div_(max(n - unbiased, 1)).add_(eps).sqrt_()


def affine(x: Tensor, scale: Tensor, shift: Tensor | None, active: Tensor) -> Tensor:
    """``x * scale + shift`` where rows are active, in the dtype and memory format of ``x``: one pass over memory."""
    y = pages.empty_like(x)
    narrow = x.dtype != scale.dtype
    scratch = _scratch(x, scale.dtype) if narrow else y
    for rows in blocks(x):
        block = scratch[: len(x[rows])] if narrow else y[rows]
        if shift is None:
            torch.mul(x[rows], scale[rows], out=block)
        elif _shared_by_neighbours(x, scale):
            torch.mul(x[rows], scale[rows], out=block).add_(shift[rows])
        else:
            torch.addcmul(shift[rows], _as(x[rows], block), scale[rows], out=block)
        if narrow:
            y[rows].copy_(block)
    for row in (~active).nonzero().flatten().tolist():
        y[row].copy_(x[row])
    return y


def sums(g: Tensor, x: Tensor, mean: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """``sum g`` and ``sum g * (x - mean)`` over ``dims``: one pass over both."""
    total, against = torch.empty_like(mean), torch.empty_like(mean)
    scratch = _scratch(x, mean.dtype)
    for rows in blocks(x):
        centred = torch.sub(x[rows], mean[rows], out=scratch[: len(x[rows])])
        torch.sum(g[rows], dims, keepdim=True, dtype=mean.dtype, out=total[rows])
        torch.sum(centred.mul_(g[rows]), dims, keepdim=True, out=against[rows])
    return total, against


def combine(g: Tensor, a: Tensor, x: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """``g * a + x * b + c`` in the dtype and memory format of ``x``: one pass over both."""
    y = pages.empty_like(x)
    narrow = x.dtype != a.dtype
    scratch = _scratch(x, a.dtype)
    spare = torch.empty_like(scratch) if narrow else y
    for rows in blocks(x):
        wide = scratch[: len(x[rows])]
        block = spare[: len(wide)] if narrow else y[rows]
        if _shared_by_neighbours(x, a):
            torch.mul(x[rows], b[rows], out=wide).add_(c[rows])
            torch.mul(g[rows], a[rows], out=block).add_(wide)
        else:
            torch.addcmul(c[rows], _as(x[rows], wide), b[rows], out=wide)
            torch.addcmul(wide, _as(g[rows], wide), a[rows], out=block)
        if narrow:
            y[rows].copy_(block)
    return y


def _shared_by_neighbours(x: Tensor, small: Tensor) -> bool:
    """Whether neighbours in memory share an element of ``small``: ``addcmul`` is then several times slower than two steps."""
    innermost = min((stride, d) for d, (stride, size) in enumerate(zip(x.stride(), x.shape, strict=True)) if size > 1 or d == 0)
    return small.shape[innermost[1]] == 1


def _as(block: Tensor, like: Tensor) -> Tensor:
    return block if block.dtype == like.dtype else block.to(like.dtype)


def _scratch(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Memory for one block, in the memory format of ``x``."""
    first = next(blocks(x), slice(0, 0))
    return torch.empty_like(x[first], dtype=dtype)
