"""CutMix: paste a box of the partner, share the label by area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Unpack, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.kernels.dispatch import RowKernels
from featmix.kernels.mixing import Rows
from featmix.layouts import inside
from featmix.sampling.boxes import area_of, boxes
from featmix.sampling.draws import beta
from featmix.sampling.words import Per
from featmix.schedule import Schedule
from featmix.strategies.base import CommonSettings
from featmix.strategies.content import ContentStrategy
from featmix.strategies.params import Draw, Params, decided_sizes
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


@register("cutmix")
class CutMix(ContentStrategy[CutMixParams]):
    """CutMix: a box of the partner is pasted at the same place; the label is shared by the area that was really replaced.

    The box has side ``int(S * sqrt(1 - lam))`` with ``lam`` from Beta(alpha, alpha), a centre uniform over the map and edges
    clipped to it (eq. 2 of the paper); the label's own share is ``1 - area / (H * W)`` of the clipped box. In sequences it
    is a segment, in volumes a cuboid (side ``S * (1 - lam) ** (1 / d)``).

    *Where to put it.* At the input. In a hidden layer the box is drawn for that layer's own resolution.

    *Suggested settings.* ``alpha=1``; CIFAR ``p=0.5``, ImageNet ``p=1``.

    *When it hurts.* Where the object is small, a box may hold all of it or nothing of it, and the label share says neither.

    Args:
        alpha: Of the Beta distribution, at least 0; 0 means ``lam = 1``, an empty box.
        lam_per: One box for the ``batch`` (as published) or one for each ``sample``.
        loss_weight: What the loss of a mixed row is multiplied with; 2 where it stands for PatchUp at the input.
        inplace: Write into the batch instead of new memory.
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

    def __init__(
        self,
        *,
        alpha: float | Schedule = 1.0,
        lam_per: Per = "batch",
        loss_weight: float | Schedule = 1.0,
        inplace: bool = False,
        p: float | Schedule = 1.0,
        **common: Unpack[CommonSettings],
    ) -> None:
        super().__init__(p=p, **common)
        self.alpha = self._scheduled("alpha", alpha, 0, 1e6)
        self.lam_per = self._one_of("lam_per", lam_per, get_args(Per))
        self.loss_weight = self._scheduled("loss_weight", loss_weight, 0, 1e6)
        self.inplace = self._flag("inplace", inplace)

    def decide(self, shape: Sequence[int], draw: Draw) -> CutMixParams:
        """Draw the boxes; a row that is not active gets an empty one."""
        sizes = self.layout_of(shape).spatial_shape(shape)
        kept = beta(draw.random, draw.count(self.lam_per), self.alpha, self.alpha)
        box = boxes(draw.random, sizes, kept)
        lam = 1 - area_of(box) / max(prod(sizes), 1)
        return CutMixParams.of(draw, lam, loss_weight=self.loss_weight, box=draw.gated(box, 0), sizes=sizes)

    def act(self, x: Tensor, params: CutMixParams) -> Tensor:
        """Return the features with the partner's box pasted in."""
        lay = self.layout_of(x.shape)
        sizes = lay.spatial_shape(x.shape)
        decided_sizes(self._who, params.sizes, sizes, "a box")
        pasted = self.partner_share(params, sizes)
        return torch.where(lay.from_channels_first(pasted), x.index_select(0, params.partner), x)

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
            y[i][tuple(box)] = x[j][tuple(box)]
        return y
