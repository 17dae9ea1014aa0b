"""Manifold Mixup: Mixup at one of several layers, drawn in each step."""

from __future__ import annotations

import dataclasses
from typing import Unpack

from featmix.sampling.words import Per
from featmix.schedule import Schedule
from featmix.strategies.base import CommonSettings
from featmix.strategies.mixup import Mixup
from featmix.strategies.registry import register


@register("manifold-mixup")
class ManifoldMixup(Mixup):
    """Manifold Mixup: ``h = lam * h_i + (1 - lam) * h_j`` at one layer, drawn anew each step; labels alike.

    At its layer it is Mixup, with ``lam`` from Beta(alpha, alpha). New is only the choice of the layer, which
    :func:`manifold_mixup` makes: a ``OneOf`` with one member for each site.

    *Where to put it.* At the input, after the first stage or after the second; one of them in each step, equally often.

    *Suggested settings.* ``alpha=2`` (CIFAR, SVHN), ``alpha=0.2`` (Tiny-ImageNet). The authors' loss is binary cross entropy on
    the softmax.

    *When it hurts.* As Mixup: small models underfit with a large ``alpha``.

    *Where it departs from published code.* In partners, as Mixup does. The loss is up to you; the published code uses binary
    cross entropy on the softmax.

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
