"""Moments and their application on the CPU, one block of samples after the other.

Moment exchange is bound by memory: features are read for the moments, read again, and written. A block fits into the cache, so
that what happens to it between reading and writing costs no memory traffic, and scratch memory is as large as a block and no
larger. Everything here works on tensors whose samples lie one after the other in memory, in any order of the other axes.

Where the elements of a mean are neighbours in memory, torch's own normalization layers do most of it in one call:
see ``featmix.kernels.native``.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from featmix.kernels import native, pages
from featmix.kernels.groups import Groups, groups_of

BLOCK_BYTES = 1 << 20  # timed from 128 KiB to 8 MiB
FEW = 16  # elements of a mean


def blocks(x: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Return the tensors in slices of their first axis, of about ``BLOCK_BYTES`` of ``x`` in float32 each."""
    rows = max(1, BLOCK_BYTES * len(x) // (4 * x.numel()))
    if rows >= len(x):
        yield x, *others
        return
    for start in range(0, len(x), rows):
        yield tuple(tensor[start : start + rows] for tensor in (x, *others))


def moments(x: Tensor, dims: tuple[int, ...], *, eps: float, unbiased: bool) -> tuple[Tensor, Tensor]:
    """Return mean and ``sqrt(var + eps)`` over ``dims``, in float32 or float64: one pass over memory.

    Within the cache it is two passes.
    """
    groups = groups_of(x, dims)
    divisor = max(groups.count - unbiased, 1)
    view = groups.merged(x)
    if native.takes(groups, x):
        mean, std = native.moments(blocks(view), divisor=divisor, eps=eps)
    else:
        mean, squares = _mean_and_squares(view, groups)
        std = squares.div_(divisor).add_(eps).sqrt_()
    return groups.small_again(mean), groups.small_again(std)


def _mean_and_squares(x: Tensor, groups: Groups) -> tuple[Tensor, Tensor]:
    """Mean, and the sum of squared deviations from it, over the axes that are not kept."""
    wide, dims = _wide(x), groups.dims
    shape = [1 if axis in dims else size for axis, size in enumerate(x.shape)]
    mean, squares = (torch.empty(shape, dtype=wide) for _ in range(2))
    scratch = _scratch(x, wide)
    for block, m, ss in blocks(x, mean, squares):
        torch.mean(block, dims, keepdim=True, dtype=wide, out=m)
        centred = torch.sub(block, m, out=_first(scratch, block))
        torch.sum(centred.mul_(centred), dims, keepdim=True, out=ss)
    return mean, squares


def affine(x: Tensor, scale: Tensor, shift: Tensor | None, active: Tensor) -> Tensor:
    """``x * scale + shift`` where rows are active, in the dtype and memory format of ``x``: one pass over memory."""
    y = pages.empty_like(x)
    scaled(x, scale, shift, y)
    copy_rows(x, y, (~active).nonzero().flatten().tolist())
    return y


def scaled(x: Tensor, scale: Tensor, shift: Tensor | None, y: Tensor) -> None:
    """Write ``x * scale + shift`` into ``y``, which has the strides of ``x``."""
    groups = groups_of(x, _shared(x, scale))
    view, to, scale = groups.merged(x), groups.merged(y), groups.merged_small(scale)
    shift = torch.zeros_like(scale) if shift is None else groups.merged_small(shift)
    if native.takes(groups, x):
        native.scaled(view, scale, shift, to)
        return
    narrow = x.dtype != scale.dtype
    scratch = _scratch(view, scale.dtype) if narrow else to
    for block, a, b, result in blocks(view, scale, shift, to):
        wide = _first(scratch, block) if narrow else result
        if groups.in_rows:  # ``addcmul`` is slow where neighbours share both of its small factors
            torch.mul(block, a, out=wide).add_(b)
        else:
            torch.addcmul(b, _as(block, wide), a, out=wide)
        if narrow:
            result.copy_(wide)


def restored(x: Tensor, mean: Tensor, scale: Tensor, new_mean: Tensor, y: Tensor) -> None:
    """Write ``(x - mean) * scale + new_mean`` into ``y``, which has the strides of ``x``.

    Groups of few elements are often nearly flat, and their scale is large. There the mean is subtracted first, for what
    ``x * scale`` is rounded by would be large too.
    """
    groups = groups_of(x, _shared(x, scale))
    if groups.count >= FEW:
        scaled(x, scale, torch.addcmul(new_mean, scale, mean, value=-1), y)
        return
    view, to = groups.merged(x), groups.merged(y)
    mean, scale, new_mean = (groups.merged_small(small) for small in (mean, scale, new_mean))
    narrow = x.dtype != scale.dtype
    scratch = _scratch(view, scale.dtype) if narrow else to
    for block, m, a, b, result in blocks(view, mean, scale, new_mean, to):
        wide = _first(scratch, block) if narrow else result
        torch.sub(block, m, out=wide).mul_(a).add_(b)
        if narrow:
            result.copy_(wide)


def copy_rows(x: Tensor, y: Tensor, rows: list[int]) -> None:
    """Write these rows of ``x`` into ``y``."""
    if len(rows) == len(x):
        y.copy_(x)
    elif len(rows) > 8 and x[0].numel() < 1 << 14:  # small rows cost more calls than memory
        index = torch.tensor(rows)
        y.index_copy_(0, index, x.index_select(0, index))
    else:
        for row in rows:
            y[row].copy_(x[row])


def sums(g: Tensor, x: Tensor, mean: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """``sum g`` and ``sum g * (x - mean)`` over ``dims``: one pass over both."""
    groups = groups_of(x, dims)
    view, g, mean = groups.merged(x), groups.merged(g), groups.merged_small(mean)
    if native.takes(groups, x):
        total, against = native.sums(g, view, mean)
    else:
        total, against = torch.empty_like(mean), torch.empty_like(mean)
        scratch = _scratch(view, mean.dtype)
        for block, h, m, first, second in blocks(view, g, mean, total, against):
            torch.sum(h, groups.dims, keepdim=True, dtype=mean.dtype, out=first)
            centred = torch.sub(block, m, out=_first(scratch, block))
            torch.sum(centred.mul_(h), groups.dims, keepdim=True, out=second)
    return groups.small_again(total), groups.small_again(against)


def combine(g: Tensor, a: Tensor, x: Tensor, b: Tensor, c: Tensor, *, mean: Tensor | None = None) -> Tensor:
    """``g * a + x * b + c`` in the dtype and memory format of ``x``: one pass over both.

    With ``mean`` it is ``x - mean`` instead of ``x``, subtracted first: see :func:`restored`.
    """
    y = pages.empty_like(x)
    groups = groups_of(x, _shared(x, b))
    view, to, g = groups.merged(x), groups.merged(y), groups.merged(g)
    a, b, c, m = (groups.merged_small(small) for small in (a, b, c, b if mean is None else mean))
    narrow = x.dtype != a.dtype
    scratch = _scratch(view, a.dtype) if narrow else to
    for block, h, own, slope, offset, middle, result in blocks(view, g, a, b, c, m, to):
        wide = _first(scratch, block) if narrow else result
        if mean is not None:
            torch.sub(block, middle, out=wide).mul_(slope).add_(offset)
        elif groups.in_rows:
            torch.mul(block, slope, out=wide).add_(offset)
        else:
            torch.addcmul(offset, _as(block, wide), slope, out=wide)
        wide.addcmul_(_as(h, wide), own)
        if narrow:
            result.copy_(wide)
    return y


def _shared(x: Tensor, small: Tensor) -> tuple[int, ...]:
    """Return the axes along which elements share a moment."""
    return tuple(axis for axis, size in enumerate(small.shape) if size == 1 and axis)


def _wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _as(block: Tensor, like: Tensor) -> Tensor:
    return block if block.dtype == like.dtype else block.to(like.dtype)


def _scratch(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Memory for one block."""
    (block,) = next(blocks(x))
    return torch.empty_like(block, dtype=dtype)


def _first(scratch: Tensor, block: Tensor) -> Tensor:
    """As much of the scratch memory as this block needs: the last one may be smaller."""
    return scratch if len(scratch) == len(block) else scratch[: len(block)]
