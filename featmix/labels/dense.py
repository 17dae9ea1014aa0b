"""Label maps that go the way of the features: the same boxes and masks, at the map's own resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.strategies.params import Params

if TYPE_CHECKING:
    from featmix.strategies.base import Strategy


def blended_map(strategy: Strategy, target_map: Tensor, params: Params) -> Tensor:
    """A label map mixed by the decision of a strategy that says how much of each position is the partner's.

    Args:
        strategy: Spatial, so that its params know the ``sizes`` that they were drawn for.
        target_map: ``(B, *positions)`` or ``(B, K, *positions)``.
        params: The decision.

    Raises:
        FeatmixError: If the map does not fit, differs in its channels, or shares blend where class indices cannot.
    """
    sizes: tuple[int, ...] = vars(params)["sizes"]
    who, source = type(strategy).__name__, target_map
    if (
        not isinstance(target_map, Tensor)
        or target_map.ndim - len(sizes) not in (1, 2)
        or len(target_map) != len(params.partner)
    ):
        got = f"shape {tuple(target_map.shape)}" if isinstance(target_map, Tensor) else type(target_map).__name__
        expected = (
            f"label maps (B, *positions) or (B, K, *positions) for {len(params.partner)} samples, {len(sizes)}-D positions"
        )
        raise FeatmixError(who, "target_map", expected=expected, got=got)
    flat = target_map.ndim == len(sizes) + 1
    maps = target_map.unsqueeze(1) if flat else target_map
    params = params.to(maps.device).tied()
    share = strategy.partner_share(params, sizes)
    if share is None or share.shape[1] != 1:
        raise FeatmixError(
            who,
            "dense_targets",
            expected="a strategy that treats all channels of a position alike",
            got="one with a place of its own for each channel",
            fix="A label map has no channels to follow: use cutmix, fmix or resizemix.",
        )
    if share.dtype != torch.bool and not maps.is_floating_point():
        raise FeatmixError(
            who,
            "target_map",
            expected="floating maps (B, K, *positions)",
            got=f"{maps.dtype}, whose classes cannot be blended",
            fix="One-hot maps, or max_soft=0.",
        )
    gate = params.active.view(-1, *[1] * (share.ndim - 1))
    if params.mask is not None:
        gate = gate & strategy.reach(params, params.mask).unsqueeze(1)
    share, gate = (nearest(t.expand(-1, -1, *sizes), maps.shape[2:]) for t in (share, gate))
    partner = strategy.partner_map(maps, params)
    mixed = torch.where(share, partner, maps) if share.dtype == torch.bool else torch.lerp(maps, partner, share.to(maps.dtype))
    result = torch.where(gate, mixed, maps)
    return (result.squeeze(1) if flat else result).to(source.dtype)


def nearest(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """Values ``(B, C, *positions)`` of any dtype at another resolution, by nearest neighbour (``floor(i * S / T)``).

    Example:
        >>> nearest(torch.tensor([[[1, 2]]]), [4])
        tensor([[[1, 1, 2, 2]]])
    """
    for axis, size in enumerate(sizes, start=2):
        if size != values.shape[axis]:
            values = values.index_select(axis, torch.arange(size, device=values.device) * values.shape[axis] // max(size, 1))
    return values
