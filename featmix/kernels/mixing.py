"""Mixing rows in one autograd function. It is linear in the features, so that nothing of them is kept for backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

Formula = Callable[[Tensor], Tensor]


class Rows(Protocol):
    """What each row of a batch is made of."""

    def mixed(self, x: Tensor) -> Tensor:
        """The mixed batch, in new memory of the format of ``x``."""
        ...

    def mix_in_place(self, x: Tensor) -> Tensor:
        """The mixed batch, in the memory of ``x``."""
        ...

    def returned(self, g: Tensor, like: Tensor) -> Tensor:
        """The gradient of the batch from that of the mixed one, in the memory format of ``like``, a tensor without memory."""
        ...


def mix(x: Tensor, rows: Rows, formula: Formula, *, inplace: bool = False) -> Tensor:
    """Make all rows; same shape, dtype and memory format.

    Args:
        x: ``(B, ...)``.
        rows: What they are made of.
        formula: The same by the formula, for what the fast path does not do: differentiating twice.
        inplace: Write into ``x``, where nobody is to differentiate.
    """
    if inplace and not (torch.is_grad_enabled() and x.requires_grad):
        return rows.mix_in_place(x)
    result: Tensor = _Mix.apply(x, rows, formula)  # type: ignore[no-untyped-call]
    return result


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Rows, formula: Formula) -> Tensor:
        ctx.rows, ctx.formula, ctx.like = rows, formula, torch.empty_like(x, device="meta")
        return rows.mixed(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():  # somebody wants to differentiate this once more
            with torch.enable_grad():
                zeros = torch.zeros_like(ctx.like, device=g.device, requires_grad=True)
                (again,) = torch.autograd.grad(ctx.formula(zeros), zeros, g, create_graph=True)
            return again, None, None
        rows: Rows = ctx.rows
        return rows.returned(g, ctx.like), None, None
