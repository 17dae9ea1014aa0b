"""Moments, whatever becomes of them, and their application: two autograd functions that share one pass backward.

For strategies whose new moments are more than a blend with one partner's. What lies between the two functions is small, and
ordinary autograd differentiates it. The second one gets the features through the first: it hands the raw gradient back to it,
so that the first writes ``g * a + x * b + c`` at once, where ``b`` and ``c`` come from what reached the moments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from featmix.kernels.dispatch import MomentKernels
from featmix.kernels.exchange import in_strides
from featmix.normalizers.moments import Moments, upcast


@dataclass(frozen=True)
class Task:
    """What is to be done, and how.

    Args:
        kernels: Where features are read and written.
        active: ``(B,)`` bool; other rows come out bit for bit.
        dims: Axes that a mean is taken over.
        eps: Inside the root.
        unbiased: Whether the variance is divided by ``n - 1``.
        alone: Whether nobody else waits for these moments; other ranks may, where no row here is active.
    """

    kernels: MomentKernels
    active: Tensor
    dims: tuple[int, ...]
    eps: float
    unbiased: bool
    alone: bool = True


def restyle(x: Tensor, task: Task, new_moments: Callable[[Moments], Moments], *, detach: bool) -> Tensor:
    """Restore ``x`` with new moments; same shape, dtype and memory format.

    Args:
        x: A normalizer's view of the features.
        task: What else is to be known.
        new_moments: From the moments of all rows to those that rows are to have.
        detach: Whether all moments are constants in backward.
    """
    if (
        task.alone and x.device.type == "cpu" and not task.active.numpy().any()
    ):  # elsewhere the question would make the host wait
        return x.clone()
    if detach or not (torch.is_grad_enabled() and x.requires_grad):
        with torch.no_grad():
            own = Moments(*task.kernels.moments(x, task.dims, eps=task.eps, unbiased=task.unbiased))
            new = new_moments(own)
            scale = new.std / own.std
        constant: Tensor = _Apply.apply(x, None, own.mean, scale, new.mean, task, None)  # type: ignore[no-untyped-call]
        return constant
    link = _Link()
    mean, std, raw = _Take.apply(x, task, link)  # type: ignore[no-untyped-call]
    new = new_moments(Moments(mean, std))
    y: Tensor = _Apply.apply(raw, x, mean, new.std / std, new.mean, task, link)  # type: ignore[no-untyped-call]
    return y


@dataclass
class _Link:
    """What the gradient that arrives raw at :class:`_Take` is still to be multiplied with."""

    scale: Tensor | None = None


class _Take(torch.autograd.Function):
    """From features to their moments and, as a way back for raw gradients, themselves."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, task: Task, link: _Link) -> tuple[Tensor, Tensor, Tensor]:
        mean, std = task.kernels.moments(x, task.dims, eps=task.eps, unbiased=task.unbiased)
        ctx.task, ctx.link = task, link
        ctx.save_for_backward(x, mean, std)
        ctx.set_materialize_grads(False)
        return mean, std, x.view_as(x)

    @staticmethod
    def backward(ctx: Any, to_mean: Tensor | None, to_std: Tensor | None, g: Tensor | None) -> tuple[Tensor, None, None]:
        task: Task = ctx.task
        x, mean, std = ctx.saved_tensors
        to_mean, to_std = (torch.zeros_like(std) if to is None else to for to in (to_mean, to_std))
        count = prod(x.shape[axis] for axis in task.dims)
        slope = to_std / (max(count - task.unbiased, 1) * std)
        if g is None:
            return (to_mean / count + slope * (upcast(x) - mean)).to(x.dtype), None, None
        offset = to_mean / count - slope * mean
        return task.kernels.combine(in_strides(g, x.stride()), ctx.link.scale, x, slope, offset), None, None


class _Apply(torch.autograd.Function):
    """``(x - mean) * scale + new_mean`` in active rows, ``x`` in others.

    Features come twice. Through the first argument, which is the third result of :class:`_Take` where moments are no constants,
    their gradient goes back raw; where it is to be differentiated in turn, it goes back through the second one, in steps.
    """

    @staticmethod
    def forward(
        ctx: Any,
        raw: Tensor,
        x: Tensor | None,
        mean: Tensor,
        scale: Tensor,
        new_mean: Tensor,
        task: Task,
        link: _Link | None,
    ) -> Tensor:
        ctx.task, ctx.link, ctx.stride = task, link, raw.stride()
        ctx.save_for_backward(*((scale,) if x is None else (scale, mean, x)))
        return task.kernels.affine(raw, scale, torch.addcmul(new_mean, scale, mean, value=-1), task.active)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        task: Task = ctx.task
        scale, *rest = ctx.saved_tensors
        if not rest:  # a product with a constant
            nothing = torch.zeros_like(scale)
            g = in_strides(g, ctx.stride)
            return _Apply.apply(g, None, nothing, scale, nothing, task, None), *[None] * 6  # type: ignore[no-untyped-call]
        mean, x = rest
        gate = task.active.view(-1, *[1] * (g.ndim - 1))
        if torch.is_grad_enabled():  # somebody wants to differentiate this once more
            wide = upcast(g)
            total = torch.where(gate, wide.sum(task.dims, keepdim=True), 0)
            against = torch.where(gate, (wide * (upcast(x) - mean)).sum(task.dims, keepdim=True), 0)
            direct = (torch.where(gate, scale, 1) * wide).to(g.dtype)
            return None, direct, -scale * total, against, total, None, None
        total, against = task.kernels.sums(in_strides(g, ctx.stride), x, mean, task.dims)
        total, against = torch.where(gate, total, 0), torch.where(gate, against, 0)
        ctx.link.scale = torch.where(gate, scale, 1)
        return g, None, torch.where(gate, scale, 0).mul_(total).neg_(), against, total, None, None
