"""FMix: paste a region of the partner cut out by a mask of low frequencies."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Unpack, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.kernels.dispatch import RowKernels
from featmix.kernels.mixing import Rows
from featmix.normalizers.moments import upcast
from featmix.sampling.draws import beta
from featmix.sampling.masks import SPECTRA, largest_share, smooth_fields
from featmix.sampling.words import Per, Spectrum
from featmix.schedule import Schedule
from featmix.strategies.base import CommonSettings
from featmix.strategies.content import ContentStrategy
from featmix.strategies.params import Draw, Params, decided_sizes
from featmix.strategies.registry import register
from featmix.strategies.tags import Tags

Shares = Literal["realised", "sampled"]


@dataclass(frozen=True, eq=False)
class FMixParams(Params):
    """The decision of FMix.

    Args:
        partner: See :class:`~featmix.strategies.params.Params`.
        active: See :class:`~featmix.strategies.params.Params`.
        lam: ``(B,)`` the weight of the sample's own label.
        mixture: See :class:`~featmix.strategies.params.Params`.
        share: ``(B, 1, *sizes)``, the partner's share of each position: bool, or float32 where the mask is soft.
        sizes: The sizes of the position axes that the mask was drawn for.
    """

    share: Tensor
    sizes: tuple[int, ...]


@register("fmix")
class FMix(ContentStrategy[FMixParams]):
    """FMix: ``y = M * x_i + (1 - M) * x_j`` with a binary mask ``M`` of few connected regions; labels by the share of each.

    Complex Gaussian noise on the half spectrum, with amplitude ``1 / max(f, 1 / max(H, W)) ** decay``, is transformed back;
    ``M`` is 1 at its largest entries, a share ``lam`` of all, with ``lam`` from Beta(alpha, alpha) and the count rounded up
    or down by a fair coin. In sequences the mask has one axis, in volumes three.

    *Where to put it.* At the input. In a hidden layer the mask is drawn for that layer's own resolution.

    *Suggested settings.* ``alpha=1``, ``decay=3`` (CIFAR, ImageNet).

    *When it hurts.* On small maps there are few frequencies, and masks are half planes. If outlines matter in the data, the
    outlines of the masks mislead.

    *Where it departs from published code.* The published code takes two rows of the spectrum as real and imaginary part. So its
    masks vary only with the lowest two frequencies of the last axis, and it fails on maps of height 1.
    ``spectrum="published"`` does the same where possible, with frequencies in float64 (the fields differ by 4e-8, the masks
    do not). Its labels use the ``lam`` that was drawn; here they use ``mean(M)``, which is what the features hold.
    ``labels="sampled"`` gives the published labels (under padding, shares are always those of real positions).

    Args:
        alpha: Of the Beta distribution, at least 0; 0 means ``lam = 1``, no mixing.
        decay: How fast amplitudes fall with frequency; larger is smoother.
        max_soft: In [0, 0.5]: the mask falls from 1 to 0 over twice this share of positions, or over as many as the smaller
            side has; 0 is a hard edge.
        reformulate: Draw ``lam`` from Beta(alpha + 1, alpha) and leave the labels as they are.
        labels: Label shares are ``realised`` or, as published, ``sampled``.
        spectrum: ``intended`` or ``published``.
        lam_per: One mask for the ``batch`` (as published) or one for each ``sample``.
        p: Probability that a batch (or a row) is mixed.
        common: ``per``, ``partner``, ``layout`` (any without ``n``), ``num_classes``: see
            :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If a setting is out of range, or the layout has no grid.

    Example:
        >>> x = torch.randn(4, 3, 16, 16)
        >>> fmix = FMix()
        >>> params = fmix.make_params(x.shape)
        >>> y = fmix.transform(x, params)
        >>> bool(((y == x) | (y == x[params.partner])).all())
        True
        >>> torch.allclose(params.mixture.weight[:, 1], params.share.float().mean((1, 2, 3)))
        True
    """

    tags = Tags(
        mixes_labels=True,
        spatial=True,
        needs_float=False,
        paper="Harris et al., FMix: Enhancing Mixed Sample Data Augmentation, arXiv 2020",
        url="https://arxiv.org/abs/2002.12047",
    )

    def __init__(
        self,
        *,
        alpha: float | Schedule = 1.0,
        decay: float = 3.0,
        max_soft: float = 0.0,
        reformulate: bool = False,
        labels: Shares = "realised",
        spectrum: Spectrum = "intended",
        lam_per: Per = "batch",
        p: float | Schedule = 1.0,
        **common: Unpack[CommonSettings],
    ) -> None:
        super().__init__(p=p, **common)
        self.alpha = self._scheduled("alpha", alpha, 0, 1e6)
        self.decay = self._in_range("decay", decay, 0, 100)
        self.max_soft = self._in_range("max_soft", max_soft, 0, 0.5)
        self.reformulate = self._flag("reformulate", reformulate)
        self.labels = self._one_of("labels", labels, get_args(Shares))
        self.spectrum = self._one_of("spectrum", spectrum, SPECTRA)
        self.lam_per = self._one_of("lam_per", lam_per, get_args(Per))
        # a soft mask computes, and a reformulated loss knows one label
        self.tags = dataclasses.replace(self.tags, mixes_labels=not reformulate, needs_float=self.max_soft > 0)

    @property
    def strength_beta(self) -> tuple[float, float] | None:
        """The parameters of the Beta distribution from which the sample's own share of a map is drawn."""
        if isinstance(self.alpha, Schedule):
            return self.at(self.progress).strength_beta
        return float(self.alpha + self.reformulate), float(self.alpha)

    def decide(self, shape: Sequence[int], draw: Draw) -> FMixParams:
        """Draw ``lam`` and the mask."""
        batch, sizes = len(draw), self.layout_of(shape).spatial_shape(shape)
        masks = draw.count(self.lam_per)
        drawn = beta(draw.random, masks, self.alpha + self.reformulate, self.alpha)
        noise = smooth_fields(draw.random, max(masks, 1), sizes, self.decay, spectrum=self.spectrum)[:masks]
        own = largest_share(draw.random, noise, drawn, soft=self.max_soft)
        share = ((1 - own).astype(np.float32) if self.max_soft else own == 0)[:, None]
        kept = drawn if self.labels == "sampled" else 1 - share.mean(axis=tuple(range(1, share.ndim)), dtype=np.float64)
        spread = torch.from_numpy(share).expand(batch, 1, *sizes)  # rows that share a mask share its memory
        return FMixParams.of(draw, kept, share=spread, sizes=sizes)

    def act(self, x: Tensor, params: FMixParams) -> Tensor:
        """Return the partner's features inside the mask, blended where the mask is soft."""
        lay = self.layout_of(x.shape)
        decided_sizes(self._who, params.sizes, lay.spatial_shape(x.shape), "a mask")
        share = lay.from_channels_first(params.share)
        if share.dtype == torch.bool:
            return torch.where(share, x.index_select(0, params.partner), x)
        own = upcast(x)
        taken = share.to(own.dtype)
        return torch.where(taken > 0, torch.lerp(own, own.index_select(0, params.partner), taken), own)

    def rows(self, x: Tensor, params: FMixParams, kernels: RowKernels, taker: Tensor | None) -> Rows | None:
        """Return the rows by a fast path."""
        lay = self.layout_of(x.shape)
        decided_sizes(self._who, params.sizes, lay.spatial_shape(x.shape), "a mask")
        return kernels.select(x, params.partner, lay.from_channels_first(params.share), taker)

    def partner_share(self, params: FMixParams, sizes: Sequence[int]) -> Tensor:
        """Return the mask."""
        return params.share

    def oracle(self, x: NDArray[np.float64], params: FMixParams) -> NDArray[np.float64]:
        """Return the result, computed one sample after the other."""
        y = x.copy()
        channel = self.layout_of(x.shape).channel - 1
        for i, j in enumerate(params.partner.tolist()):
            if params.active[i]:
                mask = 1 - np.moveaxis(params.share[i].double().numpy(), 0, channel)
                y[i] = mask * x[i] + (1 - mask) * x[j]
        return y
