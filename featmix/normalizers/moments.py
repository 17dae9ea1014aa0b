"""Moments, and the one function that computes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of a feature map, each broadcastable to it.

    Args:
        mean: Mean over the reduced axes, kept with size 1.
        std: ``sqrt(var + eps)`` over the same axes, same shape.
    """

    mean: Tensor
    std: Tensor

    def take(self, rows: Tensor) -> Moments:
        """Return the moments of other rows of the batch: ``rows`` is ``(B,)`` int64. Gradients reach the rows taken from."""
        return Moments(self.mean.index_select(0, rows), self.std.index_select(0, rows))

    def detach(self) -> Moments:
        """Return the same moments with no gradient."""
        return Moments(self.mean.detach(), self.std.detach())


def upcast(x: Tensor) -> Tensor:
    """Return half types as float32 and everything else as it is: statistics are never taken in half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def compute_moments(
    x: Tensor,
    dims: tuple[int, ...],
    *,
    eps: float = 1e-5,
    unbiased: bool = True,
    positive_only: bool = False,
    mask: Tensor | None = None,
) -> Moments:
    """Return mean and ``sqrt(var + eps)`` of ``x`` over ``dims``.

    Two passes, so that the variance survives a mean far larger than it. A group of one element has variance 0.

    Args:
        x: Any floating tensor. Half types are averaged in float32, and so are their moments.
        dims: Axes to reduce; empty means that every element is a group of its own.
        eps: Added to the variance, inside the root.
        unbiased: Divide by ``n - 1`` instead of ``n``. Positive-only moments divide by their count, as published.
        positive_only: Average the positive elements only. A group with none has mean 0 and variance 0.
        mask: Bool, broadcastable to ``x``: average these elements only, whatever the others hold.

    Returns:
        Moments in float32, or float64 where ``x`` is float64; reduced axes have size 1.

    Example:
        >>> m = compute_moments(torch.tensor([[1.0, 3.0]]), (1,), eps=0.0, unbiased=False)
        >>> m.mean.item(), m.std.item()
        (2.0, 1.0)
    """
    x = upcast(x)
    if not dims:
        mean = x.clamp(min=0) if positive_only else x
        return Moments(mean if mask is None else torch.where(mask, mean, 0), torch.full_like(x, eps**0.5))
    count = 1
    for d in dims:
        count *= x.shape[d]
    if positive_only or mask is not None:
        support = torch.ones_like(x, dtype=torch.bool) if mask is None else mask.expand_as(x)
        support = support & (x > 0) if positive_only else support
        n = support.sum(dims, keepdim=True)
        mean = torch.where(support, x, 0).sum(dims, keepdim=True) / n.clamp(min=1)
        centred = torch.where(support, x - mean, 0)
        lost = centred.detach().sum(dims, keepdim=True) / n.clamp(min=1)
        mean = mean + lost
        divisor = n - int(unbiased and not positive_only)
        var = torch.where(support, x - mean, 0).square().sum(dims, keepdim=True) / divisor.clamp(min=1)
    else:
        mean = x.mean(dims, keepdim=True)
        # What the mean lost to rounding: 0 in exact arithmetic, and so without gradient.
        lost = (x - mean).detach().mean(dims, keepdim=True)
        mean = mean + lost
        var = (x - mean).square().sum(dims, keepdim=True) / max(count - unbiased, 1)
    return Moments(mean, (var + eps).sqrt())
