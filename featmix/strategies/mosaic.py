"""Mosaic: four samples in the quarters of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import ClassVar, Unpack, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.labels.composing import LabelStep
from featmix.labels.mixture import made
from featmix.sampling.draws import Rows
from featmix.sampling.words import Per
from featmix.schedule import Schedule
from featmix.strategies.base import CommonSettings, Strategy
from featmix.strategies.params import Draw, Params, decided_sizes
from featmix.strategies.pieces import Piece
from featmix.strategies.registry import register
from featmix.strategies.tags import Tags


@dataclass(frozen=True, eq=False)
class MosaicParams(Params):
    """The decision of Mosaic.

    Args:
        partner: ``(B,)`` the sample of the second tile; its partner is that of the third, and so on.
        active: See :class:`~featmix.strategies.params.Params`.
        lam: ``(B,)`` the share of positions that are the sample's own.
        mixture: With the area of each tile.
        centre: ``(B, d)`` int64, the first position past the first tile, along each of ``d`` position axes; the size of the
            axis where a row stays as it is.
        sizes: The sizes of the position axes that it was drawn for.
    """

    centre: Tensor
    sizes: tuple[int, ...]


@register("mosaic")
class Mosaic(Strategy[MosaicParams]):
    """Mosaic: four samples meet at one point, each in a quarter of the map; the label is shared by the areas.

    The point is uniform over the middle of the map. Each sample stands with a corner at it, and is cut where the map ends: at
    the top left is the lower right part of the sample itself, at the top right the lower left part of its partner, below are
    the partner's partner and the partner of that. Sequences have two tiles, volumes eight.

    *Where to put it.* At the input, for detection: ``mix.targets`` then has the boxes of all four, clipped.

    *Suggested settings.* ``scope=(0.2, 0.8)`` and ``p=1``, switched off for the last epochs.

    *When it hurts.* A sample shows a quarter of itself: where one object fills the image, tiles hold parts of it.

    *Where it departs from published code.* The sheet is no larger than an image: nothing is scaled by it, and samples come
    from the batch. Partners are followed from row to row, so that ``partner=`` says all of them: where they lead back, a
    sample is in two tiles. A row that is its own partner stays as it is.

    Args:
        scope: The point lies between these shares of each side.
        lam_per: One point for the ``batch`` or one for each ``sample``.
        p: Probability that a batch (or a row) is mixed.
        common: ``per``, ``partner``, ``layout`` (any without ``n``), ``num_classes``: see
            :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If a setting is out of range, or the layout has no grid.

    Example:
        >>> x, y = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.eye(4)
        >>> mixed, soft = Mosaic(scope=(0.5, 0.5))(x, y)
        >>> mixed.dtype, soft.diagonal().min() >= 0.25
        (torch.uint8, tensor(True))
    """

    tags = Tags(
        mixes_labels=True,
        spatial=True,
        needs_float=False,
        batch_coupled=True,
        paper="Bochkovskiy et al., YOLOv4: Optimal Speed and Accuracy of Object Detection, 2020",
        url="https://arxiv.org/abs/2004.10934",
    )

    keeps_places: ClassVar[bool] = False  # as of :class:`~featmix.strategies.content.ContentStrategy`

    def __init__(
        self,
        *,
        scope: Sequence[float] = (0.2, 0.8),
        lam_per: Per = "sample",
        p: float | Schedule = 1.0,
        **common: Unpack[CommonSettings],
    ) -> None:
        super().__init__(p=p, **common)
        if not isinstance(scope, Sequence) or isinstance(scope, str) or len(scope) != 2:
            raise FeatmixError(self._who, "scope", expected="a pair (low, high)", got=repr(scope))
        low, high = (self._in_range("scope", bound, 0, 1) for bound in scope)
        if low > high:
            raise FeatmixError(self._who, "scope", expected="0 <= low <= high <= 1", got=repr(scope))
        self.scope = (low, high)
        self.lam_per = self._one_of("lam_per", lam_per, get_args(Per))

    def decide(self, shape: Sequence[int], draw: Draw) -> MosaicParams:
        """Draw the point at which the samples meet."""
        sizes = self.layout_of(shape).spatial_shape(shape)
        low, high = self.scope
        size, still = np.array(sizes, dtype=np.int64), draw.partner == np.arange(len(draw))
        share = low + (high - low) * draw.random.random((draw.count(self.lam_per), len(sizes)))
        centre = draw.every(np.rint(share * size).astype(np.int64))
        centre[still] = size
        sources = _followed(draw.partner, len(sizes))
        sides = np.stack([centre, size - centre], axis=2)
        areas = [sides[:, range(len(sizes)), tile].prod(1) for tile in product((0, 1), repeat=len(sizes))]
        weight = np.stack(areas, axis=1) / max(prod(sizes), 1)
        if not prod(sizes):
            weight[:, 0] = 1
        lam = np.where(sources == np.arange(len(draw))[:, None], weight, 0).sum(1)
        mixture = made(torch.from_numpy(sources), torch.from_numpy(weight.astype(np.float32)))
        return MosaicParams.of(draw, lam, mixture=mixture, centre=centre, sizes=sizes)

    def act(self, x: Tensor, params: MosaicParams) -> Tensor:
        """Return the features, put together of the tiles."""
        lay = self.layout_of(x.shape)
        decided_sizes(self._who, params.sizes, lay.spatial_shape(x.shape), "a mosaic")
        return self._laid(x.movedim(lay.channel, 1), params).movedim(1, lay.channel)

    def label_step(self, place: str, params: MosaicParams) -> LabelStep | None:
        """Return what a decision does to labels, position by position."""
        step = super().label_step(place, params)
        return None if step is None else replace(step, grid=params.sizes, mask=params.mask)

    def parts(self, shares: Tensor, params: MosaicParams) -> list[tuple[Tensor, Tensor]]:
        """Return each of the samples where it lies; see :meth:`featmix.Strategy.parts`."""
        sources, which = self._sources(params), self._tiles(self._past_centre(params))
        moved = self._laid(shares.flatten(1, 2), params).view(shares.shape)
        if params.mask is None:
            return [(rows, moved * (which == k)[:, None, None]) for k, rows in enumerate(sources.T)]
        reached = self.reach(params, params.mask)
        stays = (sources[:, 0], shares * ~reached[:, None, None])
        return [stays, *((rows, moved * (reached & (which == k))[:, None, None]) for k, rows in enumerate(sources.T))]

    @property
    def takes_masks(self) -> bool:
        """True: what is reached of each tile is known."""
        return True

    def reach(self, params: MosaicParams, mask: Tensor) -> Tensor:
        """Return where the sample is real, and so is what a tile has there."""
        return mask & self._laid(mask.unsqueeze(1), params).squeeze(1)

    def with_mask(self, params: MosaicParams, mask: Tensor) -> MosaicParams:
        """Return a decision that knows of padding, with label weights that count real positions only."""
        params = params.replaced(mask=mask)
        reached, which = self.reach(params, mask), self._tiles(self._past_centre(params))
        tiles = [(reached & (which == k)).flatten(1).sum(1) for k in range(1, 2 ** len(params.sizes))]
        others = torch.stack(tiles, dim=1) / mask.flatten(1).sum(1, keepdim=True).clamp(min=1)
        weight = torch.cat([1 - others.sum(1, keepdim=True), others], dim=1)
        return params.replaced(mixture=made(params.mixture.index, weight))

    def pieces(self, params: MosaicParams) -> list[Piece]:
        """Return the tiles; see :meth:`featmix.Strategy.pieces`."""
        sources, which = self._sources(params), self._tiles(self._past_centre(params))
        size = torch.tensor(params.sizes, device=params.centre.device)
        tiles = torch.tensor(list(product((0, 1), repeat=len(params.sizes))), device=params.centre.device)
        shifts = [params.centre - size * (1 - tile) for tile in tiles]
        return [Piece(sources[:, k], which == k, shift=shift) for k, shift in enumerate(shifts)]

    def dense_targets(self, target_map: Tensor, params: MosaicParams) -> Tensor:
        """Return label maps of the features' own size, put together as they are; see :meth:`featmix.Strategy.dense_targets`."""
        rows, sizes = len(params.partner), params.sizes
        fits = isinstance(target_map, Tensor) and target_map.ndim - len(sizes) in (1, 2) and len(target_map) == rows
        if not fits or tuple(target_map.shape[-len(sizes) :]) != sizes:
            got = f"shape {tuple(target_map.shape)}" if isinstance(target_map, Tensor) else type(target_map).__name__
            expected = f"label maps (B, *positions) or (B, K, *positions) for {rows} samples, positions {sizes}"
            raise FeatmixError(self._who, "target_map", expected=expected, got=got)
        maps = target_map.unsqueeze(1) if target_map.ndim == len(sizes) + 1 else target_map
        params = params.to(maps.device).tied()
        mixed = torch.where(params.active.view(-1, *[1] * (maps.ndim - 1)), self._laid(maps, params), maps)
        return mixed.view(target_map.shape)

    def oracle(self, x: NDArray[np.float64], params: MosaicParams) -> NDArray[np.float64]:
        """Return the result, computed one sample after the other."""
        y = x.copy()
        positions = [axis - 1 for axis in self.layout_of(x.shape).positions]
        for i, partner in enumerate(params.partner.tolist()):
            if not params.active[i] or i == partner:
                continue
            source, centre = i, params.centre[i].tolist()
            for tile in product((False, True), repeat=len(positions)):
                moved, place = np.roll(x[source], centre, positions), [slice(None)] * (x.ndim - 1)
                for axis, middle, past in zip(positions, centre, tile, strict=True):
                    place[axis] = slice(middle, None) if past else slice(middle)
                y[i][tuple(place)] = moved[tuple(place)]
                source = int(params.partner[source])
        return y

    @staticmethod
    def _sources(params: MosaicParams) -> Tensor:
        """Return which sample is in each tile, ``(B, tiles)``."""
        partner, found = params.partner, [torch.arange(len(params.partner), device=params.partner.device)]
        for _ in range(2 ** len(params.sizes) - 1):
            found.append(partner.index_select(0, found[-1]))
        return torch.stack(found, dim=1)

    @staticmethod
    def _past_centre(params: MosaicParams) -> list[Tensor]:
        """Return how far each position is past the centre along each axis, broadcastable to ``(B, *positions)``."""
        shape = [1] * len(params.sizes)
        return [
            (torch.arange(size, device=middle.device) - middle.unsqueeze(1)).view(-1, *shape[:axis], size, *shape[axis + 1 :])
            for axis, (size, middle) in enumerate(zip(params.sizes, params.centre.unbind(1), strict=True))
        ]

    @staticmethod
    def _tiles(past: Sequence[Tensor]) -> Tensor:
        """Return the tile that each position is in, ``(B, *positions)``."""
        which = past[0] >= 0
        for place in past[1:]:
            which = 2 * which + (place >= 0)
        return which.long()

    def _laid(self, maps: Tensor, params: MosaicParams) -> Tensor:
        """Return maps ``(B, K, *positions)`` put together of the tiles: each shows its sample rolled by the centre."""
        past = self._past_centre(params)
        which = self._tiles(past)
        rows = self._sources(params).gather(1, which.flatten(1)).view(which.shape).unsqueeze(1)
        channels = torch.arange(maps.shape[1], device=maps.device).view(-1, *[1] * len(past))
        places = [place.unsqueeze(1) % max(size, 1) for place, size in zip(past, params.sizes, strict=True)]
        return maps[(rows, channels, *places)]


def _followed(partner: Rows, axes: int) -> Rows:
    """Return which sample is in each tile: the row itself, its partner, the partner's partner, and so on."""
    found = [np.arange(len(partner))]
    for _ in range(2**axes - 1):
        found.append(partner[found[-1]])
    return np.stack(found, axis=1)
