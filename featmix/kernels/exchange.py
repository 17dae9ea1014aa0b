"""Moment exchange in one autograd function, for strategies that blend a row's moments with those of one partner.

With ``c = x - m``, ``n`` elements a mean, ``d = n - 1`` (``n`` where the variance is biased) and ``j`` the partner of
row ``i``,

    s' = lam s_i + (1 - lam) s_j,   m' = lam m_i + (1 - lam) m_j,   a = s' / (s_i + outside),   y = c a + m'

and with ``S = sum(g)``, ``T = sum(g c)`` and ``k`` the rows that took from ``i``

    dL/dm = (lam - a) S + sum_k (1 - lam_k) S_k
    dL/ds = (lam - a) T / (s + outside) + sum_k (1 - lam_k) T_k / (s_k + outside)
    dL/dx = a g + dL/dm / n + dL/ds c / (d s)

Saved for backward are the input and the moments; where the moments are constants, only ``a``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor

from featmix.normalizers.moments import compute_moments, upcast


@dataclass(frozen=True, eq=False)
class Blend:
    """What the new moments are.

    Args:
        partner: ``(B,)`` int64, the row that each row takes from. A row that is its own partner comes out bit for bit.
        taker: ``(B,)`` int64, the other row that takes from each row, -1 where there is none; ``None`` where a row may be
            taken from by several.
        lam: ``(B,)`` float32, how much of the new moments are a row's own; ``None`` for nothing.
        dims: The axes that a mean is taken over.
        eps: Added to the variance, inside the root.
        unbiased: Whether the variance is divided by ``n - 1``.
        detach: Whether all moments are constants in backward.
        detach_partner: Whether the partner's moments are.
        outside: Added to a row's own standard deviation where it is divided by.
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

    def own_share(self, like: Tensor) -> Tensor | float:
        """``lam`` as ``(B, 1, ...)`` in the dtype and number of axes of ``like``, or 0."""
        return 0.0 if self.lam is None else self.lam.to(like.dtype).view(-1, *[1] * (like.ndim - 1))

    def new(self, own: Tensor) -> Tensor:
        """Return the blend of a row's own moments with its partner's."""
        lent = own.index_select(0, self.partner)
        lent = lent.detach() if self.detach_partner else lent
        return lent if self.lam is None else torch.lerp(lent, own, self.own_share(own))

    def scale(self, std: Tensor) -> Tensor:
        """Return what deviations from the mean are multiplied with."""
        return self.new(std) / (std + self.outside if self.outside else std)

    def mixed(self, like: Tensor) -> Tensor:
        """Return which rows have another row for a partner, ``(B, 1, ...)`` bool with as many axes as ``like``."""
        rows = torch.arange(len(self.partner), device=self.partner.device)
        return (self.partner != rows).view(-1, *[1] * (like.ndim - 1))

    def slopes(self, scale: Tensor, std: Tensor, total: Tensor, against: Tensor) -> tuple[Tensor, Tensor]:
        """Return what reaches each row's mean and standard deviation, its takers' share included.

        Args:
            scale: From :meth:`scale`.
            std: The standard deviations.
            total: ``sum(g)`` of each mean, 0 in rows that are their own partners.
            against: ``sum(g c)``, likewise.
        """
        lam = self.own_share(std)
        kept = -scale if self.lam is None else lam - scale
        against = against / (std + self.outside if self.outside else std)
        to_mean, to_std = kept * total, kept * against
        if not self.detach_partner:
            lent = 1 - lam
            to_mean.index_add_(0, self.partner, total if self.lam is None else lent * total)
            to_std.index_add_(0, self.partner, against if self.lam is None else lent * against)
        return to_mean, to_std

    def divisors(self, x: Tensor) -> tuple[int, int]:
        """Return how many elements a mean is taken over, and what a sum of squares is divided by."""
        count = prod(x.shape[axis] for axis in self.dims)
        return count, max(count - self.unbiased, 1)


class ExchangeKernels(Protocol):
    """A way to blend a row's moments with one partner's; rows that are their own partners are copied."""

    BY_TAKER: bool
    """True if backward has a use for ``Blend.taker``."""

    def exchange(self, x: Tensor, blend: Blend, *, keep: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the result and, with ``keep``, small tensors for backward; where there are none, backward is the identity."""
        ...

    def exchange_back(self, g: Tensor, x: Tensor | None, saved: tuple[Tensor, ...], blend: Blend) -> Tensor:
        """Return the gradient of the features; ``g`` has their strides, ``x`` is ``None`` where all moments are constants."""
        ...


def exchange(x: Tensor, blend: Blend, kernels: ExchangeKernels) -> Tensor:
    """Restore ``x`` with the new moments; same shape, dtype and memory format."""
    if not (torch.is_grad_enabled() and x.requires_grad):
        return kernels.exchange(x, blend, keep=False)[0]
    result: Tensor = _Exchange.apply(x, blend, kernels)  # type: ignore[no-untyped-call]
    return result


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, blend: Blend, kernels: ExchangeKernels) -> Tensor:
        y, saved = kernels.exchange(x, blend, keep=True)
        ctx.blend, ctx.kernels, ctx.stride = blend, kernels, x.stride()
        ctx.save_for_backward(*saved, *(() if blend.detach or not saved else (x,)))
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        blend: Blend = ctx.blend
        saved = ctx.saved_tensors
        if not saved:  # all rows were copied
            return g, None, None
        again = torch.is_grad_enabled()  # somebody wants to differentiate this once more
        if blend.detach:
            if again:
                return _ScaledBack.apply(g, blend, ctx.kernels, ctx.stride, *saved), None, None  # type: ignore[no-untyped-call]
            return ctx.kernels.exchange_back(in_strides(g, ctx.stride), None, saved, blend), None, None
        *small, x = saved
        if again:
            return back_in_steps(g, x, blend), None, None
        return ctx.kernels.exchange_back(in_strides(g, ctx.stride), x, tuple(small), blend), None, None


class _ScaledBack(torch.autograd.Function):
    """Backward where all moments are constants: a product with a constant, and so is its own backward."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, blend: Blend, kernels: ExchangeKernels, stride: tuple[int, ...], *saved: Tensor) -> Tensor:
        ctx.rest = blend, kernels, stride
        ctx.save_for_backward(*saved)
        return kernels.exchange_back(in_strides(g, stride), None, saved, blend)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        return _ScaledBack.apply(g, *ctx.rest, *saved), *[None] * (3 + len(saved))  # type: ignore[no-untyped-call]


def in_strides(g: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Return a gradient with the strides of the features: another one may be expanded, or part of a larger tensor."""
    return g if g.stride() == stride else torch.empty_strided(g.shape, stride, dtype=g.dtype, device=g.device).copy_(g)


def back_in_steps(g: Tensor, x: Tensor, blend: Blend) -> Tensor:
    """Return the gradient of the features by operations that can be differentiated in turn."""
    own = compute_moments(x, blend.dims, eps=blend.eps, unbiased=blend.unbiased)
    return closed_form(g, x, (blend.scale(own.std), own.mean, own.std), blend, blend.mixed(x))


def closed_form(g: Tensor, x: Tensor, saved: tuple[Tensor, ...], blend: Blend, mixed: Tensor | None) -> Tensor:
    """Return the gradient of the features, step by step.

    Args:
        g: The gradient of the result.
        x: The features.
        saved: Scale, mean and standard deviation.
        blend: What the new moments are.
        mixed: From :meth:`Blend.mixed`; ``None`` where all rows are.
    """
    scale, mean, std = saved
    wide, centred = upcast(g), upcast(x) - mean
    total, against = wide.sum(blend.dims, keepdim=True), (wide * centred).sum(blend.dims, keepdim=True)
    if mixed is not None:
        total, against = torch.where(mixed, total, 0), torch.where(mixed, against, 0)
        scale = torch.where(mixed, scale, 1)
    to_mean, to_std = blend.slopes(scale, std, total, against)
    count, divisor = blend.divisors(x)
    back = torch.addcmul(to_mean / count, to_std / (divisor * std), centred).addcmul(scale, wide)
    return back if back.dtype == g.dtype else back.to(g.dtype)
