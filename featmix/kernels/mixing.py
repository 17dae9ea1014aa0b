"""Mixing rows in one autograd function. It is linear in the features, so that nothing of them is kept for backward."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class Rows(Protocol):
    """What each row of a batch is made of."""

    def mixed(self, x: Tensor) -> Tensor:
        """Return the mixed batch, in new memory of the format of ``x``."""
        ...

    def mix_in_place(self, x: Tensor) -> Tensor:
        """Return the mixed batch, in the memory of ``x``."""
        ...

    def returned(self, g: Tensor, like: Tensor) -> Tensor:
        """Return the gradient of the batch from that of the mixed one, in the memory format of ``like``."""
        ...


def mix(x: Tensor, rows: Rows, *, inplace: bool = False) -> Tensor:
    """Make all rows; same shape, dtype and memory format.

    Args:
        x: ``(B, ...)``.
        rows: What they are made of.
        inplace: Write into ``x``, where nobody is to differentiate.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return rows.mix_in_place(x) if inplace else rows.mixed(x)
    result: Tensor = _Mix.apply(x, rows)  # type: ignore[no-untyped-call]
    return result


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Rows) -> Tensor:
        ctx.rows, ctx.stride = rows, x.stride()
        return rows.mixed(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        if torch.is_grad_enabled():  # somebody wants to differentiate this once more
            return _Return.apply(g, ctx.rows, ctx.stride), None  # type: ignore[no-untyped-call]
        return _returned(g, ctx.rows, ctx.stride), None


class _Return(torch.autograd.Function):
    """The backward of :class:`_Mix`. Both are linear, and each is the other one's backward."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, rows: Rows, stride: tuple[int, ...]) -> Tensor:
        ctx.rows = rows
        return _returned(g, rows, stride)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        return mix(g.contiguous(), ctx.rows), None, None


def _returned(g: Tensor, rows: Rows, stride: tuple[int, ...]) -> Tensor:
    like = g if g.stride() == stride else torch.empty_strided(g.shape, stride, dtype=g.dtype, device="meta")
    return rows.returned(g, like)
