"""CutMix: paste a box of the partner, share the label by area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Unpack, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.kernels.dispatch import RowKernels
from featmix.kernels.mixing import Rows
from featmix.labels.composing import LabelStep
from featmix.labels.mixture import made
from featmix.layouts import inside
from featmix.sampling.boxes import area_of, boxes
from featmix.sampling.draws import beta
from featmix.sampling.words import Per
from featmix.schedule import Schedule
from featmix.strategies.base import CommonSettings
from featmix.strategies.content import ContentStrategy
from featmix.strategies.memory import RecalledFeatures, lender_of
from featmix.strategies.params import Draw, Params, decided_sizes
from featmix.strategies.pieces import Piece
from featmix.strategies.registry import register
from featmix.strategies.tags import Tags


@dataclass(frozen=True, eq=False)
class CutMixParams(Params):
    """The decision of CutMix.

    Args:
        partner: See :class:`~featmix.strategies.params.Params`.
        active: See :class:`~featmix.strategies.params.Params`.
        lam: ``(B,)`` the share of positions that stay, after clipping.
        mixture: See :class:`~featmix.strategies.params.Params`.
        box: ``(B, d, 2)`` int64, first position inside and first past the box, for each of ``d`` position axes.
        sizes: The sizes of the position axes that the box was drawn for.
    """

    box: Tensor
    sizes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class RecalledCutMixParams(RecalledFeatures, CutMixParams):
    """The decision of a CutMix that remembers; see :class:`CutMixParams` and :class:`RecalledFeatures`."""


@register("cutmix")
class CutMix(ContentStrategy[CutMixParams]):
    """CutMix: a box of the partner is pasted at the same place; labels are mixed by the area that was replaced.

    The box has side ``int(S * sqrt(1 - lam))`` with ``lam`` from Beta(alpha, alpha), a centre uniform over the map and edges
    clipped to it (eq. 2 of the paper). The weight of the sample's own label is ``1 - area / (H * W)``, with the area of the
    clipped box. In sequences the box is a segment, in volumes a cuboid (side ``S * (1 - lam) ** (1 / d)``).

    *Where to put it.* At the input. In a hidden layer the box is drawn for that layer's own resolution.

    *Suggested settings.* ``alpha=1``; CIFAR ``p=0.5``, ImageNet ``p=1``.

    *When it hurts.* If objects are small, a box may hold all of the object or nothing of it, and the label share says neither.

    *Small batches.* With ``memory=N`` boxes are cut from the last N samples, of whatever batch, and bring the labels
    of these; see :class:`~featmix.Mixup`.

    *Where it departs from published code.* Only in partners: they are a derangement, where the published ``randperm`` leaves
    some rows unmixed (``partner="permutation"``). ``own_term`` is for PatchUp at the input of a Wide ResNet.

    Args:
        alpha: Of the Beta distribution, at least 0; 0 means ``lam = 1``, an empty box.
        lam_per: One box for the ``batch`` (as published) or one for each ``sample``.
        loss_weight: Factor of the loss of a mixed row; 2 if it takes the place of PatchUp at the input.
        own_term: The part, in [0, 1], of a mixed row's loss that is of its own label, whatever the area is: labels are then
            not what the features hold. ``None`` is 0.
        inplace: Write into the batch instead of new memory.
        memory: Samples to remember; ``None`` for none, as published.
        p: Probability that a batch (or a row) is mixed.
        common: ``per``, ``partner``, ``layout`` (any without ``n``), ``num_classes``: see
            :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If a setting is out of range, or the layout has no grid.

    Example:
        >>> x, y = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.eye(4)
        >>> mixed, soft = CutMix()(x, y)
        >>> mixed.dtype, soft.sum(1)
        (torch.uint8, tensor([1., 1., 1., 1.]))
    """

    tags = Tags(
        mixes_labels=True,
        spatial=True,
        needs_float=False,
        paper="Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers, ICCV 2019",
        url="https://arxiv.org/abs/1905.04899",
    )

    recalling = RecalledCutMixParams

    def __init__(
        self,
        *,
        alpha: float | Schedule = 1.0,
        lam_per: Per = "batch",
        loss_weight: float | Schedule = 1.0,
        own_term: float | None = None,
        inplace: bool = False,
        memory: int | None = None,
        p: float | Schedule = 1.0,
        **common: Unpack[CommonSettings],
    ) -> None:
        super().__init__(p=p, **common)
        self.alpha = self._scheduled("alpha", alpha, 0, 1e6)
        self.lam_per = self._one_of("lam_per", lam_per, get_args(Per))
        self.loss_weight = self._scheduled("loss_weight", loss_weight, 0, 1e6)
        self.own_term = None if own_term is None else self._in_range("own_term", own_term, 0, 1)
        self.inplace = self._flag("inplace", inplace)
        self._remember_last(memory)

    def decide(self, shape: Sequence[int], draw: Draw) -> CutMixParams:
        """Draw the boxes; a row that is not active gets an empty one."""
        sizes = self.layout_of(shape).spatial_shape(shape)
        kept = beta(draw.random, draw.count(self.lam_per), self.alpha, self.alpha)
        box = boxes(draw.random, sizes, kept)
        lam = 1 - area_of(box) / max(prod(sizes), 1)
        said: dict[str, Any] = {"box": draw.gated(box, 0), "sizes": sizes}
        return CutMixParams.of(draw, lam, loss_weight=self.loss_weight, own_term=self.own_term or 0.0, **said)

    def with_mask(self, params: CutMixParams, mask: Tensor) -> CutMixParams:
        """Return a decision that knows of padding, with label weights that count real positions only."""
        params = super().with_mask(params, mask)
        if not self.own_term:
            return params
        index, weight, scale = params.mixture.index, params.mixture.weight, params.mixture.scale
        other = weight[:, 1:] * (1 - self.own_term)
        return params.replaced(mixture=made(index, torch.cat([1 - other, other], dim=1), scale=scale))

    def label_step(self, place: str, params: CutMixParams) -> LabelStep | None:
        """Return what a decision does to labels, position by position unless a part of the loss has no place."""
        step = super().label_step(place, params)
        return replace(step, grid=None) if step is not None and self.own_term else step

    def dense_targets(self, target_map: Tensor, params: CutMixParams) -> Tensor:
        """Return label maps for the mixed batch; see :meth:`featmix.Strategy.dense_targets`."""
        if self.own_term:
            got = f"own_term={self.own_term}"
            raise FeatmixError(self._who, "dense_targets", expected="labels that are what features hold", got=got)
        return super().dense_targets(target_map, params)

    def pieces(self, params: CutMixParams) -> list[Piece]:
        """Return the sample around the box and its partner inside; see :meth:`featmix.Strategy.pieces`."""
        if self.own_term:
            self._no_pieces(f"own_term={self.own_term}, by which labels are not what features hold")
        return super().pieces(params)

    def act(self, x: Tensor, params: CutMixParams) -> Tensor:
        """Return the features with the partner's box pasted in."""
        lay = self.layout_of(x.shape)
        sizes = lay.spatial_shape(x.shape)
        decided_sizes(self._who, params.sizes, sizes, "a box")
        pasted = self.partner_share(params, sizes)
        return torch.where(lay.from_channels_first(pasted), self.lent(x, params), x)

    def rows(self, x: Tensor, params: CutMixParams, kernels: RowKernels, taker: Tensor | None) -> Rows | None:
        """Return the rows by a fast path."""
        lay = self.layout_of(x.shape)
        decided_sizes(self._who, params.sizes, lay.spatial_shape(x.shape), "a box")
        return kernels.paste(x, params.partner, params.box, lay.positions, taker)

    def partner_share(self, params: CutMixParams, sizes: Sequence[int]) -> Tensor:
        """Return True inside the box."""
        return inside(params.box, sizes).unsqueeze(1)

    def oracle(self, x: NDArray[np.float64], params: CutMixParams) -> NDArray[np.float64]:
        """Return the result, computed one sample after the other."""
        y = x.copy()
        positions = self.layout_of(x.shape).positions
        for i, j in enumerate(params.partner.tolist()):
            box = [slice(None)] * (x.ndim - 1)
            for axis, (first, past) in zip(positions, params.box[i].tolist(), strict=True):
                box[axis - 1] = slice(first, past)
            y[i][tuple(box)] = lender_of(x, i, j, params)[tuple(box)]
        return y
