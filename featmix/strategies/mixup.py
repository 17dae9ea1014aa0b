"""Mixup: blend the samples, blend the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.kernels.dispatch import RowKernels
from featmix.kernels.mixing import Rows
from featmix.normalizers.moments import upcast
from featmix.sampling.draws import beta
from featmix.sampling.words import Per
from featmix.schedule import Schedule
from featmix.strategies.base import CommonSettings
from featmix.strategies.content import ContentStrategy
from featmix.strategies.memory import lender_of
from featmix.strategies.params import Draw, Params
from featmix.strategies.registry import register
from featmix.strategies.tags import Tags


@register("mixup")
class Mixup(ContentStrategy[Params]):
    """Mixup: ``y = lam * x_i + (1 - lam) * x_j``, label ``lam * y_i + (1 - lam) * y_j``, ``lam`` from Beta(alpha, alpha).

    *Where to put it.* At the input; in a hidden layer it is Manifold Mixup's step (Verma et al., ICML 2019).

    *Suggested settings.* CIFAR: ``alpha=1``; ImageNet: ``alpha`` 0.1 to 0.4; hidden layers: ``alpha=2``.

    *When it hurts.* Small models underfit with a large ``alpha``; a blend of samples of different scales resembles no
    real sample.

    *Small batches.* With ``memory=N`` partners are drawn from the last N samples, of whatever batch, with their labels; the
    first batch is mixed within itself. Samples are kept in float32, without gradient. Decisions then need ``target=``, and
    in hidden layers ``attach`` needs ``example=``. There is no published setting.

    *Where it departs from published code.* Only in partners: they are a derangement, where the published ``randperm`` leaves
    some rows unmixed (``partner="permutation"``).

    Args:
        alpha: Of the Beta distribution, at least 0; 0 means ``lam = 1``, no mixing.
        lam_per: One ``lam`` for the ``batch`` (as published) or one for each ``sample``.
        inplace: Write into the batch instead of new memory.
        memory: Samples to remember; ``None`` for none, as published.
        p: Probability that a batch (or a row) is mixed.
        common: ``per``, ``partner``, ``layout`` (any will do), ``num_classes``: see :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If a setting is out of range.

    Example:
        >>> x, y = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 1])
        >>> mixed, soft = Mixup(alpha=1.0, num_classes=3)(x, y)
        >>> mixed.shape, soft.shape
        (torch.Size([4, 3, 8, 8]), torch.Size([4, 3]))
    """

    tags = Tags(
        mixes_labels=True,
        paper="Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018",
        url="https://arxiv.org/abs/1710.09412",
    )

    def __init__(
        self,
        *,
        alpha: float | Schedule = 1.0,
        lam_per: Per = "batch",
        inplace: bool = False,
        memory: int | None = None,
        p: float | Schedule = 1.0,
        **common: Unpack[CommonSettings],
    ) -> None:
        super().__init__(p=p, **common)
        self.alpha = self._scheduled("alpha", alpha, 0, 1e6)
        self.lam_per = self._one_of("lam_per", lam_per, get_args(Per))
        self.inplace = self._flag("inplace", inplace)
        self._remember_last(memory)

    def decide(self, shape: Sequence[int], draw: Draw) -> Params:
        """Draw ``lam``."""
        return Params.of(draw, beta(draw.random, draw.count(self.lam_per), self.alpha, self.alpha))

    def act(self, x: Tensor, params: Params) -> Tensor:
        """Return the blend."""
        own = upcast(x)
        return torch.lerp(self.lent(own, params), own, params.strength(own))

    def rows(self, x: Tensor, params: Params, kernels: RowKernels, taker: Tensor | None) -> Rows | None:
        """Return the rows by a fast path."""
        return kernels.blend(x, params.partner, params.own_share(), taker)

    def partner_share(self, params: Params, sizes: Sequence[int]) -> Tensor:
        """Return the partner's share, the same at all positions."""
        return 1 - params.strength(torch.empty(1, 1, *[1] * len(sizes)))

    def oracle(self, x: NDArray[np.float64], params: Params) -> NDArray[np.float64]:
        """Return the result, computed one sample after the other."""
        y, shares = x.copy(), params.shares()
        for i, j in enumerate(params.partner.tolist()):
            if params.active[i]:
                y[i] = shares[i] * x[i] + (1 - shares[i]) * lender_of(x, i, j, params)
        return y
