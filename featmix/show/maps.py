"""Moments of a hidden layer as pictures: those that are exchanged, or those over channels, what PONO normalizes by."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, prod

from torch import Tensor

from featmix.layouts import Layout
from featmix.normalizers.base import Normalizer
from featmix.normalizers.moments import compute_moments


@dataclass(frozen=True, eq=False)
class MomentMaps:
    """Moments, arranged as pictures.

    Args:
        mean: ``(B, H, W)``.
        std: ``(B, H, W)``, the standard deviation, over ``n - 1``; 0 where it is of one value.
        over: What they are over, in words.
    """

    mean: Tensor
    std: Tensor
    over: str = "over channels"

    def take(self, rows: Tensor) -> MomentMaps:
        """The maps of other rows of the batch: ``rows`` is ``(B,)`` int64."""
        return MomentMaps(self.mean[rows], self.std[rows], self.over)


def moment_maps(x: Tensor, layout: Layout, prefix: int = 0, norm: Normalizer | None = None) -> MomentMaps:
    """The moment maps of features.

    Over channels there is one value a position. A normalizer that averages over positions has no map: its moments, one for each
    channel, group or sample, are one row.

    Images give maps of their own height and width, and volumes their slices side by side. Tokens and points form a square
    where their number is one, prefix tokens not counted, and one row otherwise; time is one row. ``bc`` is a single position.

    Args:
        x: Features.
        layout: Which of their axes is what.
        prefix: Positions at the front that are no part of the map: 1 for a class token.
        norm: Whose moments; over channels where not given.

    Returns:
        Maps in float32, or float64 where ``x`` is.

    Example:
        >>> import torch
        >>> from featmix.layouts import layout
        >>> moment_maps(torch.rand(2, 8, 5, 4), layout("bchw")).mean.shape
        torch.Size([2, 5, 4])
        >>> moment_maps(torch.rand(2, 10, 8), layout("bnc"), prefix=1).std.shape
        torch.Size([2, 3, 3])
        >>> from featmix.normalizers.kinds import normalizer
        >>> maps = moment_maps(torch.rand(2, 8, 5, 4), layout("bchw"), norm=normalizer("in"))
        >>> maps.mean.shape, maps.over
        (torch.Size([2, 1, 8]), 'of each channel')
    """
    values = x if x.is_floating_point() else x.float()
    if prefix:
        axis = layout.positions[0]
        values = values.narrow(axis, prefix, values.shape[axis] - prefix)
    if norm is not None and (norm.over_positions or norm.grouped or norm.partly_over_positions):
        moments = compute_moments(norm.view(values), norm.reduced(values.shape), eps=0.0)
        mean, std = (part.flatten(1).unsqueeze(1) for part in (moments.mean, moments.std))
        return MomentMaps(mean, std, _words(norm))
    moments = compute_moments(values, (layout.channel,), eps=0.0)
    mean, std = (_flat(part.squeeze(layout.channel), layout) for part in (moments.mean, moments.std))
    return MomentMaps(mean, std)


def _words(norm: Normalizer) -> str:
    kinds = {(True, True): "of each group of channels", (True, False): "of each group of channels at each position"}
    kinds |= {(False, True): "of each sample" if norm.over_channels else "of each channel"}
    return kinds.get((norm.grouped, norm.over_positions), f"as {norm.name} takes them")


def _flat(values: Tensor, layout: Layout) -> Tensor:
    """Values ``(B, *positions)`` as ``(B, H, W)``."""
    if len(layout.positions) == 2:
        return values
    if len(layout.positions) > 2:
        return values.flatten(1, -3).movedim(1, 2).flatten(2)
    count = prod(values.shape[1:])
    square = not layout.grid and isqrt(count) ** 2 == count
    return values.reshape(len(values), isqrt(count) if square else 1, -1)
