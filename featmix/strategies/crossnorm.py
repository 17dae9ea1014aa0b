"""CrossNorm: exchange the moments of whole maps, or of crops of them; the labels stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.layouts import inside
from featmix.normalizers.base import Normalizer
from featmix.normalizers.moments import Moments
from featmix.normalizers.over import Over
from featmix.sampling.boxes import CROPS, channel_orders, crops
from featmix.sampling.words import Crop, Per
from featmix.schedule import Schedule
from featmix.strategies.base import Strategy
from featmix.strategies.moments import MomentSettings, MomentStrategy
from featmix.strategies.params import Draw, Params
from featmix.strategies.registry import register
from featmix.strategies.tags import Tags


@dataclass(frozen=True, eq=False)
class CrossNormParams(Params):
    """The decision of CrossNorm.

    Args:
        partner: See :class:`~featmix.strategies.params.Params`.
        active: See :class:`~featmix.strategies.params.Params`.
        lam: ``(B,)`` the share of its own style that a row keeps: 0, and 1 where it is not active.
        mixture: See :class:`~featmix.strategies.params.Params`.
        content_box: ``(B, d, 2)`` int64, what is restyled: first position inside and first past the box, for each of ``d``
            position axes; ``None`` where it is the whole map.
        style_box: The same of what each row lends its moments from.
        channels: ``(B, C)`` int64, the order in which each row lends the moments of its channels; ``None`` where it is theirs.
        sizes: The sizes of the position axes that the boxes were drawn for; empty where there are none.
    """

    content_box: Tensor | None = None
    style_box: Tensor | None = None
    channels: Tensor | None = None
    sizes: tuple[int, ...] = ()


@register("crossnorm")
class CrossNorm(MomentStrategy[CrossNormParams]):
    """CrossNorm: give a map, or a crop of it, the moments of the partner's map, or of a crop of that; the label stays.

    ``y = (x_i - mean_i) / std_i * std_j + mean_j``, where ``i`` is the whole map or, with ``crop="content"``, a box outside of
    which nothing changes, and ``j`` the partner's whole map or, with ``crop="style"``, a box of it; ``crop="both"`` draws the
    two boxes independently. Gradients reach both samples.

    *Where to put it.* On CIFAR at the outputs of residual blocks, of which a few are active in each step; on ImageNet at the
    images; for GTAV to Cityscapes at the outputs of the blocks of all stages, of which one is active.

    *Suggested settings.* ``crop="neither"`` inside CIFAR networks, ``crop="both"`` on ImageNet's images, ``crop="style"`` for
    segmentation; ``p=0.5``, 0.25 for a DenseNet. ``fm.list_presets()`` has the trees.

    *When it hurts.* If the style tells the class. A flat crop as receiver is amplified by up to ``std_j / sqrt(eps)``.

    *Where it departs from published code.* If no crop of a map can have two positions and a tenth of the area, the whole map
    is taken; the code would draw for ever. A row that is alone in its batch passes through. With crops and
    ``partner="permutation"`` (the published ``randperm``), a row that is its own partner is restyled by a crop of itself, as
    published.

    Args:
        norm: Any intra-instance normalizer, ``in`` as published; crops need one that averages over positions: ``in``, ``ln``,
            ``gn<G>``.
        crop: ``neither``, ``style``, ``content`` or ``both``; other than ``neither`` on grids only.
        box_per: One box of each kind for the ``batch`` (as published) or one for each ``sample``.
        shuffle: Lend the moments of the channels in a random order, one for the batch.
        eps: Added to the variance, inside the root.
        detach: Treat the moments as constants in backward; off as published.
        p: Probability that a batch (or a row) is mixed.
        common: ``unbiased``, ``positive_only`` and ``layout``: see
            :class:`~featmix.strategies.moments.MomentStrategy`; ``per``, ``partner``,
            ``num_classes``, ``across``: see :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If a setting is out of range, ``norm`` is ``bn``, or crops are asked for with a layout without a grid or
            a normalizer that averages over channels only.

    Example:
        >>> import torch
        >>> x = torch.randn(4, 8, 6, 6)
        >>> crossnorm = CrossNorm(crop="content", p=1.0)
        >>> params = crossnorm.make_params(x.shape)
        >>> (top, bottom), (left, right) = params.content_box[0].tolist()
        >>> box = crossnorm.transform(x, params)[:, :, top:bottom, left:right]
        >>> torch.allclose(box.mean((2, 3)), x.mean((2, 3))[params.partner], atol=1e-4)
        True
    """

    tags = Tags(
        mixes_labels=False,
        moments="instance norm (or any intra-instance)",
        default_site="hidden",
        paper="Tang et al., CrossNorm and SelfNorm for Generalization under Distribution Shifts, ICCV 2021",
        url="https://arxiv.org/abs/2102.02811",
    )

    def __init__(
        self,
        norm: str | Normalizer = "in",
        *,
        crop: Crop = "neither",
        box_per: Per = "batch",
        shuffle: bool = False,
        eps: float = 1e-5,
        detach: bool = False,
        p: float | Schedule = 0.5,
        **common: Unpack[MomentSettings],
    ) -> None:
        super().__init__(norm, eps=eps, detach=detach, p=p, **common)
        self.crop = self._one_of("crop", crop, CROPS)
        self.box_per = self._one_of("box_per", box_per, get_args(Per))
        self.shuffle = self._flag("shuffle", shuffle)
        if self.needs_grid and not self.normalizer.over_positions:
            raise FeatmixError(
                self._who,
                "crop",
                expected="'neither' with a normalizer that does not average over all positions",
                got=f"{crop!r} with norm={self.norm!r}",
                fix="A crop has moments of its own under in, ln and gn<G>.",
            )

        self.across = self.across  # which goes without crops

    def check_across(self) -> None:
        """Check that partners may be on other ranks: not where they lend crops."""
        super().check_across()
        if getattr(self, "crop", "neither") != "neither":
            expected, got = "False, for crops", "ranks, between which the moments of whole maps travel"
            raise FeatmixError(
                self._who, "across", expected=expected, got=got, fix="Take crop='neither', or leave out across=."
            )

    @property
    def needs_grid(self) -> bool:
        """True if there are boxes."""
        return self.crop != "neither"

    @property
    def needs_shape(self) -> bool:
        """True if there are boxes, or channels to put in order."""
        return self.needs_grid or self.shuffle

    @property
    def self_is_identity(self) -> bool:
        """True if a row that is its own partner comes out as it went in: where it exchanges the same part with itself."""
        return not self.needs_shape

    def passes_through(self, shape: Sequence[int]) -> bool:
        """Return True where there are no moments apart from the content, and for a batch of one."""
        return shape[0] == 1 or super().passes_through(shape)

    def decide(self, shape: Sequence[int], draw: Draw) -> CrossNormParams:
        """Draw the boxes and the order of channels. A row that is active keeps no share of its style: ``lam`` is 0."""
        if not self.needs_shape:
            return CrossNormParams.of(draw, 0.0)
        lay, batch = self.layout_of(shape), len(draw)
        sizes, drawn = lay.spatial_shape(shape), dict[str, Any]()
        if self.crop in ("style", "both"):
            drawn["style_box"] = draw.every(crops(draw.random, draw.count(self.box_per), sizes))
        if self.shuffle:
            drawn["channels"] = channel_orders(draw.random, batch, shape[lay.channel])
        if self.crop in ("content", "both"):
            drawn["content_box"] = draw.every(crops(draw.random, draw.count(self.box_per), sizes))
        return CrossNormParams.of(draw, 0.0, sizes=sizes if self.needs_grid else (), **drawn)

    def gated(self, x: Tensor, params: CrossNormParams) -> Tensor:
        """Return the restyled features: fast where whole maps lend their moments as they are, by the formula elsewhere."""
        self._check_decision(x, params)
        return Strategy.gated(self, x, params) if self.needs_shape else super().gated(x, params)

    def content(self, params: CrossNormParams) -> Tensor | None:
        """Return the real positions in the box; none where padding leaves fewer than two in it, or in the box that lends."""
        content, style = self._positions(params, params.content_box), self._positions(params, params.style_box)
        if params.mask is None or content is None or style is None or not self.needs_grid:
            return content
        enough = (content.flatten(1).sum(1) > 1) & (style.flatten(1).sum(1) > 1).index_select(0, params.partner)
        return content & enough.view(-1, *[1] * (content.ndim - 1))

    def lent_moments(self, x: Tensor, params: CrossNormParams, own: Moments) -> Moments:
        """Return the moments of the real positions in the style box, of channels in their order."""
        if not self.needs_shape:
            return own
        order = params.channels
        if order is not None:
            axis = self.layout_of(x.shape).channel
            index = order.view(len(order), *(order.shape[1] if k == axis else 1 for k in range(1, x.ndim))).expand_as(x)
            x = x.gather(axis, index)
        return self._moments(x, self._positions(params, params.style_box))

    def blend(self, params: CrossNormParams) -> tuple[Tensor | None, float] | None:
        """Return that moments are the partner's, where whole maps lend them."""
        return None if self.needs_shape else (None, 0.0)

    def new_moments(self, own: Moments, partner: Moments, params: CrossNormParams) -> Moments:
        """Return the partner's moments."""
        return partner

    def oracle(self, x: NDArray[np.float64], params: CrossNormParams) -> NDArray[np.float64]:
        """Return the result, computed one sample after the other."""
        y = np.moveaxis(x, self.layout_of(x.shape).channel, 1).copy()
        if self.passes_through(x.shape):
            return x.copy()
        if isinstance(self.normalizer, Over):
            return self._oracle_over(x, params)
        norm = replace(self.normalizer, layout="bct")
        real = np.ones((len(x), *y.shape[2:]), dtype=np.bool_) if params.mask is None else params.mask.numpy()

        def part(row: int, box: Tensor | None) -> NDArray[np.bool_]:
            chosen = np.zeros(real.shape[1:], dtype=np.bool_)
            chosen[... if box is None else tuple(slice(first, past) for first, past in box[row].tolist())] = True
            kept: NDArray[np.bool_] = chosen & real[row]
            return kept

        before = y.copy()
        for i, j in enumerate(params.partner.tolist()):
            content, style = part(i, params.content_box), part(j, params.style_box)
            if not norm.over_positions:
                content = style = content & style
            cut_off = params.mask is not None and self.needs_grid and min(content.sum(), style.sum()) < 2
            if params.active[i] and not cut_off:
                lender = before[j] if params.channels is None else before[j][params.channels[j].numpy()]
                (mean, std), (lent_mean, lent_std) = norm.oracle(before[i][:, content]), norm.oracle(lender[:, style])
                if norm.over_positions:
                    lent_mean, lent_std = lent_mean[:, :1], lent_std[:, :1]
                y[i][:, content] = (before[i][:, content] - mean) / std * lent_std + lent_mean
        return np.moveaxis(y, 1, self.layout_of(x.shape).channel)

    def _oracle_over(self, x: NDArray[np.float64], params: CrossNormParams) -> NDArray[np.float64]:
        """Return the same for means over named axes, which have no crops."""
        y, axis = x.copy(), self.layout_of(x.shape).channel - 1
        for i, j in enumerate(params.partner.tolist()):
            if params.active[i]:
                lender = x[j] if params.channels is None else np.take(x[j], params.channels[j].numpy(), axis)
                (mean, std), (lent_mean, lent_std) = self.normalizer.oracle(x[i]), self.normalizer.oracle(lender)
                y[i] = (x[i] - mean) / std * lent_std + lent_mean
        return y

    def _positions(self, params: CrossNormParams, box: Tensor | None) -> Tensor | None:
        """Return the real positions in a box; ``None`` for all."""
        if box is None:
            return params.mask
        within = inside(box, params.sizes)
        return within if params.mask is None else within & params.mask

    def _check_decision(self, x: Tensor, params: CrossNormParams) -> None:
        lay = self.layout_of(x.shape)
        wanted = (lay.spatial_shape(x.shape) if self.needs_grid else (), x.shape[lay.channel] if self.shuffle else None)
        drawn = (params.sizes, None if params.channels is None else params.channels.shape[1])
        if drawn != wanted:
            raise FeatmixError(
                self._who,
                "params",
                expected="a decision for positions {} and channels {}".format(*wanted),
                got="one for {} and {}".format(*drawn),
                fix="Draw with the shape of the tensor that is mixed.",
            )
