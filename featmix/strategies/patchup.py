"""PatchUp: replace or blend blocks of feature maps, drawn for each channel."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Unpack, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.kernels.dispatch import RowKernels
from featmix.kernels.mixing import Rows
from featmix.normalizers.moments import upcast
from featmix.sampling.draws import beta
from featmix.sampling.masks import blocks
from featmix.sampling.words import Per
from featmix.schedule import Schedule
from featmix.strategies.base import CommonSettings, Strategy
from featmix.strategies.content import ContentStrategy
from featmix.strategies.cutmix import CutMix
from featmix.strategies.params import Draw, Params, decided_sizes, of_the_batch
from featmix.strategies.registry import register
from featmix.strategies.tags import Tags

Mode = Literal["soft", "hard"]
ThirdTerm = Literal["mixed", "own"]


@dataclass(frozen=True, eq=False)
class PatchUpParams(Params):
    """The decision of PatchUp.

    Args:
        partner: See :class:`~featmix.strategies.params.Params`.
        active: See :class:`~featmix.strategies.params.Params`.
        lam: ``(B,)`` the weight of the sample's own label.
        mixture: See :class:`~featmix.strategies.params.Params`; its ``scale`` is the weight of the three terms together.
        blend: ``(B,)`` float32, the sample's own share inside the blocks; 0 in hard mode.
        sizes: The sizes of the position axes that the blocks were drawn for.
        alike: True if all rows have the same ``blend``.
        pastes: True if blocks are the partner's as they are, False if they are blended by ``blend``.
        changed: ``(1, C, *sizes)`` bool, True inside the blocks; all rows share it.
    """

    blend: Tensor
    sizes: tuple[int, ...]
    alike: bool
    pastes: bool
    changed: Tensor = of_the_batch()  # noqa: RUF009 - what it makes is a field


@register("patchup")
class PatchUp(ContentStrategy[PatchUpParams]):
    """PatchUp: inside blocks a feature becomes the partner's (hard), or a blend with the partner's (soft).

    ``y = m * x_i + (1 - m) * x_j`` in hard mode, ``m * x_i + (1 - m) * (b * x_i + (1 - b) * x_j)`` in soft mode, with ``b``
    from Beta(alpha, alpha). The mask ``m`` is 0 in blocks around seeds that are drawn for each channel; all samples of
    the batch share it. With blocks of side ``s`` a seed has probability
    ``gamma * H * W / (s * s * (H - s + 1) * (W - s + 1))``.

    *The loss.* Published are three terms, ``u * l(y_i) + (1 - u) * l(y_b) + l(y_rw)``: ``u`` is the mean of ``m``, ``y_b`` the
    label of what the blocks hold, ``b * y_i + (1 - b) * y_j`` (``b`` is 0 in hard mode), and ``y_rw`` the label by content,
    ``w * y_i + (1 - w) * y_j`` with ``w = u + (1 - u) * b``. Cross entropy and binary cross entropy are linear in the target.
    So the first two terms are ``(u + (1 - u) * b) * l(y_i) + (1 - u) * (1 - b) * l(y_j)``, which is
    ``w * l(y_i) + (1 - w) * l(y_j)``, and the third is the same: the sum is twice the loss of a mixture in which the sample's
    own label has the weight ``w``. So ``loss_weight`` is 2 for rows that are mixed; rows that are not have one term.

    *Where to put it.* At one of several places in each step. One of these is the input, where the paper has a CutMix:
    ``fm.OneOf.over(fm.PatchUp(), ["input", "conv1", "layer1"])``. There, with ``u`` the share of the image that stays,
    the code of the PreAct ResNet weights ``l(y_i)`` and ``l(y_j)`` by ``(2u, 2 - 2u)``, as in hidden layers. The code of the
    Wide ResNet leaves the label of the third term unmixed: ``(1 + u, 1 - u)``, which is ``third_term="own"``.

    *Suggested settings.* Soft: ``gamma=0.75``, ``p=1``; hard: ``gamma=0.5``, ``p=0.7``; blocks of 7 in both.

    *When it hurts.* On small maps blocks cover nearly everything: with ``gamma=0.75`` 99.8 % of an 8x8 map. ``gamma`` is not
    the share that changes; in a 32x32 map 0.75 gives 0.64.

    *Where it departs from published code.* Blocks larger than the map are cut to the largest odd side that fits, the
    probability of seeds is at most 1, and maps need not be square; in these cases the published code divides by zero, raises,
    or gets ``u`` wrong. It also keeps the probability of the first map that it sees. Its Wide ResNet has blocks of 7, 7, 5 and
    3 along its stages, of which the published runs use the first two, and its PreAct ResNet has 7 everywhere; set
    ``block_size`` for each site to do the same. ``loss_weight=1.0`` gives mixed rows the weight of the others. At the input
    the two networks weight labels differently: ``third_term`` says how.

    Args:
        mode: ``soft`` or ``hard``.
        gamma: How dense blocks are, in [0, 1].
        block_size: Side of a block, an odd number.
        alpha: Of the Beta distribution of ``b``, at least 0; not used in hard mode.
        lam_per: One ``b`` for the ``batch`` (as published) or one for each ``sample``.
        loss_weight: Factor of the loss of a mixed row.
        third_term: The label of the third term at the input: ``mixed`` by content (as in the PreAct ResNet's code), or the
            sample's ``own`` (as in the Wide ResNet's). Used by ``at_input`` only.
        p: Probability that a batch (or a row) is mixed.
        common: ``per``, ``partner``, ``layout`` (any without ``n``), ``num_classes``: see
            :class:`~featmix.Strategy`.

    Raises:
        FeatmixError: If a setting is out of range, or the layout has no grid.

    Example:
        >>> x = torch.randn(4, 8, 16, 16)
        >>> patchup = PatchUp("hard", gamma=0.5)
        >>> params = patchup.make_params(x.shape)
        >>> y = patchup.transform(x, params)
        >>> torch.equal(y, torch.where(params.changed, x[params.partner], x))
        True
        >>> params.mixture.scale
        tensor([2., 2., 2., 2.])
    """

    tags = Tags(
        mixes_labels=True,
        spatial=True,
        default_site="one of several",
        paper="Faramarzi et al., PatchUp: A Feature-Space Block-Level Regularization Technique for CNNs, AAAI 2022",
        url="https://arxiv.org/abs/2006.07794",
    )

    def __init__(
        self,
        mode: Mode = "soft",
        *,
        gamma: float | Schedule = 0.75,
        block_size: int = 7,
        alpha: float | Schedule = 2.0,
        lam_per: Per = "batch",
        loss_weight: float | Schedule = 2.0,
        third_term: ThirdTerm = "mixed",
        p: float | Schedule = 1.0,
        **common: Unpack[CommonSettings],
    ) -> None:
        super().__init__(p=p, **common)
        self.mode = self._one_of("mode", mode, get_args(Mode))
        self.gamma = self._scheduled("gamma", gamma, 0, 1)
        self.block_size = self._whole("block_size", block_size, least=1)
        if self.block_size % 2 == 0:
            raise FeatmixError(self._who, "block_size", expected="an odd number", got=repr(block_size))
        self.alpha = self._scheduled("alpha", alpha, 0, 1e6)
        self.lam_per = self._one_of("lam_per", lam_per, get_args(Per))
        self.loss_weight = self._scheduled("loss_weight", loss_weight, 0, 1e6)
        self.third_term = self._one_of("third_term", third_term, get_args(ThirdTerm))
        self.tags = dataclasses.replace(self.tags, needs_float=mode == "soft")  # hard mode only copies

    @property
    def strength_per(self) -> str | None:
        """The setting ``lam_per`` in soft mode; in hard mode nothing is drawn for it, and all rows share the blocks."""
        return self.lam_per if self.mode == "soft" else None

    def at_input(self) -> Strategy:
        """Return CutMix with the same weight of its loss, which the paper has at the input.

        Example:
            >>> PatchUp(third_term="own").at_input().make_params((2, 3, 8, 8)).mixture.scale
            tensor([2., 2.])
        """
        common = {name: getattr(self, name) for name in CommonSettings.__optional_keys__}
        own_term = 0.5 if self.third_term == "own" else None
        return CutMix(loss_weight=self.loss_weight, own_term=own_term, p=self.p, **common)

    def decide(self, shape: Sequence[int], draw: Draw) -> PatchUpParams:
        """Draw the blocks, and in soft mode the blend."""
        lay = self.layout_of(shape)
        sizes = lay.spatial_shape(shape)
        changed = blocks(draw.random, shape[lay.channel], sizes, self.gamma, self.block_size)
        blend = np.zeros(1)
        if self.mode == "soft":
            blend = beta(draw.random, draw.count(self.lam_per), self.alpha, self.alpha)
        own = draw.every(blend.astype(np.float32))
        lam = 1 - changed.mean() * (1 - own.astype(np.float64))
        said: dict[str, Any] = {"blend": own, "sizes": sizes, "changed": changed[None]}
        said |= {"alike": len(blend) == 1, "pastes": self.mode == "hard"}
        return PatchUpParams.of(draw, lam, loss_weight=self.loss_weight, **said)

    def act(self, x: Tensor, params: PatchUpParams) -> Tensor:
        """Return the features with blocks replaced by the partner's, or blended with them."""
        self._check_decision(x, params)
        changed = self.layout_of(x.shape).from_channels_first(params.changed)
        if params.pastes:
            return torch.where(changed, x.index_select(0, params.partner), x)
        own = upcast(x)
        blend = params.blend.to(own.dtype).view(-1, *[1] * (x.ndim - 1))
        return torch.where(changed, blend * own + (1 - blend) * own.index_select(0, params.partner), own)

    def rows(self, x: Tensor, params: PatchUpParams, kernels: RowKernels, taker: Tensor | None) -> Rows | None:
        """Return the rows by a fast path."""
        self._check_decision(x, params)
        share = params.changed
        if not params.pastes:
            blend = params.blend[:1] if params.alike else params.blend
            share = share * (1 - blend.to(upcast(x[:0]).dtype)).view(-1, *[1] * (share.ndim - 1))
        return kernels.select(x, params.partner, self.layout_of(x.shape).from_channels_first(share), taker)

    def _check_decision(self, x: Tensor, params: PatchUpParams) -> None:
        lay = self.layout_of(x.shape)
        decided_sizes(self._who, params.sizes, lay.spatial_shape(x.shape), "blocks")
        if params.changed.shape[1] != x.shape[lay.channel]:
            expected = f"blocks drawn for {x.shape[lay.channel]} channels"
            raise FeatmixError(self._who, "params", expected=expected, got=str(params.changed.shape[1]))
        if not params.pastes and not x.is_floating_point():
            raise FeatmixError(self._who, "params", expected=f"blocks to paste into {x.dtype}", got="blocks to blend")

    def partner_share(self, params: PatchUpParams, sizes: Sequence[int]) -> Tensor:
        """Return 1 inside the blocks, or what the blend leaves to the partner."""
        if params.pastes:
            return params.changed
        return params.changed * (1 - params.blend.view(-1, *[1] * (params.changed.ndim - 1)))

    def oracle(self, x: NDArray[np.float64], params: PatchUpParams) -> NDArray[np.float64]:
        """Return the result, computed one sample after the other."""
        y = x.copy()
        blocks = np.moveaxis(params.changed[0].numpy(), 0, self.layout_of(x.shape).channel - 1)
        for i, j in enumerate(params.partner.tolist()):
            if params.active[i]:
                own = float(params.blend[i])
                y[i][blocks] = own * x[i][blocks] + (1 - own) * x[j][blocks]
        return y
