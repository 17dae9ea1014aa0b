"""MoEx: exchange the moments, mix the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from featmix.mixture import Mixture
from featmix.moment_strategy import MomentSettings, MomentStrategy
from featmix.moments import Moments
from featmix.normalizer import Normalizer
from featmix.params import Params
from featmix.registry import register
from featmix.schedule import Schedule
from featmix.tags import Tags


@register("moex")
class MoEx(MomentStrategy):
    """Moment exchange: a sample keeps its normalized features and gets the moments of its partner, and a share of its label.

    ``y = (x_i - mean_i) / std_i * std_j + mean_j``, label ``lam * y_i + (1 - lam) * y_j``. ``lam`` is a constant and touches
    the labels only. Gradients reach both samples.

    *Where to put it.* Early, where the maps are still large: after the stem's pooling on ImageNet, after the first
    convolution and its normalization on CIFAR, after the first set abstraction of PointNet++ (with ``norm="in"``).

    *Suggested settings.* ImageNet ResNet-50: ``pono``, ``lam=0.9``, ``p=1``; CIFAR PyramidNet: ``pono``, ``lam=0.5``,
    ``p=0.25``; ModelNet: ``in``, ``lam=0.9``, ``p=0.5``.

    *When it hurts.* A flat receiver (standard deviation near zero) is amplified by up to ``std_j / sqrt(eps)``; raise
    ``eps`` where that happens.

    Args:
        norm: Any intra-instance normalizer: ``pono``, ``in``, ``ln``, ``gn<G>``, ``gpono<G>`` and their ``-d<D>`` forms.
        lam: The label's own share, in [0, 1].
        eps: Added to the variance, inside the root.
        detach: Treat the moments as constants in backward; off as published.
        p: Probability that a batch (or a row) is mixed.
        common: ``unbiased``, ``positive_only`` and ``layout``: see :class:`~featmix.moment_strategy.MomentStrategy`; ``per``,
            ``partner``, ``num_classes``: see :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If a setting is out of range, or ``norm`` is ``bn``, which has no moments of single samples.

    Example:
        >>> x = torch.randn(4, 8, 6, 6, generator=torch.Generator().manual_seed(0))
        >>> moex = MoEx("pono", lam=0.9)
        >>> params = moex.make_params(x.shape)
        >>> y = moex.transform(x, params)
        >>> torch.allclose(y.mean(1), x.mean(1)[params.partner], atol=1e-5)
        True
        >>> params.mixture.weight[0]
        tensor([0.9000, 0.1000])
    """

    tags = Tags(
        mixes_labels=True,
        moments="any intra-instance",
        default_site="hidden",
        paper="Li et al., On Feature Normalization and Data Augmentation, CVPR 2021",
        url="https://arxiv.org/abs/2002.11102",
    )

    def __init__(
        self,
        norm: str | Normalizer = "pono",
        *,
        lam: float | Schedule = 0.9,
        eps: float = 1e-5,
        detach: bool = False,
        p: float | Schedule = 1.0,
        **common: Unpack[MomentSettings],
    ) -> None:
        super().__init__(norm, eps=eps, detach=detach, p=p, **common)
        self.lam = self._scheduled("lam", lam, 0, 1)

    def decide(self, shape: Sequence[int], partner: Tensor, active: Tensor, generator: Generator | None) -> Params:
        """Nothing of its own to draw; the label's share is a constant."""
        if self.passes_through(shape):
            active = torch.zeros_like(active)
        lam = torch.where(active, self.lam, 1.0).float()
        return Params(partner, active, lam, Mixture.pair(partner, lam))

    def new_moments(self, own: Moments, partner: Moments, params: Params) -> Moments:
        """The partner's."""
        return partner

    def oracle(self, x: NDArray[np.float64], params: Params) -> NDArray[np.float64]:
        """One sample after the other."""
        y = x.copy()
        for i, j in enumerate(params.partner.tolist()):
            if params.active[i] and not self.passes_through(x.shape):
                (mean, std), (partner_mean, partner_std) = self.normalizer.oracle(x[i]), self.normalizer.oracle(x[j])
                y[i] = (x[i] - mean) / std * partner_std + partner_mean
        return y
