"""Manifold Mixup: Mixup at one of several layers, another one each step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Unpack

from featmix.mixer.tree import OneOf
from featmix.sampling.words import Per
from featmix.schedule import Schedule
from featmix.strategies.base import CommonSettings
from featmix.strategies.mixup import Mixup
from featmix.strategies.registry import register


class _Settings(CommonSettings, total=False):
    lam_per: Per
    p: float | Schedule


@register("manifold-mixup")
class ManifoldMixup(Mixup):
    """Manifold Mixup: ``h = lam * h_i + (1 - lam) * h_j`` at one layer, drawn anew each step; labels alike.

    A step of it is Mixup's at that layer, with ``lam`` from Beta(alpha, alpha). What is its own is the choice of the layer,
    which :func:`manifold_mixup` makes: a ``OneOf`` with one member for each site.

    *Where to put it.* The input, and after the first and the second stage; one of them each step, all equally often.

    *Suggested settings.* ``alpha=2`` (CIFAR, SVHN), ``alpha=0.2`` (Tiny-ImageNet). The authors' loss is binary cross entropy on
    the softmax.

    *When it hurts.* As Mixup: small models underfit with a large ``alpha``.

    Args:
        alpha: Of the Beta distribution, at least 0; 0 means ``lam = 1``, no mixing.
        lam_per: One ``lam`` for the ``batch`` (as published) or one for each ``sample``.
        p: Probability that a batch (or a row) is mixed.
        common: ``per``, ``partner``, ``layout`` (any will do), ``num_classes``: see :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If a setting is out of range.

    Example:
        >>> ManifoldMixup().alpha, ManifoldMixup.tags.default_site
        (2.0, 'one of several')
    """

    tags = dataclasses.replace(
        Mixup.tags,
        default_site="one of several",
        paper="Verma et al., Manifold Mixup: Better Representations by Interpolating Hidden States, ICML 2019",
        url="https://arxiv.org/abs/1806.05236",
    )

    def __init__(
        self,
        *,
        alpha: float | Schedule = 2.0,
        lam_per: Per = "batch",
        p: float | Schedule = 1.0,
        **common: Unpack[CommonSettings],
    ) -> None:
        super().__init__(alpha=alpha, lam_per=lam_per, p=p, **common)


def manifold_mixup(
    sites: Sequence[str],
    *,
    alpha: float | Schedule = 2.0,
    weights: Sequence[float] | None = None,
    **settings: Unpack[_Settings],
) -> OneOf:
    """Manifold Mixup (Verma et al., ICML 2019) as a tree to attach: one of the sites each step.

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
