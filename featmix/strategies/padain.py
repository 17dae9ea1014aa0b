"""pAdaIN: rarely, give each sample the moments of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from featmix.normalizers.base import Normalizer
from featmix.normalizers.moments import Moments
from featmix.sampling.draws import rows
from featmix.schedule import Schedule
from featmix.strategies.moments import MomentSettings, MomentStrategy
from featmix.strategies.params import Draw, Params
from featmix.strategies.registry import register
from featmix.strategies.tags import Tags


@register("padain")
class PAdaIN(MomentStrategy[Params]):
    """Permuted AdaIN: restore with the partner's moments, rarely and in many places; the label stays.

    ``y = (x_i - mean_i) / std_i * std_j + mean_j``. The partner's moments are constants in backward, so the partner gets
    no gradient; the sample's own moments are not.

    *Where to put it.* After every convolution of the main path and before its normalization, also in the stem, but not in
    shortcuts (ImageNet, CIFAR-100, and GTAV to Cityscapes). Each place draws its own gate and partners.

    *Suggested settings.* ``p=0.01`` throughout.

    *When it hurts.* If the style (colours, textures) tells the class. ``p`` is small because there are many places: with 49 of
    them in a ResNet-50, something is changed in 39 % of the steps.

    *Where it departs from published code.* The published code adds ``eps`` twice to the content's ``std``, inside the root and
    outside; the paper's formula, and featmix, have it once. With it twice, a row that is its own partner is scaled by
    ``std / (std + eps)``: 0.997 on a flat channel. ``eps_outside=True`` does the same. Published partners are
    ``partner="permutation"``. The published segmentation acts on the images too, as the preset ``padain/gta5-resnet101`` does;
    there the adversarial stage restyles the first half of the batch by the second, in order.

    Args:
        norm: Any intra-instance normalizer; ``in`` as published.
        eps: Added to the variance, inside the root.
        eps_outside: Add ``eps`` to the content's standard deviation as well, as the published code does.
        detach_partner: Treat the partner's moments as constants in backward, as published.
        detach: Treat all moments as constants in backward.
        p: Probability that a batch (or a row) is mixed.
        common: ``unbiased``, ``positive_only`` and ``layout``: see
            :class:`~featmix.strategies.moments.MomentStrategy`; ``per``, ``partner``,
            ``num_classes``, ``across``: see :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If a setting is out of range, or ``norm`` is ``bn``, which has no moments of single samples.

    Example:
        >>> import torch
        >>> x = torch.randn(4, 8, 6, 6)
        >>> padain = PAdaIN(p=1.0)
        >>> params = padain.make_params(x.shape)
        >>> y = padain.transform(x, params)
        >>> torch.allclose(y.mean((2, 3)), x.mean((2, 3))[params.partner], atol=1e-5)
        True
    """

    tags = Tags(
        mixes_labels=False,
        moments="instance norm (or any intra-instance)",
        default_site="hidden",
        stops_gradient=True,
        paper="Nuriel et al., Permuted AdaIN: Reducing the Bias Towards Global Statistics in Image Classification, CVPR 2021",
        url="https://arxiv.org/abs/2010.05785",
    )

    def __init__(
        self,
        norm: str | Normalizer = "in",
        *,
        eps: float = 1e-5,
        eps_outside: bool = False,
        detach_partner: bool = True,
        detach: bool = False,
        p: float | Schedule = 0.01,
        **common: Unpack[MomentSettings],
    ) -> None:
        super().__init__(norm, eps=eps, detach=detach, p=p, **common)
        self.eps_outside = self._flag("eps_outside", eps_outside)
        self.detach_partner = self._flag("detach_partner", detach_partner)

    @property
    def self_is_identity(self) -> bool:
        """True if a row that is its own partner comes out as it went in: not with ``eps_outside``."""
        return not self.eps_outside

    def passes_through(self, shape: Sequence[int]) -> bool:
        """Return True where there are no moments apart from the content, and for a batch of one."""
        return shape[0] == 1 or super().passes_through(shape)

    def decide(self, shape: Sequence[int], draw: Draw) -> Params:
        """Draw nothing. A row that is active keeps no share of its style: ``lam`` is 0.

        A row that drew itself is left alone, in its gradient too, unless ``eps_outside`` changes its values.
        """
        if not self.eps_outside:
            draw = replace(draw, active=draw.active & (draw.partner != rows(len(draw))))
        return Params.of(draw, 0.0)

    def blend(self, params: Params) -> tuple[Tensor | None, float] | None:
        """Return that moments are the partner's, unless ``eps_outside`` changes rows that are their own partners."""
        return None if self.eps_outside else (None, 0.0)

    def new_moments(self, own: Moments, partner: Moments, params: Params) -> Moments:
        """Return the partner's moments."""
        if not self.eps_outside:
            return partner
        return Moments(partner.mean, partner.std * (own.std / (own.std + self.eps)))

    def oracle(self, x: NDArray[np.float64], params: Params) -> NDArray[np.float64]:
        """Return the result, computed one sample after the other."""
        y = x.copy()
        for i, j in enumerate(params.partner.tolist()):
            if params.active[i] and not self.passes_through(x.shape):
                (mean, std), (partner_mean, partner_std) = self.normalizer.oracle(x[i]), self.normalizer.oracle(x[j])
                y[i] = (x[i] - mean) / (std + self.eps if self.eps_outside else std) * partner_std + partner_mean
        return y
