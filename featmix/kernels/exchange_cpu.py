"""Moment exchange on the CPU, in blocks that fit into the cache."""

from __future__ import annotations

import torch
from torch import Tensor

from featmix.kernels import blocks, pages
from featmix.kernels.exchange import Blend


def exchange(x: Tensor, blend: Blend, *, keep: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The result, and what backward needs: scale, mean and standard deviation, or the scale alone."""
    y = pages.empty_like(x)
    idle = _idle(blend)
    if len(idle) == len(x):
        return y.copy_(x), ()
    mean, std = blocks.moments(x, blend.dims, eps=blend.eps, unbiased=blend.unbiased)
    scale = blend.scale(std)
    blocks.restored(x, mean, scale, blend.new(mean), y)
    blocks.copy_rows(x, y, idle)
    if not keep:
        return y, ()
    return y, (scale,) if blend.detach else (scale, mean, std)


def exchange_back(g: Tensor, x: Tensor | None, saved: tuple[Tensor, ...], blend: Blend) -> Tensor:
    """The gradient of the features."""
    idle = _idle(blend)
    if x is None:
        back = pages.empty_like(g)
        blocks.scaled(g, saved[0], None, back)
        blocks.copy_rows(g, back, idle)
        return back
    scale, mean, std = saved
    total, against = blocks.sums(g, x, mean, blend.dims)
    if idle:
        mixed = blend.mixed(x)
        total, against = torch.where(mixed, total, 0), torch.where(mixed, against, 0)
        scale = torch.where(mixed, scale, 1)
    to_mean, to_std = blend.slopes(scale, std, total, against)
    count, divisor = blend.divisors(x)
    slope = to_std.div(std).mul_(1 / divisor)
    offset = to_mean.div(count).addcmul_(slope, mean, value=-1)
    back = blocks.combine(g, scale, x, slope, offset)
    blocks.copy_rows(g, back, _alone(idle, blend))
    return back


def _idle(blend: Blend) -> list[int]:
    """Rows that are their own partners."""
    return [row for row, partner in enumerate(blend.partner.tolist()) if row == partner]


def _alone(idle: list[int], blend: Blend) -> list[int]:
    """Those of them that no other row takes from: what is wrong with their features does not reach their gradient."""
    if not idle or blend.detach_partner:
        return idle
    lenders = {partner for row, partner in enumerate(blend.partner.tolist()) if row != partner}
    return [row for row in idle if row not in lenders]

