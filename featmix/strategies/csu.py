"""Correlated style uncertainty: noise on the moments that respects how channels vary together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from featmix import sampling
from featmix.errors import FeatmixError
from featmix.mixture import Mixture
from featmix.moment_strategy import MomentSettings
from featmix.moments import Moments
from featmix.normalizer import Normalizer
from featmix.params import Params
from featmix.registry import register
from featmix.schedule import Schedule
from featmix.style_noise import StyleNoise, centred
from featmix.tags import Tags

_SMALLEST = 1e-12  # of a variance along an eigenvector, as published


@dataclass(frozen=True, eq=False)
class CSUParams(Params):
    """The decision of correlated style uncertainty.

    Args:
        partner: Each row itself.
        active: See :class:`~featmix.params.Params`.
        lam: ``(B,)`` the share that is not noise, ``1 - f`` with the published strength ``f``.
        mixture: The identity.
        mean_noise: ``(B, C)`` float32, standard normal.
        std_noise: ``(B, C)`` float32, standard normal.
    """

    mean_noise: Tensor
    std_noise: Tensor


@register("csu")
class CorrelatedStyleUncertainty(StyleNoise):
    """Correlated style uncertainty: ``y = (x - mean) / std * (std + f * g_std) + mean + f * g_mean``; the label stays.

    ``g`` is normal noise whose covariance over channels is that of the moments over the batch: ``g = z M`` with ``z`` standard
    normal and ``M`` the symmetric root ``V diag(sqrt(max(diag(V' S V), 1e-12))) V'`` of their covariance ``S`` (divided by the
    batch size), ``V`` the eigenvectors of ``C S + eps I``. ``f`` is from Beta(alpha, alpha), the same for mean and standard
    deviation. Eigenvectors are constants in backward; ``S`` and the moments carry gradient, as published.

    *Where to put it.* As DSU: after the first convolution, after the pooling behind it, and after each stage; in OSNet after
    the second to fourth.

    *Suggested settings.* ``alpha=0.3``, ``p=0.5``.

    *When it hurts.* An eigendecomposition of (C, C) for each forward: wide layers pay for it.

    *Where published code differs.* It fails in half precision, in double precision, with one channel and with one sample.
    Here the root is taken in float64, one channel is like any other number, and one sample passes through.

    Args:
        norm: ``in``, or any normalizer with one mean a channel or a group.
        alpha: Of the Beta distribution, at least 0; 0 means ``f = 0``, no noise.
        lam_per: One ``f`` for each ``sample`` (as published) or one for the ``batch``.
        eps: Added to variances inside the root, and to the diagonal before the eigenvectors are taken.
        detach: Treat the moments as constants in backward; off as published.
        p: Probability that a batch (or a row) is changed.
        common: ``unbiased``, ``positive_only`` and ``layout``: see :class:`~featmix.moment_strategy.MomentStrategy`; ``per``,
            ``prefix``, ``num_classes``: see :class:`~featmix.Strategy`.

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
        lam_per: str = "sample",
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
        self.lam_per = self._one_of("lam_per", lam_per, ("batch", "sample"))

    @property
    def exact_gradient(self) -> bool:
        """Not that of the function: eigenvectors are constants."""
        return False

    def decide(self, shape: Sequence[int], partner: Tensor, active: Tensor, generator: Generator | None) -> CSUParams:
        """Draw the strength and the noise before it is correlated."""
        rows, active = self.own_rows(shape, active)
        drawn = sampling.beta(shape[0], self.alpha, per=self.lam_per, generator=generator).float()
        flat = prod(self.normalizer.moment_shape(shape)[1:])
        mean_noise, std_noise = (sampling.normal((shape[0], flat), generator).float() for _ in range(2))
        lam = torch.where(active, drawn, 1.0)
        return CSUParams(rows, active, lam, Mixture.identity(shape[0], rows.device), mean_noise, std_noise)

    def new_moments(self, own: Moments, partner: Moments, params: Params) -> Moments:
        """Its own, and correlated noise."""
        if not isinstance(params, CSUParams):
            raise FeatmixError(self._who, "params", expected="a decision of this strategy", got=type(params).__name__)
        counted, f = self.counted(own, params).flatten(1), 1 - params.strength(own.mean)

        def moved(values: Tensor, noise: Tensor) -> Tensor:
            apart, n = centred(values.flatten(1).double(), counted)
            correlated = noise.double() @ _root(apart / n.clamp(min=1).to(apart.dtype).sqrt(), self.eps)
            return values + f * correlated.to(values.dtype).reshape(values.shape)

        return Moments(moved(own.mean, params.mean_noise), moved(own.std, params.std_noise))

    def oracle(self, x: NDArray[np.float64], params: Params) -> NDArray[np.float64]:
        """One sample after the other, once their moments are known; the root by a singular value decomposition."""
        y = x.copy()
        if not isinstance(params, CSUParams) or len(x) < 2 or self.passes_through(x.shape):
            return y
        own = self.normalizer.moments(torch.from_numpy(x))
        moments = [m.flatten(1).numpy() for m in (own.mean, own.std)]
        noises = [noise.double().numpy() for noise in (params.mean_noise, params.std_noise)]
        moved = []
        for values, noise in zip(moments, noises, strict=True):
            _, deviations, vectors = np.linalg.svd((values - values.mean(0)) / np.sqrt(len(x)), full_matrices=True)
            stretched = np.full(len(vectors), np.sqrt(_SMALLEST))
            stretched[: len(deviations)] = deviations.clip(min=np.sqrt(_SMALLEST))
            root = (vectors.T * stretched) @ vectors
            moved.append(values + (1 - np.array(params.shares()))[:, None] * (noise @ root))
        for i in range(len(x)):
            if params.active[i]:
                mean, std = self.normalizer.oracle(x[i])
                beta, gamma = (
                    torch.from_numpy(m[i : i + 1])
                    .view(own.mean[i : i + 1].shape)
                    .expand(self.normalizer.view(torch.empty(1, *x.shape[1:])).shape)
                    .reshape(x.shape[1:])
                    .numpy()
                    for m in moved
                )
                y[i] = (x[i] - mean) / std * gamma + beta
        return y


def _root(apart: Tensor, eps: float) -> Tensor:
    """The symmetric root of the covariance ``apart' apart``, ``(C, C)`` from ``(B, C)``; its eigenvectors are constants.

    Variances are taken along the eigenvectors, not off the covariance, where small ones would drown in the rounding of large
    ones.
    """
    c = apart.shape[1]
    with torch.no_grad():
        regular = c * apart.T @ apart + eps * torch.eye(c, dtype=apart.dtype, device=apart.device)
        vectors = torch.linalg.eigh(regular.nan_to_num()).eigenvectors
    variances = (apart @ vectors).square().sum(0)
    root: Tensor = (vectors * variances.clamp(min=_SMALLEST).sqrt()) @ vectors.T
    return root
