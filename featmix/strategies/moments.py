"""Base of the strategies that change moments: normalize with one's own, restore with other ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any, ClassVar, Self, TypedDict, Unpack

import torch
from torch import Tensor

from featmix.across.link import Across
from featmix.across.wires import Gathering
from featmix.errors import FeatmixError
from featmix.kernels.dispatch import exchange_kernels, moment_kernels
from featmix.kernels.exchange import Blend, exchange
from featmix.kernels.restyle import Task, restyle
from featmix.normalizers.base import Normalizer
from featmix.normalizers.kinds import normalizer
from featmix.normalizers.moments import Moments, upcast
from featmix.normalizers.over import Over
from featmix.sampling.words import Partner, Per
from featmix.schedule import Schedule
from featmix.strategies.across import arrived, begun
from featmix.strategies.axes import Axes
from featmix.strategies.base import Strategy
from featmix.strategies.params import P, Params
from featmix.strategies.settings import no_normalizer


class _Common(TypedDict, total=False):
    per: Per
    partner: Partner
    num_prefix_tokens: int | None
    num_classes: int | None
    across: Across


class MomentSettings(_Common, total=False):
    """The settings that every moment strategy passes on to :class:`MomentStrategy`, which documents them."""

    unbiased: bool
    positive_only: bool
    layout: str | None


class MomentStrategy(Strategy[P]):
    """Replace each sample's moments ``(mean, std)`` by new ones: ``y = x * new_std / std + (new_mean - mean * new_std / std)``.

    A subclass says with :meth:`new_moments` what the new ones are. Where one mean is taken over a single element (1x1 maps
    under ``in``, one channel under ``pono``) there is no style apart from the content, and the row passes through. Parts of
    maps are restyled where :meth:`content` says which, and lend other moments than their own where ``lent_moments`` does.

    Args:
        norm: Name of an intra-instance normalizer, or a :class:`Normalizer`, which then brings its own ``layout``, ``eps``,
            ``unbiased`` and ``positive_only``.
        eps: Added to the variance, inside the root.
        detach: Treat the moments as constants in backward.
        unbiased: Variance over ``n - 1``, as published.
        positive_only: Take the moments from positive entries only; the affine map still reaches every entry.
        p: Probability that a batch (or a row) is mixed.
        layout: Names the axes of ``x``; ``None`` goes by their number.
        common: ``per``, ``partner``, ``num_classes``, ``across``: see :class:`Strategy`.

    Raises:
        FeatmixError: If the normalizer is unknown, has no moments of single samples (``bn``), or a setting is out of range.

    Attributes:
        detach_partner: Whether what a partner lends is a constant in backward; ``detach`` unless a subclass sets it.
    """

    lends_moments: ClassVar[bool] = True

    def __init__(
        self,
        norm: str | Normalizer,
        *,
        eps: float,
        detach: bool,
        p: float | Schedule,
        unbiased: bool = True,
        positive_only: bool = False,
        layout: str | None = None,
        **common: Unpack[_Common],
    ) -> None:
        if not isinstance(norm, str | Normalizer):
            raise no_normalizer(type(self), norm)
        try:
            made = normalizer(norm, layout=layout, eps=eps, unbiased=unbiased, positive_only=positive_only)
        except FeatmixError as error:
            if (error.subject, error.argument) != ("normalizer", "name"):
                raise
            raise FeatmixError(self._who, "norm", expected=error.expected, got=error.got, fix=error.fix) from None
        if layout not in (None, made.layout):
            raise FeatmixError(
                type(self).__name__, "layout", expected=f"the layout of its normalizer, {made.layout!r}", got=repr(layout)
            )
        super().__init__(p=p, layout=made.layout, **common)
        self.detach = self.detach_partner = self._flag("detach", detach)
        self.normalizer = made
        if not made.exchangeable:
            raise FeatmixError(
                self._who,
                "norm",
                expected="an intra-instance normalizer: pono, in, ln, gn<G>, gpono<G>, over:<axes>",
                got=repr(made.name),
                fix="Its moments belong to the whole batch, so the samples of one batch have none of their own to exchange.",
            )

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Send subclasses that take moments from elsewhere, or restyle a part only, by the formula."""
        super().__init_subclass__(**keywords)
        own = set(vars(cls))
        if {"content", "moments_of", "lent_moments"} & own and "gated" not in own:
            cls.gated = Strategy.gated  # type: ignore[method-assign]
        if "new_moments" in own and "blend" not in own:  # what a base class says of its blend does not hold for others
            cls.blend = MomentStrategy.blend  # type: ignore[method-assign]

    def check_across(self) -> None:
        """Check that partners may be on other ranks: not where the class acts in its own way, on rows of this batch."""
        super().check_across()
        if type(self).act is not MomentStrategy.act:
            expected, got = "False, for a class with an act of its own", "ranks, between which only moments travel"
            fix = "Write new_moments in its place."
            raise FeatmixError(self._who, "across", expected=expected, got=got, fix=fix)

    def with_axes(self, axes: Axes) -> Self:
        """Return this strategy, and its normalizer, for features whose axes are known from elsewhere."""
        return self._seen_with(_axes=axes, normalizer=replace(self.normalizer, layout=axes.layout))

    @property
    def norm(self) -> str:
        """Name of the normalizer."""
        return self.normalizer.name

    @property
    def eps(self) -> float:
        """Added to the variance, inside the root."""
        return self.normalizer.eps

    @property
    def unbiased(self) -> bool:
        """True if the variance is over ``n - 1``."""
        return self.normalizer.unbiased

    @property
    def positive_only(self) -> bool:
        """True if the moments come from positive entries only."""
        return self.normalizer.positive_only

    def new_moments(self, own: Moments, partner: Moments, params: P) -> Moments:
        """Return the new moments. ``own`` and ``partner`` are broadcastable to the normalizer's view, float32 or float64."""
        raise NotImplementedError(f"{type(self).__name__} does not say which moments it gives")

    @property
    def exact_gradient(self) -> bool:
        """That of the function of the features and of those moments that are not detached."""
        return True

    @property
    def takes_masks(self) -> bool:
        """True if it takes padding masks: its label weights do not depend on how much is real."""
        return self.tags.masks

    def passes_through(self, shape: Sequence[int]) -> bool:
        """Return True if a mean would be over a single element, so that there is no style to change; False for ``(B,)``."""
        return len(shape) > 1 and self.normalizer.group_size(shape) == 1

    def reach(self, params: P, mask: Tensor) -> Tensor:
        """Return all real positions if moments are taken over all positions, else those that are real in both samples.

        Where moments are taken over some of the position axes, those are reached that both samples have a mean for.
        """
        norm = self.normalizer
        if norm.over_positions:
            return mask
        if not isinstance(norm, Over) or not norm.partly_over_positions:
            return super().reach(params, mask)
        known = norm.real_positions(mask) > int("c" not in norm.axes)  # a single element has no style apart from content
        return mask & known & known.index_select(0, params.partner)

    def can_mix(self, mask: Tensor, partner: Tensor, shape: Sequence[int]) -> Tensor:
        """Return rows that have moments apart from their content, and whose partners have."""
        norm = self.normalizer
        if not norm.over_positions and isinstance(norm, Over) and norm.partly_over_positions:
            return self._can_mix_partly(norm, mask, partner, shape)
        if not norm.over_positions:
            return super().can_mix(mask, partner, shape)
        enough = mask.flatten(1).sum(1) * self.elements_a_position(shape) > 1
        return enough & enough.index_select(0, partner)

    def _can_mix_partly(self, norm: Over, mask: Tensor, partner: Tensor, shape: Sequence[int]) -> Tensor:
        count = norm.real_positions(mask)
        known = count > int("c" not in norm.axes)
        able = (mask & known & known.index_select(0, partner)).flatten(1).any(1)
        if "c" in norm.axes and (len(shape) == 1 or shape[self.layout_of(shape).channel] == 1):
            able &= ~((count == 1).flatten(1).any(1) | (count == 1).flatten(1).any(1).index_select(0, partner))
        return able

    def elements_a_position(self, shape: Sequence[int]) -> int:
        """Return how many of the elements of one mean lie at one position; 1 for ``(B,)``."""
        if len(shape) < 2 or not self.normalizer.over_positions:
            return 1
        return self.normalizer.group_size(shape) // max(prod(self.layout_of(shape).spatial_shape(shape)), 1)

    def gated(self, x: Tensor, params: P) -> Tensor:
        """Return the mixed features by the fast path where there is one for this tensor, by the formula elsewhere."""
        plain = self.normalizer.is_plain and not self.positive_only
        if not plain or params.mask is not None or self.passes_through(_batch(x, params)):
            return super().gated(x, params)
        chosen = self.blend(params) if params.link is None else None
        norm = self.normalizer
        named = norm.reduced(x.shape) if isinstance(norm, Over) else None  # they may lie anywhere among the others
        if chosen is not None and (ways := exchange_kernels(x, named)):
            taker = params.taker if ways.BY_TAKER else None
            return _shaped(exchange(self.normalizer.view(x), self._blend(x, params, taker, *chosen), ways), x)
        if chosen is None and (kernels := moment_kernels(x, named)):
            reduced, alone = self.normalizer.reduced(x.shape), params.link is None
            task = Task(kernels, params.active, reduced, self.eps, self.unbiased, alone)
            y = restyle(self.normalizer.view(x), task, lambda own: self._new(own, own, params), detach=self.detach)
            return _shaped(y, x)
        return super().gated(x, params)

    def blend(self, params: P) -> tuple[Tensor | None, float] | None:
        """Return how new moments are blended from a row's own and its partner's, for the fast path that knows nothing else.

        Returns:
            ``(lam, outside)``: a row's own share of the new moments ``(B,)``, or ``None`` where it keeps nothing of its own;
            and what is added to its standard deviation where that is divided by, 0 as a rule. ``None`` where
            :meth:`new_moments` does something else. A subclass that changes :meth:`new_moments` or ``lent_moments`` has
            to say so anew.
        """
        return None

    def _blend(self, x: Tensor, params: P, taker: Tensor | None, lam: Tensor | None, outside: float) -> Blend:
        return Blend(
            params.partner,
            taker,
            lam,
            self.normalizer.reduced(x.shape),
            self.eps,
            self.unbiased,
            self.detach,
            self.detach_partner,
            outside,
        )

    def content(self, params: P) -> Tensor | None:
        """Return the positions that are restyled, by moments of their own: ``(B, *positions)`` bool, or ``None`` for all."""
        return params.mask

    def moments_of(self, x: Tensor, params: P) -> Moments:
        """Return the moments that the new ones replace: those of each row's content."""
        return self._moments(x, self.content(params))

    def lent_moments(self, x: Tensor, params: P, own: Moments) -> Moments:
        """Return the moments that each row lends to rows that take from it: its own, unless a subclass says otherwise."""
        return own

    def act(self, x: Tensor, params: P) -> Tensor:
        """Return the features restored with the new moments."""
        if self.passes_through(_batch(x, params)):
            return x
        features = x.detach() if self.detach else x
        own = self.moments_of(features, params)
        lent = self.lent_moments(features, params, own)
        away = self._sent(lent, params)
        apart = upcast(self.normalizer.view(x)) - own.mean  # while moments travel
        new = self._new_moments(own, lent, params) if away is None else self._new_across(own, away, params)
        y = _shaped(torch.addcmul(new.mean, apart, new.std / own.std), x)
        content = self.content(params)
        return y if content is params.mask or content is None else torch.where(self.layout_of(x.shape).spread(content), y, x)

    def _moments(self, x: Tensor, positions: Tensor | None) -> Moments:
        return self.normalizer.moments(x) if positions is None else self.normalizer.moments(x, positions)

    def _new(self, own: Moments, lent: Moments, params: P) -> Moments:
        away = self._sent(lent, params)
        return self._new_moments(own, lent, params) if away is None else self._new_across(own, away, params)

    def _new_moments(self, own: Moments, lent: Moments, params: P) -> Moments:
        partner = lent.take(params.partner)
        return self.new_moments(own, partner.detach() if self.detach_partner else partner, params)

    def _sent(self, lent: Moments, params: P) -> Gathering | None:
        """Send what rows lend to other ranks, where these decided together."""
        if params.link is None or params.present is None:
            return None
        return begun(lent.detach() if self.detach_partner else lent, params.link, params.present)

    def _new_across(self, own: Moments, away: Gathering, params: P) -> Moments:
        """Return the new moments from what has come of all ranks."""
        return self.new_moments(own, arrived(away).take(params.lender), params)  # type: ignore[arg-type] # it has one


def _batch(x: Tensor, params: Params) -> Sequence[int]:
    """Return the shape of the whole batch that a decision is about: of all ranks, where they decided together."""
    return x.shape if params.present is None else (params.present.numel(), *x.shape[1:])


def _shaped(y: Tensor, x: Tensor) -> Tensor:
    """Return a result in the shape of the features: itself where it has that shape, for a view may not be changed in place."""
    return y if y.shape == x.shape else y.reshape(x.shape)
