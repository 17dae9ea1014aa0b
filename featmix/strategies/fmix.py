"""FMix: paste a region of the partner cut out by a mask of low frequencies."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from featmix import sampling_masks
from featmix.kernels.dispatch import row_kernels
from featmix.kernels.mixing import mix
from featmix.mixture import Mixture
from featmix.moments import upcast
from featmix.params import Params, decided_for
from featmix.registry import register
from featmix.schedule import Schedule
from featmix.strategy import CommonSettings, Strategy
from featmix.tags import Tags


@dataclass(frozen=True, eq=False)
class FMixParams(Params):
    """The decision of FMix.

    Args:
        partner: See :class:`~featmix.params.Params`.
        active: See :class:`~featmix.params.Params`.
        lam: ``(B,)`` the label's own share.
        mixture: See :class:`~featmix.params.Params`.
        share: ``(B, 1, *sizes)``, the partner's share of each position: bool, or float32 where the mask is soft.
        sizes: The sizes of the position axes that the mask was drawn for.
    """

    share: Tensor
    sizes: tuple[int, ...]


@register("fmix")
class FMix(Strategy):
    """FMix: ``y = M * x_i + (1 - M) * x_j`` with a binary mask ``M`` of few connected regions; labels by the share of each.

    Complex Gaussian noise on the half spectrum, with amplitude ``1 / max(f, 1 / max(H, W)) ** decay``, is transformed back;
    ``M`` is 1 at its largest entries, a share ``lam`` of all, with ``lam`` from Beta(alpha, alpha) and the count rounded up
    or down by a fair coin. In sequences the mask has one axis, in volumes three.

    *Where to put it.* At the input. In a hidden layer the mask is drawn for that layer's own resolution.

    *Suggested settings.* ``alpha=1``, ``decay=3`` (CIFAR, ImageNet).

    *When it hurts.* On small maps, where few frequencies fit, masks are half planes; where shapes of any outline occur in
    the data, the mask's own outlines teach something false.

    *Where it departs from published code.* That code reads two rows of the spectrum as real and imaginary part, so that its
    masks vary with the lowest two frequencies of the last axis only, and it fails on maps of height 1; ``spectrum="published"``
    does the same where it can. Its labels get the ``lam`` that was drawn; here they get ``mean(M)``, which is what the features
    hold; ``labels="sampled"`` gives the other (without padding: shares of real positions are always realised ones).

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
        common: ``per``, ``partner``, ``layout`` (``bchw``, ``bhwc``, ``bct``, ``btc`` or ``bcdhw``), ``num_classes``: see
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
        labels: str = "realised",
        spectrum: str = "intended",
        lam_per: str = "batch",
        p: float | Schedule = 1.0,
        **common: Unpack[CommonSettings],
    ) -> None:
        super().__init__(p=p, **common)
        self.alpha = self._scheduled("alpha", alpha, 0, 1e6)
        self.decay = self._in_range("decay", decay, 0, 100)
        self.max_soft = self._in_range("max_soft", max_soft, 0, 0.5)
        self.reformulate = self._flag("reformulate", reformulate)
        self.labels = self._one_of("labels", labels, ("realised", "sampled"))
        self.spectrum = self._one_of("spectrum", spectrum, sampling_masks.SPECTRA)
        self.lam_per = self._one_of("lam_per", lam_per, ("batch", "sample"))
        own = dataclasses.replace(self.tags, mixes_labels=not reformulate, needs_float=self.max_soft > 0)
        vars(self)["tags"] = own  # a soft mask computes, and a reformulated loss knows one label

    def decide(self, shape: Sequence[int], partner: Tensor, active: Tensor, generator: Generator | None) -> FMixParams:
        """Draw ``lam`` and the mask."""
        batch, sizes = shape[0], self.layout_of(shape).spatial_shape(shape)
        drawn = sampling_masks.unequal_beta(
            batch, self.alpha + self.reformulate, self.alpha, per=self.lam_per, generator=generator
        )
        masks = max(batch, 1) if self.lam_per == "sample" else 1  # the transform of no fields at all is an error
        noise = sampling_masks.smooth_fields(masks, sizes, self.decay, spectrum=self.spectrum, generator=generator)
        wanted = drawn[:masks] if batch else drawn.new_ones(masks)
        own = sampling_masks.largest_share(noise, wanted, soft=self.max_soft, generator=generator)
        share = ((1 - own).float() if self.max_soft else own == 0)[:batch].unsqueeze(1).expand(batch, 1, *sizes)
        kept = drawn if self.labels == "sampled" else 1 - share.double().flatten(1).mean(1)
        lam = torch.where(active, kept, 1.0).float()
        mixture = Mixture.identity(batch, partner.device) if self.reformulate else Mixture.pair(partner, lam)
        return FMixParams(partner, active, lam, mixture, share, sizes)

    def act(self, x: Tensor, params: Params) -> Tensor:
        """Paste; blend where the mask is soft."""
        lay = self.layout_of(x.shape)
        decided = decided_for(self._who, params, FMixParams, lay.spatial_shape(x.shape), "a mask")
        share = lay.from_channels_first(decided.share)
        if share.dtype == torch.bool:
            return torch.where(share, x.index_select(0, params.partner), x)
        own = upcast(x)
        taken = share.to(own.dtype)
        return torch.where(taken > 0, torch.lerp(own, own.index_select(0, params.partner), taken), own)

    def gated(self, x: Tensor, params: Params) -> Tensor:
        """The fast path where there is one for this tensor, and the formula elsewhere."""
        kernels = row_kernels(x) if type(self).act is FMix.act and params.mask is None else None
        if kernels is None:
            return super().gated(x, params)
        lay = self.layout_of(x.shape)
        decided = decided_for(self._who, params, FMixParams, lay.spatial_shape(x.shape), "a mask")
        share = lay.from_channels_first(decided.share)
        rows = kernels.select(x, params.partner, share, getattr(params, "taker", None))
        return mix(x, rows) if rows else super().gated(x, params)

    def partner_share(self, params: Params, sizes: Sequence[int]) -> Tensor:
        """What the mask leaves."""
        share: Tensor = vars(params)["share"]
        return share

    def oracle(self, x: NDArray[np.float64], params: Params) -> NDArray[np.float64]:
        """One sample after the other."""
        y = x.copy()
        if isinstance(params, FMixParams):
            channel = self.layout_of(x.shape).channel - 1
            for i, j in enumerate(params.partner.tolist()):
                if params.active[i]:
                    mask = 1 - np.moveaxis(params.share[i].double().numpy(), 0, channel)
                    y[i] = mask * x[i] + (1 - mask) * x[j]
        return y
