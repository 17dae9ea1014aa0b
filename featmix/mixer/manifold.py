"""Manifold Mixup as a tree: one of several sites in each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from featmix.mixer.tree import OneOf
from featmix.sampling.words import Per
from featmix.schedule import Schedule
from featmix.strategies.base import CommonSettings
from featmix.strategies.manifold_mixup import ManifoldMixup


class _Settings(CommonSettings, total=False):
    lam_per: Per
    p: float | Schedule


def manifold_mixup(
    sites: Sequence[str],
    *,
    alpha: float | Schedule = 2.0,
    weights: Sequence[float] | None = None,
    **settings: Unpack[_Settings],
) -> OneOf:
    """Return Manifold Mixup (Verma et al., ICML 2019) as a tree to attach: one of the sites each step.

    Args:
        sites: Names from ``model.named_modules()``, and ``input``.
        alpha: Of the Beta distribution.
        weights: How often each site is chosen, in any scale; equal where not given.
        settings: More settings of :class:`ManifoldMixup`.

    Raises:
        FeatmixError: If there is no site, the weights do not fit, or a setting is out of range.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import featmix as fm
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> mixer = fm.attach(model, fm.manifold_mixup(["input", "0", "1"], alpha=2.0))
        >>> mix = mixer.draw(torch.randn(5, 4))
        >>> sum(bool(params.active.any()) for params in mix.params.values())
        1
    """
    return OneOf.over(ManifoldMixup(alpha=alpha, **settings), sites, weights=weights)
