"""MoEx: exchange the moments, mix the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.normalizers.base import Normalizer
from featmix.normalizers.moments import Moments
from featmix.sampling.draws import Stream
from featmix.schedule import Schedule
from featmix.strategies.memory import Memory, RecalledMoments, check_can_remember, recalled_moments
from featmix.strategies.moments import MomentSettings, MomentStrategy
from featmix.strategies.params import Draw, Params
from featmix.strategies.registry import register
from featmix.strategies.tags import Tags


@register("moex")
class MoEx(MomentStrategy[Params]):
    """Moment exchange: a sample keeps its normalized features and gets the moments of its partner, and a share of its label.

    ``y = (x_i - mean_i) / std_i * std_j + mean_j``, label ``lam * y_i + (1 - lam) * y_j``. ``lam`` is a constant and is used
    for the labels only. Gradients reach both samples.

    *Where to put it.* Early, where the maps are still large: after the stem's pooling on ImageNet, after the first
    convolution and its normalization on CIFAR, after the first set abstraction of PointNet++ (with ``norm="in"``).

    *Suggested settings.* ImageNet ResNet-50: ``pono``, ``lam=0.9``, ``p=1``; CIFAR PyramidNet: ``pono``, ``lam=0.5``,
    ``p=0.25``; ModelNet: ``in``, ``lam=0.9``, ``p=0.5``.

    *When it hurts.* A flat receiver (standard deviation near zero) is amplified by up to ``std_j / sqrt(eps)``; raise
    ``eps`` where that happens.

    *Where it departs from published code.* The published operator computes in float32; here float64 stays float64. Groups of
    one element pass through; there they give NaN. Numbers of groups that do not divide the channels are refused, and so is
    ``bn``; there both fail with errors that do not say why. Moments of positives are computed in two passes; there in one,
    which can give NaN. The ``gn`` of the code for point clouds averages over the channels of each point of (B, T, G, D): that
    is ``pono`` here. The published CIFAR network runs its stem twice in a step, which updates running statistics twice. In one
    of the ImageNet scripts MoEx has no steps left once CutMix is on.

    *Small batches.* With ``memory=N`` partners are drawn from the last N samples at this site, of whatever batch, with their
    labels; the first batch exchanges within itself. Remembered moments have no gradient. Decisions then need ``target=``, and
    ``attach`` needs ``example=``. There is no published setting.

    Args:
        norm: Any intra-instance normalizer: ``pono``, ``in``, ``ln``, ``gn<G>``, ``gpono<G>`` and their ``-d<D>`` forms,
            ``over:<axes>``.
        lam: The weight of the sample's own label, in [0, 1]; the partner's label has the rest.
        eps: Added to the variance, inside the root.
        detach: Treat the moments as constants in backward; off as published.
        memory: Samples to remember; ``None`` for none, as published.
        p: Probability that a batch (or a row) is mixed.
        common: ``unbiased``, ``positive_only`` and ``layout``: see
            :class:`~featmix.strategies.moments.MomentStrategy`; ``per``, ``partner``,
            ``num_classes``, ``across``: see :class:`~featmix.Strategy`.

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
        memory: int | None = None,
        p: float | Schedule = 1.0,
        **common: Unpack[MomentSettings],
    ) -> None:
        super().__init__(norm, eps=eps, detach=detach, p=p, **common)
        self.lam = self._scheduled("lam", lam, 0, 1)
        self.memory = None if memory is None else self._whole("memory", memory, least=1)
        self.across = self.across  # which goes without a memory
        self._memory = None if self.memory is None else Memory(self.memory, ("mean", "std"))

    def check_across(self) -> None:
        """Check that partners may be on other ranks: not where they come from a memory."""
        super().check_across()
        if getattr(self, "memory", None) is not None:
            expected, got = "False, for partners that are remembered", "ranks to draw them from"
            raise FeatmixError(self._who, "across", expected=expected, got=got, fix="Leave out memory= or across=.")

    def decide(self, shape: Sequence[int], draw: Draw) -> Params:
        """Draw nothing: the label's share is a constant."""
        return Params.of(draw, self.lam)

    def recall(self, params: Params, shape: Sequence[int], target: Tensor | None, random: Stream) -> Params:
        """Return a decision that draws from the memory, with the labels remembered with the moments."""
        shape = self.body_shape(shape)
        if self._memory is None or not shape[0] or self.passes_through(shape):
            return params
        target = check_can_remember(self._who, shape, target)
        if params.mask is not None and not self.normalizer.over_positions:
            raise FeatmixError(
                self._who, "memory", expected="no mask", got="one", fix="What is remembered of a position may be padding."
            )
        sample = self.normalizer.moment_shape(shape)[1:]
        return self._memory.decided(RecalledMoments, params, sample, target, random)

    def lent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of what is remembered of one sample."""
        return tuple(self.normalizer.moment_shape(self.body_shape(shape))[1:])

    def remember(self, x: Tensor, params: Params) -> None:
        """Keep the moments of this batch, as they were before the exchange, if there is a memory."""
        recalled = recalled_moments(params)
        if self._memory is not None and recalled is not None:
            with torch.no_grad():
                own = self.moments_of(self.body_of(x), params)
                self._memory.keep({"mean": own.mean, "std": own.std}, recalled)

    def blend(self, params: Params) -> tuple[Tensor | None, float] | None:
        """Return that moments are the partner's, unless some are remembered."""
        return (None, 0.0) if recalled_moments(params) is None else None

    def new_moments(self, own: Moments, partner: Moments, params: Params) -> Moments:
        """Return the partner's moments, or those remembered."""
        recalled = recalled_moments(params)
        return partner if recalled is None else recalled.moments_instead_of(partner)

    def oracle(self, x: NDArray[np.float64], params: Params) -> NDArray[np.float64]:
        """Return the result, computed one sample after the other."""
        y, recalled = x.copy(), recalled_moments(params)
        for i, j in enumerate(params.partner.tolist()):
            if params.active[i] and not self.passes_through(x.shape):
                (mean, std), (partner_mean, partner_std) = self.normalizer.oracle(x[i]), self.normalizer.oracle(x[j])
                if recalled is not None and recalled.remembered[i]:
                    kept = (np.broadcast_to(m[i].double().numpy(), x[i].shape) for m in (recalled.mean, recalled.std))
                    partner_mean, partner_std = kept
                y[i] = (x[i] - mean) / std * partner_std + partner_mean
        return y
