"""Moments and their application on a GPU: one kernel for moments, one for their application, two for backward.

Features are read once for the moments, once more for their application, and written once; backward reads features and gradient
twice and writes once. Nothing waits for the device, and no choice depends on values: a step can be captured in a CUDA graph.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.kernels.gpu import moment_programs as programs
from featmix.kernels.gpu.plan import Plan, grid, plan

_MERGED = 128  # groups that a program merges the shares of


def moments(x: Tensor, dims: tuple[int, ...], *, eps: float, unbiased: bool) -> tuple[Tensor, Tensor]:
    """Mean and ``sqrt(var + eps)`` over ``dims``, in float32: one pass over memory.

    Two passes in registers over each tile; tiles are merged by Chan's formula, never as ``E[x^2] - E[x]^2``.
    """
    loops = _loops(x, dims)
    mean, std = (_small(x, dims) for _ in range(2))
    divisor = max(loops.elements - unbiased, 1)
    size, splits = mean.numel(), loops.splits
    shares = (mean, std, mean) if splits == 1 else torch.empty(3, splits, size, device=x.device).unbind()
    with torch.cuda.device(x.get_device()):
        programs.moments_program[(loops.columns, splits)](
            x, *shares, *_geometry(loops), loops.elements, loops.share, size, float(divisor), float(eps),
            **_tile(loops), FINAL=splits == 1, num_warps=loops.warps,
        )  # fmt: skip
        if splits > 1:
            programs.merge_program[(-(-size // _MERGED),)](
                *shares, mean, std, size, loops.elements, loops.share, splits, float(divisor), float(eps), BLOCK=_MERGED
            )
    return mean, std


def affine(x: Tensor, scale: Tensor, shift: Tensor | None, active: Tensor) -> Tensor:
    """``x * scale + shift`` where rows are active, in the dtype and memory format of ``x``: one pass over memory."""
    y = torch.empty_like(x)
    if y.stride() != x.stride():  # a gradient that is expanded, or part of a larger tensor
        x = torch.empty_like(y).copy_(x)
    scale, shifted = scale.contiguous(), shift is not None
    shift = scale if shift is None else shift.contiguous()  # a pointer that nobody follows
    gate = active.view(-1, *[1] * (x.ndim - 1)).expand(scale.shape).to(torch.uint8, memory_format=torch.contiguous_format)
    loops = _loops(x, _shared(x, scale))
    with torch.cuda.device(x.get_device()):
        programs.affine_program[grid(loops.columns, -(-loops.elements // loops.depth))](
            x, y, scale, shift, gate, *_geometry(loops), loops.elements,
            **_tile(loops), SHIFTED=shifted, num_warps=loops.warps,
        )  # fmt: skip
    return y


def sums(g: Tensor, x: Tensor, mean: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """``sum g`` and ``sum g * (x - mean)`` over ``dims``, in float32: one pass over both."""
    loops = _loops(x, dims)
    found = torch.empty(2, loops.splits, *mean.shape, device=x.device)
    with torch.cuda.device(x.get_device()):
        programs.sums_program[(loops.columns, loops.splits)](
            _like(g, x), x, mean.contiguous(), *found.unbind(), *_geometry(loops), loops.elements, loops.share, mean.numel(),
            **_tile(loops), num_warps=loops.warps,
        )  # fmt: skip
    total, against = found.squeeze(1) if loops.splits == 1 else found.sum(1)
    return total, against


def combine(g: Tensor, a: Tensor, x: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """``g * a + x * b + c`` in the dtype and memory format of ``x``: one pass over both."""
    y = torch.empty_like(x)
    a, b, c = (small.expand_as(b).contiguous() for small in (a, b, c))
    loops = _loops(x, _shared(x, b))
    with torch.cuda.device(x.get_device()):
        programs.combine_program[grid(loops.columns, -(-loops.elements // loops.depth))](
            _like(g, x), x, y, a, b, c, *_geometry(loops), loops.elements, **_tile(loops), num_warps=loops.warps
        )
    return y


def _loops(x: Tensor, dims: tuple[int, ...]) -> Plan:
    found = plan(x, dims)
    if found is None:
        raise FeatmixError("kernels", "x", expected="axes that follow one another in memory", got=f"strides {x.stride()}")
    return found


def _geometry(loops: Plan) -> tuple[int, ...]:
    first, second = loops.outer
    slow, fast = loops.reduced
    features = (first.stride, second.stride, loops.inner.stride)
    small = (first.small, second.small, loops.inner.small)
    return second.size, loops.inner.size, *features, *small, fast.size, slow.stride, fast.stride


def _tile(loops: Plan) -> dict[str, Any]:
    flat = loops.reduced[0].size == 1
    return {"WIDTH": loops.width, "DEPTH": loops.depth, "WIDE": loops.wide, "FLAT": flat}


def _small(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    shape = [1 if d in dims else size for d, size in enumerate(x.shape)]
    return torch.empty(shape, dtype=torch.float32, device=x.device)


def _shared(x: Tensor, small: Tensor) -> tuple[int, ...]:
    """The axes along which elements share a moment."""
    return tuple(d for d, size in enumerate(small.shape) if size == 1 and x.shape[d] > 1)


def _like(g: Tensor, x: Tensor) -> Tensor:
    """The gradient with the strides of the features."""
    return g if g.stride() == x.stride() else torch.empty_like(x, dtype=g.dtype).copy_(g)
