"""What a strategy is: the base class that leaves a newcomer two short methods to write."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from featmix.errors import FeatmixError
from featmix.labels.dense import blended_map
from featmix.labels.mixture import Mixture
from featmix.labels.stacking import parts
from featmix.layouts import checked_mask
from featmix.sampling import draws as sampling
from featmix.sampling.words import Partner, Per
from featmix.schedule import Schedule
from featmix.strategies.params import Params
from featmix.strategies.settings import Settings
from featmix.strategies.shapes import Shapes
from featmix.strategies.tags import Tags


class CommonSettings(TypedDict, total=False):
    """The settings that every strategy passes on to :class:`Strategy`, which documents them."""

    per: Per
    partner: Partner
    layout: str | None
    num_prefix_tokens: int
    num_classes: int | None


class Strategy(Settings, Shapes, nn.Module):
    """Base class of all strategies: decides with :meth:`make_params`, acts with :meth:`transform`.

    A subclass sets ``tags``, writes :meth:`decide` and :meth:`act`, and gives an :meth:`oracle` for the tests. Checks,
    gating, casting, memory format, padding and prefix tokens are done here, once for all: a subclass sees neither idle rows
    nor prefix tokens.

    Args:
        p: Probability that a batch (or a row) is mixed; a number or a :class:`~featmix.schedule.Schedule`.
        per: Whether ``p`` gates the whole ``batch`` or each ``sample``.
        partner: ``derangement``, ``permutation`` (the papers' ``randperm``) or ``crossdomain``.
        layout: Names the axes of ``x``; ``None`` goes by their number.
        num_prefix_tokens: Positions at the front that are left alone: 1 for a class token. Tokens and sequences have them.
        num_classes: For class indices in ``strategy(x, target)``.

    Attributes:
        progress: How far training is, in [0, 1], for settings that are schedules; an attached mixer says it instead.
        inplace: Whether the batch itself becomes the result; a setting of those strategies that offer it.
    """

    name: ClassVar[str] = ""
    tags: ClassVar[Tags] = Tags(mixes_labels=False, paper="")

    def __init__(
        self,
        *,
        p: float | Schedule = 1.0,
        per: Per = "batch",
        partner: Partner = "derangement",
        layout: str | None = None,
        num_prefix_tokens: int = 0,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.p = self._scheduled("p", p, 0, 1)
        self.per = self._one_of("per", per, get_args(Per))
        self.partner = self._one_of("partner", partner, sampling.PARTNERS)
        self._set_layout(layout, num_prefix_tokens)
        self.progress = 0.0
        self.inplace = False
        self.num_classes = None if num_classes is None else self._whole("num_classes", num_classes, least=1)

    # -- what a subclass writes ------------------------------------------------------------------------------------

    def decide(self, shape: Sequence[int], partner: Tensor, active: Tensor, generator: Generator | None) -> Params:
        """Draw what is this strategy's own and say what the labels become. ``shape`` is ``(B,)`` where no more is known."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it decides")

    def act(self, x: Tensor, params: Params) -> Tensor:
        """Mix. Rows that are not active have themselves for a partner here, and their result is thrown away."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it acts")

    def oracle(self, x: NDArray[np.float64], params: Params) -> NDArray[np.float64]:
        """The same in plain NumPy, one sample after the other: what tests compare :meth:`transform` with."""
        raise NotImplementedError(f"{type(self).__name__} has no oracle")

    @property
    def self_is_identity(self) -> bool:
        """Whether a row that is its own partner comes out as it went in, within rounding."""
        return True

    @property
    def exact_gradient(self) -> bool:
        """Whether backward differentiates the function that it is, but for moments that are detached."""
        return not self.tags.stops_gradient

    def passes_through(self, shape: Sequence[int]) -> bool:
        """Whether features of this shape come out as they went in, and keep their label, whatever is drawn."""
        return False

    def for_site(self, site: str) -> Strategy:
        """What stands for this strategy at a site of :meth:`featmix.OneOf.over`: itself, unless it was published otherwise."""
        return self

    def partner_share(self, params: Params, sizes: Sequence[int]) -> Tensor | None:
        """How much of the result is the partner's, at each position, where the strategy mixes what is there.

        Args:
            params: From :meth:`make_params`.
            sizes: The sizes of the position axes.

        Returns:
            Broadcastable to ``(B, C, *sizes)``: bool where the partner's values replace one's own, shares in [0, 1] where they
            blend, for active rows; ``None`` for strategies that mix something else than values.
        """
        return None

    @property
    def takes_masks(self) -> bool:
        """Whether it can be told of padding: label shares of real content need :meth:`partner_share`."""
        shares_content = self.tags.mixes_labels and not self.tags.moments
        return self.tags.masks and not (shares_content and type(self).partner_share is Strategy.partner_share)

    def partner_map(self, maps: Tensor, params: Params) -> Tensor:
        """What would be the partner's at each position of maps ``(B, K, *positions)``, of any resolution."""
        return maps.index_select(0, params.partner)

    def grid_of(self, params: Params) -> tuple[int, ...] | None:
        """The sizes of the positions that a decision is about, where the strategy says what it does at each of them."""
        told = self.tags.spatial and type(self).partner_share is not Strategy.partner_share
        return vars(params).get("sizes") if told else None

    def parts(self, shares: Tensor, params: Params) -> list[tuple[Tensor, Tensor]]:
        """What each position is made of after this decision, for labels: see :func:`featmix.labels.stacking.parts`."""
        return parts(self, shares, params)

    def reach(self, params: Params, mask: Tensor) -> Tensor:
        """Which positions may change under a padding mask, ``(B, *positions)`` bool: those real in both samples."""
        return mask & mask.index_select(0, params.partner)

    def can_mix(self, mask: Tensor, partner: Tensor, shape: Sequence[int]) -> Tensor:
        """Which rows can be mixed at all under a padding mask, ``(B,)`` bool; the others keep features and label."""
        return (mask & mask.index_select(0, partner)).flatten(1).any(1)

    def real_part(self, body: Tensor, mask: Tensor) -> Tensor:
        """Features with zeros in their padding, so that what lies there reaches neither results nor gradients."""
        return torch.where(self.layout_of(body.shape).spread(mask), body, 0)

    # -- what everybody calls --------------------------------------------------------------------------------------

    def make_params(
        self,
        shape: Sequence[int],
        *,
        generator: Generator | None = None,
        target: Tensor | None = None,
        domain: Tensor | None = None,
        partner: Tensor | None = None,
        mask: Tensor | None = None,
        progress: float | None = None,
        device: torch.device | str | None = None,
    ) -> Params:
        """Make every random decision of one step.

        Args:
            shape: Shape of the tensor to be mixed; ``(B,)`` where only the batch is known, which strategies that
                need the shape refuse.
            generator: Source of randomness; ``None`` is torch's default one.
            target: Labels ``(B, ...)``, for strategies that choose partners by label.
            domain: ``(B,)`` integer domain labels, for ``partner="crossdomain"``.
            partner: ``(B,)`` partners already drawn elsewhere (see ``share_partner``).
            mask: ``(B, *positions)`` bool, False where there is padding, prefix tokens included. Padding comes back as it is,
                moments count real positions only, and label shares are shares of a sample's real positions.
            progress: How far training is, in [0, 1], for settings that are schedules; ``None`` takes the attribute.
            device: Where the decision is to live; ``None`` leaves it where it was drawn.

        Raises:
            FeatmixError: If the shape does not fit the layout, or a label, domain, partner or mask does not fit the batch.
        """
        shape = self._checked_shape(shape)
        batch = shape[0]
        for argument, value in (("target", target), ("domain", domain), ("partner", partner)):
            if value is not None and (not isinstance(value, Tensor) or value.ndim == 0 or len(value) != batch):
                got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise FeatmixError(self._who, argument, expected=f"a tensor of {batch} rows", got=got)
        if domain is not None and domain.ndim != 1:
            raise FeatmixError(self._who, "domain", expected="one label a row", got=f"shape {tuple(domain.shape)}")
        if generator is not None and not isinstance(generator, Generator):
            raise FeatmixError(self._who, "generator", expected="a torch.Generator", got=repr(generator))
        if partner is not None:
            self._check_partner(partner, batch)
        now = self.at(self.progress if progress is None else progress)
        if partner is None and self.tags.partnered:
            partner = sampling.partners(batch, self.partner, domain=domain, generator=generator)
        active = sampling.gate(batch, now.p, per=self.per, generator=generator)
        if partner is None or not self.tags.partnered:  # partners that are shared in a tree are no concern of these either
            partner = torch.arange(batch, device=active.device)
        body = self.body_shape(shape)
        if mask is not None:
            mask = self._body_mask(mask, shape).to(partner.device)
            active = active & self.can_mix(mask, partner, body)
        params = now.decide(body, partner, active, generator)
        if mask is not None:
            params = self._with_mask(params, mask)
        return params if device is None else params.to(device)

    def recall(self, params: Params, shape: Sequence[int], target: Tensor | None, generator: Generator | None) -> Params:
        """A decision for training once more, in view of batches seen before; for strategies that remember any.

        Args:
            params: From :meth:`make_params`, which knows of no other batch.
            shape: Of the features, or ``(B,)``.
            target: Their labels.
            generator: Source of randomness.
        """
        return params

    def remember(self, x: Tensor, params: Params) -> None:
        """Keep of these features what later decisions need: called once in each training forward, before :meth:`transform`."""

    def history(self) -> dict[str, Any]:
        """What later decisions depend on besides randomness, for checkpoints."""
        return {}

    def load_history(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`history` was taken."""

    def dense_targets(self, target_map: Tensor, params: Params) -> Tensor:
        """Label maps for the mixed batch: what a position of the features was taken from, its label is taken from too.

        Args:
            target_map: Class indices ``(B, *positions)`` of an integer dtype, or ``(B, K, *positions)`` of any dtype, of the
                features' resolution or another: boxes and masks are then taken to it by nearest neighbour.
            params: The decision that the features were mixed by.

        Returns:
            A map of the same shape and dtype; the very same where the strategy leaves labels alone.

        Raises:
            FeatmixError: If the strategy mixes labels without saying where, or the map does not fit.
        """
        if not self.tags.mixes_labels:
            return target_map
        if not self.tags.spatial:
            raise FeatmixError(
                self._who,
                "dense_targets",
                expected="a strategy that says which position comes from where, such as cutmix",
                got="one whose label shares have no place",
                fix="For label maps use spatial strategies, or those that leave labels alone.",
            )
        return blended_map(self, target_map, params)

    def transform(self, x: Tensor, params: Params, mask: Tensor | None = None) -> Tensor:
        """Apply a decision: pure, deterministic, differentiable; no randomness and no state.

        Args:
            x: ``(B, ...)``; half types are computed in float32 and cast once at the end.
            params: From :meth:`make_params`, for a batch of this size.
            mask: Padding, as for :meth:`make_params`, for a decision that was made without; labels then do not know of it.

        Returns:
            A new tensor of the shape, dtype, device and memory format of ``x``; ``x`` itself, changed, with ``inplace=True``.

        Raises:
            FeatmixError: If ``x`` has the wrong dtype, number of axes or batch size.
        """
        self._check_input(x)
        if not isinstance(params, Params):
            raise FeatmixError(self._who, "params", expected="what make_params gives", got=type(params).__name__)
        if params.partner.device != x.device:
            params = params.to(x.device)
        if params.partner.shape[0] != x.shape[0]:
            raise FeatmixError(
                self._who,
                "params",
                expected=f"a decision for the {x.shape[0]} rows of x",
                got=f"one for {params.partner.shape[0]} rows",
                fix="Draw for the batch that goes through the model; under data parallelism each rank draws for its own.",
            )
        if mask is not None:
            params = dataclasses.replace(params, mask=self._body_mask(mask, x.shape).to(x.device))
        body = self.body_of(x)
        if params.mask is not None and mask is None:
            checked_mask(params.mask, self.layout_of(body.shape), body.shape, self._who)
        params = params.tied()
        y = self.gated(body if params.mask is None else self.real_part(body, params.mask), params)
        if params.mask is not None:
            y = torch.where(self.layout_of(body.shape).spread(self.reach(params, params.mask)), y, body)
        y = _in_format_of(x, self.with_prefix_of(x, y))
        return x.copy_(y) if self.inplace and y is not x else y

    def forward(
        self,
        x: Tensor,
        target: Tensor | None = None,
        *,
        num_classes: int | None = None,
        domain: Tensor | None = None,
        mask: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Draw and apply in training mode, identity in eval mode.

        Args:
            x: ``(B, ...)``.
            target: Class indices, one-hot, soft, multi-label or regression targets; see :meth:`Mixture.dense`.
            num_classes: For class indices, unless given to the constructor.
            domain: ``(B,)`` domain labels, for ``partner="crossdomain"``.
            mask: Padding, as for :meth:`make_params`.
            generator: Source of randomness.

        Returns:
            ``y``, or ``(y, soft targets)`` where a target is given.
        """
        self._check_input(x)
        if self.training:
            params = self.make_params(x.shape, generator=generator, target=target, domain=domain, mask=mask, device=x.device)
            params = self.recall(params, x.shape, target, generator).to(x.device)
            self.remember(x, params)
            y, mixture = self.transform(x, params), params.mixture
        else:
            y, mixture = x, Mixture.identity(len(x), x.device)
        if target is None:
            return y
        return y, mixture.to(target.device).dense(target, num_classes if num_classes is not None else self.num_classes)

    def gated(self, x: Tensor, params: Params) -> Tensor:
        """:meth:`act` where rows are active, ``x`` elsewhere, in the dtype of ``x``; for strategies with a faster way."""
        active = params.active.view(-1, *[1] * (x.ndim - 1))
        return torch.where(active, self.act(x, params).to(x.dtype), x)

    def _check_partner(self, partner: Tensor, batch: int) -> None:
        fits = partner.ndim == 1 and partner.dtype == torch.int64
        if not fits or (batch and not 0 <= int(partner.min()) <= int(partner.max()) < batch):
            expected = f"int64 rows of a batch of {batch}, one for each"
            raise FeatmixError(self._who, "partner", expected=expected, got=f"{partner.dtype} {partner.tolist()}")

    def _with_mask(self, params: Params, mask: Tensor) -> Params:
        """The decision with its mask, and label shares that count real positions only."""
        params = dataclasses.replace(params, mask=mask)
        share = self.partner_share(params, mask.shape[1:]) if self.tags.mixes_labels else None
        if share is None:
            return params
        taken = (share.double() * self.reach(params, mask).unsqueeze(1)).mean(1).flatten(1).sum(1)
        own = 1 - taken / mask.flatten(1).sum(1).clamp(min=1)
        pair = Mixture.pair(params.partner, torch.where(params.active, own, 1.0))
        return dataclasses.replace(params, mixture=dataclasses.replace(pair, scale=params.mixture.scale))


def _in_format_of(x: Tensor, y: Tensor) -> Tensor:
    channels_last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim)
    if x.is_contiguous():
        return y.contiguous()
    if channels_last is not None and x.is_contiguous(memory_format=channels_last):
        return y.contiguous(memory_format=channels_last)
    return y
