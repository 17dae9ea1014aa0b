"""Moment exchange in one autograd function: blocked forward, analytic backward, nothing of the features' size in between.

With ``y = (x - m) a + b``, ``n`` elements a group, and ``a = s' / s`` and ``b = m'`` small and made of the moments of all rows,

    dL/dx = a g + (dL/dm - a sum(g)) / n + dL/ds (x - m) / ((n - 1) s)

where ``dL/dm`` and ``dL/ds`` come from ``dL/db = sum(g)`` and ``dL/da = sum(g (x - m))`` by autograd on the small part alone.
Saved for backward are the input and the moments; where the moments are constants, only ``a``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from featmix.kernels.dispatch import MomentKernels
from featmix.moments import Moments

NewMoments = Callable[[Moments], Moments]


@dataclass(frozen=True)
class Exchange:
    """What is to be done, and how.

    Args:
        kernels: Where features are read and written.
        new_moments: From the moments of all rows to those that rows are to have.
        active: ``(B,)`` bool; other rows come out bit for bit.
        dims: Axes that a mean is taken over.
        eps: Inside the root.
        unbiased: Divide by ``n - 1``.
        detach: The moments are constants in backward.
        formula: The same by the formula, for what the fast path does not do: differentiating twice.
    """

    kernels: MomentKernels
    new_moments: NewMoments
    active: Tensor
    dims: tuple[int, ...]
    eps: float
    unbiased: bool
    detach: bool
    formula: Callable[[Tensor], Tensor]


def exchange(x: Tensor, task: Exchange) -> Tensor:
    """Restore ``x`` with new moments; same shape, dtype and memory format."""
    result: Tensor = _Exchange.apply(x, task)  # type: ignore[no-untyped-call]
    return result


@dataclass(frozen=True, eq=False)
class Blend:
    """Moments blended with those of one partner.

    Args:
        partner: ``(B,)`` int64; idle rows are their own.
        taker: ``(B,)`` int64, the other row that took from each, -1 where there is none; ``None`` where some row is taken
            twice, or it is not known.
        lam: ``(B,)`` float32, the own share of the new moments; ``None`` is 0.
        dims: Axes of the normalizer's view that a mean is taken over.
        eps: Inside the root.
        unbiased: Divide by ``n - 1``.
        detach: All moments are constants in backward.
        detach_partner: What a partner lends is a constant in backward.
        outside: Added to the deviation that is divided by.
    """

    partner: Tensor
    taker: Tensor | None
    lam: Tensor | None
    dims: tuple[int, ...]
    eps: float
    unbiased: bool
    detach: bool
    detach_partner: bool
    outside: float = 0.0


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, task: Exchange) -> Tensor:
        mean, std = task.kernels.moments(x, task.dims, eps=task.eps, unbiased=task.unbiased)
        ctx.task = task
        small = ctx.needs_input_grad[0] and not task.detach
        with torch.set_grad_enabled(small):
            own = Moments(mean.requires_grad_(small), std.requires_grad_(small))
            new = task.new_moments(own)
            scale = new.std / own.std
        ctx.save_for_backward(*((x,) if small else ()))
        ctx.small = (own, new.mean, scale)
        with torch.no_grad():
            return task.kernels.affine(x, scale, new.mean - scale * own.mean, task.active)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        task: Exchange = ctx.task
        own, new_mean, scale = ctx.small
        if task.detach:
            return task.kernels.affine(g, scale, None, task.active), None
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody wants to differentiate this once more
            with torch.enable_grad():
                (again,) = torch.autograd.grad(task.formula(x), x, g, create_graph=True)
            return again, None
        total, against = task.kernels.sums(g, x, own.mean, task.dims)
        gate = task.active.view(-1, *[1] * (x.ndim - 1))
        total, against = torch.where(gate, total, 0), torch.where(gate, against, 0)
        sides = [(t, slope) for t, slope in ((scale, against), (new_mean, total)) if t.requires_grad]  # some may be constants
        ends, slopes = zip(*sides, strict=True)
        to_mean, to_std = torch.autograd.grad(
            ends, [own.mean, own.std], slopes, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        scale = torch.where(gate, scale.detach(), 1)
        n = prod(x.shape[d] for d in task.dims)
        mean, std = own.mean.detach(), own.std.detach()
        slope = to_std / (max(n - task.unbiased, 1) * std)
        offset = (to_mean - torch.where(gate, scale, 0) * total) / n - slope * mean
        return task.kernels.combine(g, scale, x, slope, offset), None
