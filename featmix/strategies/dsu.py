"""DSU: moments become uncertain, as uncertain as they are across the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.normalizers.base import Normalizer
from featmix.normalizers.moments import Moments
from featmix.sampling.draws import normal
from featmix.schedule import Schedule
from featmix.strategies.moments import MomentSettings
from featmix.strategies.noise import NoiseParams, StyleNoise, centred, side_by_side
from featmix.strategies.params import Draw
from featmix.strategies.registry import register
from featmix.strategies.tags import Tags


class DSUParams(NoiseParams):
    """The decision of DSU: standard normal noise times the strength, one number for each moment; no ``lam``."""


@register("dsu")
class DSU(StyleNoise[DSUParams]):
    """Domain shifts with uncertainty: ``y = (x - mean) / std * (std + e2 * S_std) + mean + e1 * S_mean``; the label stays.

    ``S_mean`` and ``S_std`` are the standard deviations of the moments over the batch (eq. 4-5 of the paper), ``e1`` and
    ``e2`` are standard normal for each sample and channel (eq. 6-7). Gradients flow through everything. The new standard
    deviation may be negative, as in the published code: the normalized map is then mirrored.

    *Where to put it.* At six sites at once: after the first convolution, after the pooling that follows, and after each of the
    four stages.

    *Suggested settings.* ``p=0.5`` in classification, re-identification and segmentation alike.

    *When it hurts.* In small batches the spread is estimated poorly; a batch of one has none.

    *Where it departs from published code.* A batch of one and maps of one position pass through; the published code gives NaN.
    A row that is not finite stays as it is and does not count in the spread; there it makes the whole batch NaN. The published
    segmentation claims the six sites but acts at the input alone, and so does the preset ``dsu/gta5-resnet101``.

    Args:
        norm: Any intra-instance normalizer; ``in`` as published.
        strength: Factor of the noise, at least 0; 1 as published.
        eps: Added to both variances, inside their roots.
        detach: Treat the moments as constants in backward; off as published.
        p: Probability that a batch (or a row) is changed.
        common: ``unbiased``, ``positive_only`` and ``layout``: see
            :class:`~featmix.strategies.moments.MomentStrategy`; ``per``,
            ``num_prefix_tokens``, ``num_classes``, ``across``: see :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If a setting is out of range, or ``norm`` is ``bn``, which has no moments of single samples.

    Example:
        >>> x = torch.randn(4, 8, 6, 6)
        >>> dsu = DSU(p=1.0)
        >>> params = dsu.make_params(x.shape)
        >>> params.mean_noise.shape
        torch.Size([4, 8, 1, 1])
        >>> dsu.transform(x, params).shape
        torch.Size([4, 8, 6, 6])
    """

    tags = Tags(
        mixes_labels=False,
        moments="instance norm (or any intra-instance)",
        default_site="hidden",
        batch_coupled=True,
        partnered=False,
        paper="Li et al., Uncertainty Modeling for Out-of-Distribution Generalization, ICLR 2022",
        url="https://arxiv.org/abs/2202.03958",
    )

    def __init__(
        self,
        norm: str | Normalizer = "in",
        *,
        strength: float | Schedule = 1.0,
        eps: float = 1e-6,
        detach: bool = False,
        p: float | Schedule = 0.5,
        **common: Unpack[MomentSettings],
    ) -> None:
        super().__init__(norm, eps=eps, detach=detach, p=p, **common)
        self.strength = self._scheduled("strength", strength, 0, 1e6)

    def decide(self, shape: Sequence[int], draw: Draw) -> DSUParams:
        """Draw the noise."""
        moments = self.normalizer.moment_shape(shape)
        mean_noise, std_noise = (np.float32(self.strength) * normal(draw.random, moments) for _ in range(2))
        return DSUParams.of(draw, mean_noise=mean_noise, std_noise=std_noise, elements=self.elements_of(shape))

    def new_moments(self, own: Moments, partner: Moments, params: DSUParams) -> Moments:
        """Return the sample's own moments plus noise in units of the batch's spread."""
        self.check_noise(params, own.mean.shape)
        counted = self.counted(own, params).unsqueeze(1)
        values = side_by_side(own.mean, own.std)
        noise = side_by_side(params.mean_noise, params.std_noise).to(values.dtype)
        apart, n = centred(values, counted) if params.present is None else self._centred_of_all(partner, params.present, params)
        spread = (apart.square().sum(0, keepdim=True) / (n - 1).clamp(min=1) + self.eps).sqrt()
        return Moments(*torch.where(counted, torch.addcmul(values, noise, spread), values).unbind(1))

    def _centred_of_all(self, others: Moments, present: Tensor, params: DSUParams) -> tuple[Tensor, Tensor]:
        counted = self.counted_of_all(others, present, params)
        return centred(side_by_side(others.mean, others.std), counted.unsqueeze(1))

    def oracle(self, x: NDArray[np.float64], params: DSUParams) -> NDArray[np.float64]:
        """Return the result, computed one sample after the other once their moments are known."""
        y = x.copy()
        if self.passes_through(x.shape):
            return y
        means, stds = (np.stack(m) for m in zip(*(self.normalizer.oracle(sample) for sample in x), strict=True))
        spread_of_means, spread_of_stds = (np.sqrt(m.var(axis=0, ddof=1) + self.eps) for m in (means, stds))
        for i in range(len(x)):
            if params.active[i]:
                noise = (self._spread_out(e, x.shape)[i] for e in (params.mean_noise, params.std_noise))
                mean_noise, std_noise = noise
                beta, gamma = means[i] + mean_noise * spread_of_means, stds[i] + std_noise * spread_of_stds
                y[i] = (x[i] - means[i]) / stds[i] * gamma + beta
        return y

    def _spread_out(self, noise: Tensor, shape: Sequence[int]) -> NDArray[np.float64]:
        whole = self.normalizer.view(torch.empty(tuple(shape))).shape
        return noise.double().expand(whole).reshape(tuple(shape)).numpy()
