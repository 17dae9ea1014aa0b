"""MixStyle: blend the moments, keep the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from featmix.normalizers.base import Normalizer
from featmix.normalizers.moments import Moments
from featmix.sampling.draws import beta
from featmix.sampling.words import Per
from featmix.schedule import Schedule
from featmix.strategies.moments import MomentSettings, MomentStrategy
from featmix.strategies.params import Draw, Params
from featmix.strategies.registry import register
from featmix.strategies.tags import Tags


@register("mixstyle")
class MixStyle(MomentStrategy[Params]):
    """MixStyle: restore with a blend of the sample's and its partner's moments; the label stays.

    ``y = (x_i - mean_i) / std_i * (lam * std_i + (1 - lam) * std_j) + lam * mean_i + (1 - lam) * mean_j`` with ``lam`` from
    Beta(alpha, alpha). All moments are constants in backward, as published: ``dy/dx`` is ``mixed_std / std_i`` elementwise
    and nothing reaches the partner.

    *Where to put it.* The first stages: 1-3 of a ResNet on PACS, 1-2 on OfficeHome and for re-identification.

    *Suggested settings.* ``alpha=0.1``, ``p=0.5``; ``alpha=0.3`` in reinforcement learning.

    *When it hurts.* In the last stage, where moments carry the class: there it costs Market-to-Duke re-identification more
    than half of its mAP (10.2 against 23.8).

    *Where it departs from published code.* Maps of one position pass through; in the published code they become NaN. The output
    has the dtype of the input (published: float32). Without domains, partners are a derangement; ``partner="permutation"`` is
    the published ``randperm``. The version for reinforcement learning has the biased variance and its gate commented out:
    ``unbiased=False, p=1``.

    Args:
        norm: Any intra-instance normalizer; ``in`` as published.
        alpha: Of the Beta distribution, at least 0; 0 means ``lam = 1``, no mixing.
        lam_per: One ``lam`` for each ``sample`` (as published) or one for the ``batch``.
        eps: Added to the variance, inside the root.
        detach: Treat the moments as constants in backward, as published.
        p: Probability that a batch (or a row) is mixed.
        common: ``unbiased``, ``positive_only`` and ``layout``: see
            :class:`~featmix.strategies.moments.MomentStrategy`; ``per``, ``partner``,
            ``num_classes``, ``across``: see :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If a setting is out of range, or ``norm`` is ``bn``, which has no moments of single samples.

    Example:
        >>> import torch
        >>> x = torch.randn(4, 8, 6, 6)
        >>> mixstyle = MixStyle(p=1.0, partner="crossdomain")
        >>> params = mixstyle.make_params(x.shape, domain=torch.tensor([0, 0, 1, 1]))
        >>> params.partner[:2].min() >= 2, params.mixture.weight.shape
        (tensor(True), torch.Size([4, 1]))
        >>> mixstyle.transform(x, params).shape
        torch.Size([4, 8, 6, 6])
    """

    tags = Tags(
        mixes_labels=False,
        moments="instance norm (or any intra-instance)",
        default_site="hidden",
        stops_gradient=True,
        paper="Zhou et al., Domain Generalization with MixStyle, ICLR 2021",
        url="https://arxiv.org/abs/2104.02008",
    )

    def __init__(
        self,
        norm: str | Normalizer = "in",
        *,
        alpha: float | Schedule = 0.1,
        lam_per: Per = "sample",
        eps: float = 1e-6,
        detach: bool = True,
        p: float | Schedule = 0.5,
        **common: Unpack[MomentSettings],
    ) -> None:
        super().__init__(norm, eps=eps, detach=detach, p=p, **common)
        self.alpha = self._scheduled("alpha", alpha, 0, 1e6)
        self.lam_per = self._one_of("lam_per", lam_per, get_args(Per))

    def decide(self, shape: Sequence[int], draw: Draw) -> Params:
        """Draw the share of its own moments that each sample keeps."""
        return Params.of(draw, beta(draw.random, draw.count(self.lam_per), self.alpha, self.alpha))

    def blend(self, params: Params) -> tuple[Tensor | None, float] | None:
        """Return ``lam``, the share of its own moments that a row keeps."""
        return params.own_share(), 0.0

    def new_moments(self, own: Moments, partner: Moments, params: Params) -> Moments:
        """Return the blend of own and partner's moments."""
        lam = params.strength(own.mean)
        return Moments(lam * own.mean + (1 - lam) * partner.mean, lam * own.std + (1 - lam) * partner.std)

    def oracle(self, x: NDArray[np.float64], params: Params) -> NDArray[np.float64]:
        """Return the result, computed one sample after the other."""
        y, shares = x.copy(), params.shares()
        for i, j in enumerate(params.partner.tolist()):
            if params.active[i] and not self.passes_through(x.shape):
                (mean, std), (partner_mean, partner_std) = self.normalizer.oracle(x[i]), self.normalizer.oracle(x[j])
                new_mean = shares[i] * mean + (1 - shares[i]) * partner_mean
                new_std = shares[i] * std + (1 - shares[i]) * partner_std
                y[i] = (x[i] - mean) / std * new_std + new_mean
        return y
