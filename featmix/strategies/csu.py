"""Correlated style uncertainty: noise on the moments that respects how channels vary together."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Unpack, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.normalizers.base import Normalizer
from featmix.normalizers.moments import Moments
from featmix.sampling.draws import beta, normal
from featmix.sampling.words import Per
from featmix.schedule import Schedule
from featmix.strategies.moments import MomentSettings
from featmix.strategies.noise import NoiseParams, StyleNoise, centred
from featmix.strategies.params import Draw
from featmix.strategies.registry import register
from featmix.strategies.tags import Tags

_SMALLEST = 1e-12  # of a variance along an eigenvector, as published


class CSUParams(NoiseParams):
    """The decision of CSU: standard normal noise ``(B, C)``, and ``lam`` is ``1 - f`` with the published strength ``f``."""


@register("csu")
class CorrelatedStyleUncertainty(StyleNoise[CSUParams]):
    """Correlated style uncertainty: ``y = (x - mean) / std * (std + f * g_std) + mean + f * g_mean``; the label stays.

    ``g`` is normal noise whose covariance over channels is that of the moments over the batch: ``g = z M`` with ``z`` standard
    normal and ``M`` the symmetric root ``V diag(sqrt(max(diag(V' S V), 1e-12))) V'`` of their covariance ``S`` (divided by the
    batch size), ``V`` the eigenvectors of ``C S + eps I``. ``f`` is from Beta(alpha, alpha), the same for mean and standard
    deviation. Eigenvectors are constants in backward; ``S`` and the moments carry gradient, as published.

    *Where to put it.* As DSU: after the first convolution, after the pooling that follows, and after each stage; in OSNet after
    the second to fourth.

    *Suggested settings.* ``alpha=0.3``, ``p=0.5``.

    *When it hurts.* It takes two singular value decompositions of (B, C) in each forward. A small batch says little about a
    covariance: B samples have at most B - 1 directions, and noise along the others has standard deviation 1e-6.

    *Where it departs from published code.* The published code fails in half precision, in double precision, with one channel
    and with one sample. featmix takes the root in float64, treats one channel like any other number, and lets one sample pass
    through. Its eigenvectors are the right singular vectors of the centred moments. Those of ``C S + eps I`` are the same, but
    ``S`` holds squares, in which small deviations beside large ones are lost. A row that is not finite stays as it is and
    does not count in ``S``.

    Args:
        norm: ``in``, or any normalizer with one mean a channel or a group.
        alpha: Of the Beta distribution, at least 0; 0 means ``f = 0``, no noise.
        lam_per: One ``f`` for each ``sample`` (as published) or one for the ``batch``.
        eps: Added to variances inside the root.
        detach: Treat the moments as constants in backward; off as published.
        p: Probability that a batch (or a row) is changed.
        common: ``unbiased``, ``positive_only`` and ``layout``: see
            :class:`~featmix.strategies.moments.MomentStrategy`; ``per``,
            ``num_prefix_tokens``, ``num_classes``, ``across``: see :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If a setting is out of range, or ``norm`` takes its moments at single positions.

    Example:
        >>> x = torch.randn(4, 8, 6, 6)
        >>> csu = CorrelatedStyleUncertainty(p=1.0)
        >>> params = csu.make_params(x.shape)
        >>> params.mean_noise.shape
        torch.Size([4, 8])
        >>> csu.transform(x, params).shape
        torch.Size([4, 8, 6, 6])
    """

    tags = Tags(
        mixes_labels=False,
        moments="instance norm (or any over positions)",
        default_site="hidden",
        stops_gradient=True,
        batch_coupled=True,
        partnered=False,
        paper="Zhang et al., Domain Generalization with Correlated Style Uncertainty, WACV 2024",
        url="https://arxiv.org/abs/2212.09950",
    )

    def __init__(
        self,
        norm: str | Normalizer = "in",
        *,
        alpha: float | Schedule = 0.3,
        lam_per: Per = "sample",
        eps: float = 1e-6,
        detach: bool = False,
        p: float | Schedule = 0.5,
        **common: Unpack[MomentSettings],
    ) -> None:
        super().__init__(norm, eps=eps, detach=detach, p=p, **common)
        if not self.normalizer.over_positions:
            raise FeatmixError(
                self._who,
                "norm",
                expected="a normalizer over positions: in, ln, gn<G>",
                got=repr(self.norm),
                fix="Moments of single positions have as many covariances as a map has pairs of positions.",
            )
        self.alpha = self._scheduled("alpha", alpha, 0, 1e6)
        self.lam_per = self._one_of("lam_per", lam_per, get_args(Per))

    @property
    def exact_gradient(self) -> bool:
        """Not that of the function, whose eigenvectors are constants, unless all moments are."""
        return self.detach

    def decide(self, shape: Sequence[int], draw: Draw) -> CSUParams:
        """Draw the strength and the noise before it is correlated."""
        kept = beta(draw.random, draw.count(self.lam_per), self.alpha, self.alpha)
        flat = (shape[0], prod(self.normalizer.moment_shape(shape)[1:]))
        mean_noise, std_noise = (normal(draw.random, flat) for _ in range(2))
        return CSUParams.of(draw, kept, mean_noise=mean_noise, std_noise=std_noise, elements=self.elements_of(shape))

    def new_moments(self, own: Moments, partner: Moments, params: CSUParams) -> Moments:
        """Return the sample's own moments plus correlated noise."""
        self.check_noise(params, (len(own.mean), prod(own.mean.shape[1:])))
        counted, f = self.counted(own, params).flatten(1), 1 - params.strength(params.mean_noise.double())
        values = _flat(own)
        if params.present is None:
            apart, n = centred(values, counted.unsqueeze(1))
        else:
            apart, n = centred(_flat(partner), self.counted_of_all(partner, params.present, params).flatten(1).unsqueeze(1))
        noise = torch.stack([params.mean_noise, params.std_noise]).double()
        noise = correlated(noise, apart.transpose(0, 1) / n.clamp(min=1).to(apart.dtype).sqrt()).transpose(0, 1)
        moved = torch.where(counted.unsqueeze(1), torch.addcmul(values, f.unsqueeze(1), noise), values).to(own.mean.dtype)
        return Moments(*(side.view_as(own.mean) for side in moved.unbind(1)))

    def oracle(self, x: NDArray[np.float64], params: CSUParams) -> NDArray[np.float64]:
        """Return the result, one sample after the other once their moments are known; the root as a whole matrix."""
        y = x.copy()
        if self.passes_through(x.shape):
            return y
        axis = self.layout_of(x.shape).channel
        width = self.elements_a_position(x.shape)  # channels that share one moment
        means, stds = (np.stack(m) for m in zip(*(self.normalizer.oracle(sample) for sample in x), strict=True))
        moved = []
        for spread_out, noise in ((means, params.mean_noise), (stds, params.std_noise)):
            values = np.moveaxis(spread_out, axis, 1).reshape(len(x), x.shape[axis], -1)[:, ::width, 0]
            _, deviations, vectors = np.linalg.svd((values - values.mean(0)) / np.sqrt(len(x)), full_matrices=True)
            stretched = np.full(len(vectors), np.sqrt(_SMALLEST))
            stretched[: len(deviations)] = deviations.clip(min=np.sqrt(_SMALLEST))
            root = (vectors.T * stretched) @ vectors
            moved.append(
                np.stack([values[i] + (1 - f) * (noise[i].double().numpy() @ root) for i, f in enumerate(params.shares())])
            )
        for i in range(len(x)):
            if params.active[i]:
                own, mean, std, result = (np.moveaxis(a[i], axis - 1, 0) for a in (x, means, stds, y))  # views
                for c in range(len(own)):
                    beta, gamma = (m[i, c // width] for m in moved)
                    result[c] = (own[c] - mean[c]) / std[c] * gamma + beta
        return y


def _flat(moments: Moments) -> Tensor:
    """Return both moments of each row, ``(B, 2, C)``, in float64."""
    return torch.stack([moments.mean.flatten(1), moments.std.flatten(1)], dim=1).double()


def correlated(noise: Tensor, apart: Tensor) -> Tensor:
    """Return ``noise M``, ``(..., B, C)``; ``M`` is the symmetric root of ``apart' apart``, eigenvectors constant.

    ``M`` is the smallest deviation in all directions and what is above it in the few that rows can span, and is never built.

    Args:
        noise: ``(..., B, C)`` float64.
        apart: ``(..., N, C)`` float64, centred, divided by the root of how many rows count.

    Example:
        >>> correlated(torch.ones(1, 2), torch.tensor([[3.0, 0.0], [0.0, 2.0]]))
        tensor([[3., 2.]])
    """
    with torch.no_grad():
        vectors = torch.linalg.svd(apart, full_matrices=False).Vh.mT
    deviations = (apart @ vectors).square().sum(-2, keepdim=True).clamp(min=_SMALLEST).sqrt()
    floor = _SMALLEST**0.5
    result: Tensor = floor * noise + ((noise @ vectors) * (deviations - floor)) @ vectors.mT
    return result
