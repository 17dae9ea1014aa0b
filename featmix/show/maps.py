"""Mean and standard deviation over the channels at each position of a hidden layer: what PONO normalizes by."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, prod

from torch import Tensor

from featmix.layouts import Layout
from featmix.normalizers.moments import compute_moments


@dataclass(frozen=True, eq=False)
class MomentMaps:
    """Moments of each position, laid out to be looked at.

    Args:
        mean: ``(B, H, W)``, the mean over channels.
        std: ``(B, H, W)``, the standard deviation over channels, over ``n - 1``; 0 where there is one channel.
    """

    mean: Tensor
    std: Tensor

    def take(self, rows: Tensor) -> MomentMaps:
        """The maps of other rows of the batch: ``rows`` is ``(B,)`` int64."""
        return MomentMaps(self.mean[rows], self.std[rows])


def moment_maps(x: Tensor, layout: Layout, prefix: int = 0) -> MomentMaps:
    """The moment maps of features.

    Images give maps of their own height and width, and volumes their slices side by side. Tokens and points form a square
    where their number is one, prefix tokens not counted, and one row otherwise; time is one row. ``bc`` is a single position.

    Args:
        x: Features.
        layout: Which of their axes is what.
        prefix: Positions at the front that are no part of the map: 1 for a class token.

    Returns:
        Maps in float32, or float64 where ``x`` is.

    Example:
        >>> import torch
        >>> from featmix.layouts import layout
        >>> moment_maps(torch.rand(2, 8, 5, 4), layout("bchw")).mean.shape
        torch.Size([2, 5, 4])
        >>> moment_maps(torch.rand(2, 10, 8), layout("bnc"), prefix=1).std.shape
        torch.Size([2, 3, 3])
    """
    values = x if x.is_floating_point() else x.float()
    if prefix:
        axis = layout.positions[0]
        values = values.narrow(axis, prefix, values.shape[axis] - prefix)
    moments = compute_moments(values, (layout.channel,), eps=0.0)
    return MomentMaps(*(_flat(part.squeeze(layout.channel), layout) for part in (moments.mean, moments.std)))


def _flat(values: Tensor, layout: Layout) -> Tensor:
    """Values ``(B, *positions)`` as ``(B, H, W)``."""
    if len(layout.positions) == 2:
        return values
    if len(layout.positions) > 2:
        return values.flatten(1, -3).movedim(1, 2).flatten(2)
    count = prod(values.shape[1:])
    square = not layout.grid and isqrt(count) ** 2 == count
    return values.reshape(len(values), isqrt(count) if square else 1, -1)
