"""ResizeMix: paste the whole partner, shrunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, Unpack, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.kernels.dispatch import RowKernels
from featmix.kernels.mixing import Rows
from featmix.layouts import inside
from featmix.sampling.boxes import area_of, boxes_inside
from featmix.sampling.draws import uniform
from featmix.sampling.words import Per
from featmix.schedule import Schedule
from featmix.strategies.base import CommonSettings
from featmix.strategies.content import ContentStrategy
from featmix.strategies.params import Draw, Params, decided_sizes
from featmix.strategies.registry import register
from featmix.strategies.tags import Tags

Sampling = Literal["whole", "published"]


@dataclass(frozen=True, eq=False)
class ResizeMixParams(Params):
    """The decision of ResizeMix.

    Args:
        partner: See :class:`~featmix.strategies.params.Params`.
        active: See :class:`~featmix.strategies.params.Params`.
        lam: ``(B,)`` the share of positions that stay.
        mixture: See :class:`~featmix.strategies.params.Params`.
        box: ``(B, d, 2)`` int64, first position inside and first past the box, for each of ``d`` position axes.
        sizes: The sizes of the position axes that the box was drawn for.
        step: ``(B,)`` float32, how many positions of the partner lie between two of its copy; ``None`` where all of the partner
            is shrunk, and the box says it.
    """

    box: Tensor
    sizes: tuple[int, ...]
    step: Tensor | None = None


@register("resizemix")
class ResizeMix(ContentStrategy[ResizeMixParams]):
    """ResizeMix: the whole partner, shrunk to a box, is pasted; labels are mixed by the area of the box.

    The box has side ``floor(tau * S)``, with ``tau`` from U(0.1, 0.8), and at least one position; its centre is uniform over
    the map, and it is moved until it lies inside, never clipped. It holds all of the partner by nearest neighbour: position
    ``k`` of a side ``h`` is the partner's position ``floor(k * S / h)``. The weight of the
    sample's own label is ``1 - h * w / (H * W)``.

    *Where to put it.* At the input. In a hidden layer the box is drawn for that layer's own resolution.

    *Suggested settings.* ``scope=(0.1, 0.8)`` (CIFAR, ImageNet), with no gate.

    *When it hurts.* If size tells the class: pasted objects are smaller than those of the data.

    *Where it departs from published code.* The published code shrinks by ``F.interpolate(scale_factor=tau)``, which takes steps
    of ``1 / tau``. If ``tau * S`` is not a whole number, an edge of the partner is left out: two thirds of the pasted pixels
    differ. ``sampling="published"`` does the same. That code fails on maps so small that a side of the box is 0; here the side
    is then one position. A row that is its own partner (possible with ``partner="permutation"``) stays as it is; there it gets
    a small copy of itself.

    Under a padding mask the partner is shrunk together with its padding. Inside the box only those positions change that are
    real in the sample and come from real ones of the partner. Label maps of a finer resolution are moved in blocks, one for
    each position of the features.

    Args:
        scope: Smallest and largest ``tau``, with ``0 < low <= high <= 1``.
        sampling: ``whole``: the box holds all of the partner; or ``published``: position ``k`` of it is the partner's position
            ``floor(k / tau)``.
        lam_per: One ``tau`` for the ``batch`` (as published) or one for each ``sample``; each sample has a place of its own.
        p: Probability that a batch (or a row) is mixed.
        common: ``per``, ``partner``, ``layout`` (any without ``n``), ``num_classes``: see
            :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If a setting is out of range, or the layout has no grid.

    Example:
        >>> x = torch.arange(32.0).view(2, 1, 4, 4)
        >>> resizemix = ResizeMix(scope=(0.5, 0.5))
        >>> params = resizemix.make_params(x.shape)
        >>> (top, bottom), (left, right) = params.box[0].tolist()
        >>> resizemix.transform(x, params)[0, 0, top:bottom, left:right]
        tensor([[16., 18.],
                [24., 26.]])
        >>> params.mixture.weight[0]
        tensor([0.7500, 0.2500])
    """

    keeps_places = False
    tags = Tags(
        mixes_labels=True,
        spatial=True,
        needs_float=False,
        paper="Qin et al., ResizeMix: Mixing Data with Preserved Object Information and True Labels, arXiv 2020",
        url="https://arxiv.org/abs/2012.11101",
    )

    def __init__(
        self,
        *,
        scope: tuple[float, float] = (0.1, 0.8),
        sampling: Sampling = "whole",
        lam_per: Per = "batch",
        p: float | Schedule = 1.0,
        **common: Unpack[CommonSettings],
    ) -> None:
        super().__init__(p=p, **common)
        if not isinstance(scope, Sequence) or isinstance(scope, str) or len(scope) != 2:
            raise FeatmixError(self._who, "scope", expected="a pair (low, high)", got=repr(scope))
        low, high = (self._in_range("scope", bound, 0, 1) for bound in scope)
        if not 0 < low <= high:
            raise FeatmixError(self._who, "scope", expected="0 < low <= high <= 1", got=repr(scope))
        self.scope = (low, high)
        self.sampling = self._one_of("sampling", sampling, get_args(Sampling))
        self.lam_per = self._one_of("lam_per", lam_per, get_args(Per))

    def decide(self, shape: Sequence[int], draw: Draw) -> ResizeMixParams:
        """Draw how small the partner becomes, and where it goes."""
        batch, sizes = len(draw), self.layout_of(shape).spatial_shape(shape)
        low, high = self.scope
        scale = low + (high - low) * uniform(draw.random, draw.count(self.lam_per))
        box = boxes_inside(draw.random, sizes, np.broadcast_to(scale, batch))
        moved = draw.partner != np.arange(batch)
        lam = np.where(moved, 1 - area_of(box) / max(prod(sizes), 1), 1.0)
        step = draw.every((1 / scale).astype(np.float32)) if self.sampling == "published" else None
        return ResizeMixParams.of(draw, lam, box=box, sizes=sizes, step=step)

    def act(self, x: Tensor, params: ResizeMixParams) -> Tensor:
        """Return the features with the shrunk partner pasted in."""
        lay = self.layout_of(x.shape)
        sizes = lay.spatial_shape(x.shape)
        decided_sizes(self._who, params.sizes, sizes, "a box")
        maps = x.movedim(lay.channel, 1)
        mixed = torch.where(self.partner_share(params, sizes), self.partner_map(maps, params), maps)
        return mixed.movedim(1, lay.channel)

    def rows(self, x: Tensor, params: ResizeMixParams, kernels: RowKernels, taker: Tensor | None) -> Rows | None:
        """Return the rows by a fast path, which shrinks all of the partner."""
        if params.step is not None:
            return None
        lay = self.layout_of(x.shape)
        decided_sizes(self._who, params.sizes, lay.spatial_shape(x.shape), "a box")
        return kernels.shrink(x, params.partner, params.box, lay.positions, taker)

    def partner_share(self, params: ResizeMixParams, sizes: Sequence[int]) -> Tensor:
        """Return True inside the box, unless the row is its own partner."""
        moved = params.partner != torch.arange(len(params.box), device=params.box.device)
        return inside(params.box, sizes).unsqueeze(1) & moved.view(-1, *[1] * (len(sizes) + 1))

    def partner_map(self, maps: Tensor, params: ResizeMixParams) -> Tensor:
        """Return the partner shrunk to the box; what stands outside of the box has no meaning."""
        box, decided_sizes = params.box, params.sizes
        taken = maps.index_select(0, params.partner)
        for k, size in enumerate(decided_sizes):
            first, past = box[:, k, :1], box[:, k, 1:]
            place = torch.arange(size, device=box.device) - first
            if params.step is None:
                source = torch.div(place * size, (past - first).clamp(min=1), rounding_mode="floor")
            else:  # in float32, as ``F.interpolate`` computes it
                source = (place * params.step.unsqueeze(1)).floor().long()
            source = source.clamp(0, size - 1)
            source = _in_blocks(source, maps.shape[2 + k])
            index = source.view(len(box), 1, *(source.shape[1] if axis == k else 1 for axis in range(len(decided_sizes))))
            taken = taken.gather(2 + k, index.expand_as(taken))
        return taken

    def partner_moved(self, params: ResizeMixParams) -> tuple[Tensor, Tensor]:
        """Return how the partner was shrunk; see :meth:`featmix.strategies.content.ContentStrategy.partner_moved`."""
        first, past = params.box.double().unbind(2)
        if params.step is not None:
            return (1 / params.step.double()).unsqueeze(1).expand_as(first), first
        return (past - first) / torch.tensor(params.sizes, device=first.device).clamp(min=1), first

    def reach(self, params: ResizeMixParams, mask: Tensor) -> Tensor:
        """Return where the sample is real, and so is what the partner's shrunk copy has there."""
        return mask & self.partner_map(mask.unsqueeze(1), params).squeeze(1)

    def oracle(self, x: NDArray[np.float64], params: ResizeMixParams) -> NDArray[np.float64]:
        """Return the result, computed one sample after the other."""
        y = x.copy()
        positions = self.layout_of(x.shape).positions
        for i, j in enumerate(params.partner.tolist()):
            if not params.active[i] or i == j:
                continue
            small, box = x[j], [slice(None)] * (x.ndim - 1)
            for axis, (first, past) in zip(positions, params.box[i].tolist(), strict=True):
                rows = [self._source(params, i, k, past - first, x.shape[axis]) for k in range(past - first)]
                small = small.take(rows, axis=axis - 1)
                box[axis - 1] = slice(first, past)
            y[i][tuple(box)] = small
        return y

    @staticmethod
    def _source(params: ResizeMixParams, row: int, place: int, side: int, size: int) -> int:
        if params.step is None:
            return place * size // side
        return min(int(np.float32(place) * params.step[row].numpy()), size - 1)


def _in_blocks(source: Tensor, size: int) -> Tensor:
    """Return sources ``(B, S)`` along an axis of ``S`` positions as sources ``(B, size)`` at another resolution.

    A position belongs to the block of the coarse one that nearest neighbour gives it. It takes from the same place of the
    block that the coarse one takes from.
    """
    coarse = source.shape[1]
    if size == coarse:
        return source
    place = torch.arange(size, device=source.device)
    start = -(-torch.arange(coarse + 1, device=source.device) * size // coarse)  # where each block begins
    block = place * coarse // size
    wanted = source[:, block]
    last = torch.maximum(start[wanted + 1] - 1, start[wanted])
    return torch.minimum(start[wanted] + place - start[block], last).clamp(max=size - 1)
