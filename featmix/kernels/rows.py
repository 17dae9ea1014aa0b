"""Mixup and CutMix on the CPU, one sample after the other: what a sample is made of is read once, and written once.

Both are linear in the features, so that nothing of them is kept for backward: a sample's gradient is its own share of the
gradient of its row, and what the rows took that it was partner of. Samples are far smaller than caches, or few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

SMALLEST_SAMPLE = 1 << 12  # elements; below, many samples cost more calls than the formula's passes over memory

Box = tuple[slice, ...]  # of one sample, with an entry for each of its axes


@dataclass(frozen=True)
class Rows:
    """What each row is made of.

    Args:
        partner: The partner of each row; its own number where it is idle.
        formula: The same by the formula, for what the fast path does not do: differentiating twice.
    """

    partner: Sequence[int]
    formula: Callable[[Tensor], Tensor]

    def forward(self, x: Tensor, y: Tensor, i: int, j: int) -> None:
        """Write row ``i`` of the result, whose partner is ``j``."""
        raise NotImplementedError(f"{type(self).__name__} does not say what a row is made of")

    def own(self, g: Tensor, to: Tensor, i: int) -> None:
        """Write what a sample gets of the gradient of its own row."""
        raise NotImplementedError(f"{type(self).__name__} does not say what a row keeps")

    def lent(self, g: Tensor, to: Tensor, i: int, k: int) -> None:
        """Add what sample ``i`` gets of the gradient of row ``k``, whose partner it is."""
        raise NotImplementedError(f"{type(self).__name__} does not say what a row takes")


@dataclass(frozen=True)
class Blend(Rows):
    """Mixup's rows: ``lam * x_i + (1 - lam) * x_j``.

    Args:
        partner: See :class:`Rows`.
        formula: See there.
        lam: The own share of each row.
    """

    lam: Sequence[float]

    def forward(self, x: Tensor, y: Tensor, i: int, j: int) -> None:
        """Blend."""
        torch.lerp(x[j], x[i], self.lam[i], out=y[i])

    def own(self, g: Tensor, to: Tensor, i: int) -> None:
        """Its share."""
        torch.mul(g[i], self.lam[i], out=to[i])

    def lent(self, g: Tensor, to: Tensor, i: int, k: int) -> None:
        """The rest of the other's."""
        to[i].add_(g[k], alpha=1 - self.lam[k])


@dataclass(frozen=True)
class Paste(Rows):
    """CutMix's rows: the partner's inside a box.

    Args:
        partner: See :class:`Rows`.
        formula: See there.
        box: Of each row.
    """

    box: Sequence[Box]

    def forward(self, x: Tensor, y: Tensor, i: int, j: int) -> None:
        """Copy, and paste while the copy is still in the cache."""
        y[i].copy_(x[i])
        y[i][self.box[i]].copy_(x[j][self.box[i]])

    def own(self, g: Tensor, to: Tensor, i: int) -> None:
        """All outside the box."""
        to[i].copy_(g[i])
        to[i][self.box[i]].zero_()

    def lent(self, g: Tensor, to: Tensor, i: int, k: int) -> None:
        """What is inside the other's box."""
        to[i][self.box[k]].add_(g[k][self.box[k]])


def large_enough(x: Tensor) -> bool:
    """Whether samples are large enough to be taken one by one."""
    return prod(x.shape[1:]) >= SMALLEST_SAMPLE


def mix(x: Tensor, rows: Rows) -> Tensor:
    """Make all rows; same shape, dtype and memory format."""
    result: Tensor = _Mix.apply(x, rows)  # type: ignore[no-untyped-call]
    return result


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Rows) -> Tensor:
        ctx.rows, ctx.shape, ctx.stride = rows, x.shape, x.stride()
        y = torch.empty_like(x)
        for i, j in enumerate(rows.partner):
            if i == j:
                y[i].copy_(x[i])
            else:
                rows.forward(x, y, i, j)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        rows: Rows = ctx.rows
        if torch.is_grad_enabled():  # somebody wants to differentiate this once more
            with torch.enable_grad():
                zeros = torch.zeros(ctx.shape, dtype=g.dtype, requires_grad=True)
                (again,) = torch.autograd.grad(rows.formula(zeros), zeros, g, create_graph=True)
            return again, None
        borrowers: list[list[int]] = [[] for _ in rows.partner]
        for k, j in enumerate(rows.partner):
            if k != j:
                borrowers[j].append(k)
        to = torch.empty_strided(ctx.shape, ctx.stride, dtype=g.dtype)
        for i, j in enumerate(rows.partner):
            if i == j:
                to[i].copy_(g[i])
            else:
                rows.own(g, to, i)
            for k in borrowers[i]:
                rows.lent(g, to, i, k)
        return to, None
