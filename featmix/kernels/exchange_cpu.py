"""Moment exchange on the CPU: in blocks that fit into the cache, or in a few steps where all of it does."""

from __future__ import annotations

import torch
from torch import Tensor

from featmix.kernels import blocks, pages
from featmix.kernels.exchange import Blend, closed_form
from featmix.normalizers.moments import upcast

BY_TAKER = False  # backward adds up by partner
SMALL = 1 << 14  # elements; up to here, operations cost more than memory


def exchange(x: Tensor, blend: Blend, *, keep: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the result, and what backward needs: scale, mean and standard deviation, or the scale alone."""
    idle = _idle(blend)
    if len(idle) == len(x):
        return pages.empty_like(x).copy_(x), ()
    if x.numel() <= SMALL:
        y, saved = _in_steps(x, blend)
    else:
        y = pages.empty_like(x)
        mean, std = blocks.moments(x, blend.dims, eps=blend.eps, unbiased=blend.unbiased)
        saved = (blend.scale(std), mean, std)
        blocks.restored(x, mean, saved[0], blend.new(mean), y)
    blocks.copy_rows(x, y, idle)
    return y, saved[: 1 if blend.detach else 3] if keep else ()


def _in_steps(x: Tensor, blend: Blend) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Return the result, and scale, mean and standard deviation."""
    wide = upcast(x)
    mean = wide.mean(blend.dims, keepdim=True)
    centred = wide - mean
    std = centred.square().sum(blend.dims, keepdim=True).div_(blend.divisors(x)[1]).add_(blend.eps).sqrt_()
    scale = blend.scale(std)
    y = centred.mul_(scale).add_(blend.new(mean))
    return y if y.dtype == x.dtype else y.to(x.dtype), (scale, mean, std)


def exchange_back(g: Tensor, x: Tensor | None, saved: tuple[Tensor, ...], blend: Blend) -> Tensor:
    """Return the gradient of the features."""
    idle = _idle(blend)
    if x is None:
        back = pages.empty_like(g)
        blocks.scaled(g, saved[0], None, back)
        blocks.copy_rows(g, back, idle)
        return back
    mixed = blend.mixed(x) if idle else None
    back = closed_form(g, x, saved, blend, mixed) if x.numel() <= SMALL else _in_blocks(g, x, saved, blend, mixed)
    blocks.copy_rows(g, back, _alone(idle, blend))
    return back


def _in_blocks(g: Tensor, x: Tensor, saved: tuple[Tensor, ...], blend: Blend, mixed: Tensor | None) -> Tensor:
    scale, mean, std = saved
    total, against = blocks.sums(g, x, mean, blend.dims)
    if mixed is not None:
        total, against = torch.where(mixed, total, 0), torch.where(mixed, against, 0)
        scale = torch.where(mixed, scale, 1)
    to_mean, to_std = blend.slopes(scale, std, total, against)
    count, divisor = blend.divisors(x)
    slope = to_std.div(std).mul_(1 / divisor)
    if count < blocks.FEW:
        return blocks.combine(g, scale, x, slope, to_mean.div(count), mean=mean)
    return blocks.combine(g, scale, x, slope, to_mean.div(count).addcmul_(slope, mean, value=-1))


def _idle(blend: Blend) -> list[int]:
    """Return rows that are their own partners."""
    return [row for row, partner in enumerate(blend.partner.tolist()) if row == partner]


def _alone(idle: list[int], blend: Blend) -> list[int]:
    """Return those of them that no other row takes from: what is wrong with their features does not reach their gradient."""
    if not idle or blend.detach_partner:
        return idle
    lenders = {partner for row, partner in enumerate(blend.partner.tolist()) if row != partner}
    return [row for row in idle if row not in lenders]
