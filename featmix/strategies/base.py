"""The base class of all strategies: a newcomer writes two short methods, everything else is done here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypedDict, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from featmix.across.link import Across, linked
from featmix.errors import FeatmixError
from featmix.labels.mixture import Mixture
from featmix.layouts import CHANNELS_LAST, checked_mask
from featmix.layouts import layout as layout_named
from featmix.sampling import draws
from featmix.sampling.words import Partner, Per
from featmix.schedule import Schedule, checked_progress
from featmix.strategies.among import AmongRanks
from featmix.strategies.axes import Axes
from featmix.strategies.border import (
    Chosen,
    Partners,
    check_classes_known,
    check_generator,
    check_params,
    check_rows,
    own_partners,
    own_rows,
)
from featmix.strategies.configured import Configured
from featmix.strategies.labelled import Labelled
from featmix.strategies.noticing import Noticing
from featmix.strategies.params import Draw, P, Params, decisions_to
from featmix.strategies.restoring import check_state
from featmix.strategies.settings import explained
from featmix.strategies.shaped import Shaped
from featmix.strategies.tags import Tags
from featmix.strategies.traits import Traits
from featmix.support.calling import acts
from featmix.support.compiling import never_traced


class CommonSettings(TypedDict, total=False):
    """The settings that every strategy passes on to :class:`Strategy`, which documents them."""

    per: Per
    partner: Partner
    layout: str | None
    num_prefix_tokens: int | None
    num_classes: int | None


class Strategy(Configured, Shaped, Traits[P], Labelled[P], Noticing, AmongRanks, nn.Module, Generic[P]):
    """Base class of all strategies: decides with ``make_params``, acts with :meth:`transform`.

    A subclass sets ``tags``, writes :meth:`decide` and ``act``, and gives an :meth:`oracle` for the tests. Checks,
    gates, casts, memory format, padding and prefix tokens are handled here: a subclass sees neither rows that are not mixed
    nor prefix tokens. One whose decision has more fields than :class:`~featmix.Params` derives from
    ``Strategy[ItsParams]``. Strategies that mix the values at positions derive from
    :class:`~featmix.strategies.content.ContentStrategy`, those that change moments from
    :class:`~featmix.strategies.moments.MomentStrategy`.

    Args:
        p: Probability that a batch (or a row) is mixed; a number or a :class:`~featmix.schedule.Schedule`.
        per: Whether ``p`` gates the whole ``batch`` or each ``sample``.
        partner: ``derangement``, ``permutation`` (the papers' ``randperm``) or ``crossdomain``.
        layout: Names the axes of ``x``; ``None`` decides by their number.
        num_prefix_tokens: Positions at the front that are left alone, in tokens and sequences: 1 for a class token. ``None``
            is 0, or in an attached model the number that the model tells.
        num_classes: For class indices in ``strategy(x, target)``.
        across: With which ranks partners are shared, of strategies that need of them their moments alone: ``True`` for all, and
            where these are very many those of one node, ``"all"``, ``"node"``, a process group, or a ``DeviceMesh`` of one
            dimension. ``False`` decides for this rank's batch alone.

    Attributes:
        tags: What is known about the strategy without running it.
        inplace: Whether the result is written into the batch; a setting of some strategies.
    """

    name: ClassVar[str] = ""
    params_class: ClassVar[type[Params]] = Params
    tags: Tags = Tags(mixes_labels=False, paper="")

    @explained
    def __init__(
        self,
        *,
        p: float | Schedule = 1.0,
        per: Per = "batch",
        partner: Partner = "derangement",
        layout: str | None = None,
        num_prefix_tokens: int | None = None,
        num_classes: int | None = None,
        across: Across = False,
    ) -> None:
        super().__init__()
        self.p = self._scheduled("p", p, 0, 1)
        self.per = self._one_of("per", per, draws.PER)
        self.partner = self._one_of("partner", partner, draws.PARTNERS)
        self.num_prefix_tokens = (
            None if num_prefix_tokens is None else self._whole("num_prefix_tokens", num_prefix_tokens, least=0)
        )
        if layout is not None:
            layout_named(layout)
        self._axes = Axes(self._who, layout, self.num_prefix_tokens or 0)
        self.inplace = False
        self.num_classes = None if num_classes is None else self._whole("num_classes", num_classes, least=1)
        self.across = across

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Read off the base class which decisions the strategy takes: ``Strategy[ItsParams]``."""
        super().__init_subclass__(**keywords)
        for base in vars(cls).get("__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, Params):
                    cls.params_class = argument
        own = vars(cls)
        if "__init__" in own:
            cls.__init__ = explained(cls.__init__)  # type: ignore[method-assign]
        if "act" in own and "gated" not in own and "rows" not in own:  # a base class's faster way does not know of this act
            cls.gated = Strategy.gated  # type: ignore[method-assign]

    # -- what a subclass writes ------------------------------------------------------------------------------------

    def decide(self, shape: Sequence[int], draw: Draw) -> P:
        """Draw what is the strategy's own and return the decision: ``Params.of(draw, lam)``.

        Args:
            shape: Of the features without prefix tokens; ``(B,)`` where no more is known.
            draw: Partners, gates and the stream of random numbers.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it decides")

    def act(self, x: Tensor, params: P) -> Tensor:
        """Return the mixed features. Rows that are not active are their own partners here, and their result is not used."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it acts")

    def oracle(self, x: NDArray[np.float64], params: P) -> NDArray[np.float64]:
        """Return the same in plain NumPy, one sample after the other: what tests compare :meth:`transform` with."""
        raise NotImplementedError(f"{type(self).__name__} has no oracle")

    def at_input(self) -> Strategy:
        """Return the strategy that takes this one's place at the model's own input, in :meth:`featmix.OneOf.over`."""
        return self

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a state, all of it, or where a part is refused, nothing.

        Args:
            state_dict: From ``state_dict`` of such a strategy.
            strict: Whether all of its entries must be there, and no others.
            assign: As in ``torch.nn.Module``.

        Raises:
            FeatmixError: If it does not fit; the strategy is then what it was.
        """
        check_state(self._who, self, state_dict, strict=strict)
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    # -- what everybody calls --------------------------------------------------------------------------------------

    @never_traced
    def make_params(
        self,
        shape: Sequence[int],
        *,
        generator: Generator | None = None,
        target: Tensor | None = None,
        domain: Tensor | None = None,
        partner: Partners | None = None,
        rows: Chosen | None = None,
        mask: Tensor | None = None,
        progress: float | None = None,
        device: torch.device | str | None = None,
    ) -> P:
        """Make every random decision of one step, on the host.

        Args:
            shape: Shape of the tensor to be mixed; ``(B,)`` where only the batch is known, which strategies that
                need the shape refuse.
            generator: Source of randomness: one number of it seeds the decision. ``None`` is torch's default generator.
            target: Labels ``(B, ...)``, for strategies that choose partners by label.
            domain: ``(B,)`` integer domain labels, for ``partner="crossdomain"``.
            partner: ``(B,)`` int64, the partners to use in place of drawn ones.
            rows: ``(B,)`` bool, False for rows that are not to be mixed; others may still take from them.
            mask: ``(B, *positions)`` bool, False where there is padding, prefix tokens included. Padding comes back as it is,
                moments count real positions only, and label weights are shares of a sample's real positions.
            progress: How far training is, in [0, 1], for settings that are schedules; ``None`` takes the attribute.
            device: Where the decision is to live; ``None`` leaves it on the host.

        Raises:
            FeatmixError: If the shape does not fit the layout, or a label, domain, partner or mask does not fit the batch.
        """
        check_generator(self._who, generator)
        shape = self.checked_shape(shape)
        check_rows(self._who, shape[0], target=target, domain=domain)
        own, only = own_partners(self._who, shape[0], partner), own_rows(self._who, shape[0], rows)
        progress = self.progress if progress is None else checked_progress(self._who, progress)
        if self.across is not False and (link := linked(self._who, self.across)):
            given = {"target": target, "domain": domain, "partner": own, "rows": only, "mask": mask}
            among: P = self._drawn_with(link, shape, generator, progress, given)
            return among if device is None else among.to(device)
        with draws.borrowed(generator) as random:
            params = self.drawn(shape, random, domain=domain, partner=own, rows=only, mask=mask, progress=progress)
        return params if device is None else params.to(device)

    @never_traced
    def training_params(
        self,
        shape: Sequence[int],
        *,
        generator: Generator | None = None,
        target: Tensor | None = None,
        domain: Tensor | None = None,
        partner: Partners | None = None,
        rows: Chosen | None = None,
        mask: Tensor | None = None,
    ) -> P:
        """Make the decision of a training step: ``make_params``, in view of what the strategy remembers."""
        check_generator(self._who, generator)
        shape = self.checked_shape(shape)
        check_rows(self._who, shape[0], target=target, domain=domain)
        own, only = own_partners(self._who, shape[0], partner), own_rows(self._who, shape[0], rows)
        self.check_partners(self._who, own)
        if self.across is not False and (link := linked(self._who, self.across)):
            given = {"target": target, "domain": domain, "partner": own, "rows": only, "mask": mask}
            among: P = self._drawn_with(link, shape, generator, self.progress, given)
            return among
        with draws.borrowed(generator) as random:
            params = self.drawn(shape, random, domain=domain, partner=own, rows=only, mask=mask)
            return self.recall(params, shape, target, random)

    def check_partners(self, who: str, partner: Tensor | None) -> None:
        """Check that given partners would be used, and not samples remembered from other batches.

        Raises:
            FeatmixError: If the strategy has a memory.
        """
        if partner is not None and self.tags.partnered and self.remembers:
            expected, got = "None, for a strategy with memory=", "partners of this batch"
            raise FeatmixError(who, "partner", expected=expected, got=got, fix=f"{self._who} draws them from its memory.")

    def drawn(
        self,
        shape: Sequence[int],
        random: draws.Stream,
        *,
        domain: Tensor | None = None,
        partner: Tensor | None = None,
        rows: Tensor | None = None,
        mask: Tensor | None = None,
        progress: float | None = None,
    ) -> P:
        """Make every random decision of one step from a stream; arguments as in ``make_params``, checked already."""
        batch, body = shape[0], self.body_shape(shape)
        now = self.at(self.progress if progress is None else progress)
        chosen = self._partners(batch, random, domain, partner)
        active = draws.gate(random, batch, now.p, per=self.per)
        if rows is not None:
            active &= rows.numpy()
        real = None
        if mask is not None:
            real = self._body_mask(mask, shape).cpu()
            active &= self.can_mix(real, torch.from_numpy(chosen.copy()), body).numpy()
        if self.passes_through(body):
            active[:] = False
        draw = Draw(np.where(active, chosen, draws.rows(batch)), active, random, self.tags.mixes_labels)
        params = now.decide(body, draw)
        return params if real is None else self.with_mask(params, real)

    def _partners(self, batch: int, random: draws.Stream, domain: Tensor | None, partner: Tensor | None) -> draws.Rows:
        if not self.tags.partnered:  # partners that are shared in a tree do not concern it
            return draws.rows(batch)
        if partner is not None:
            return partner.cpu().numpy()
        labels = None if domain is None else domain.cpu().numpy()
        return draws.partners(random, batch, self.partner, domain=labels)

    def transform(self, x: Tensor, params: P, mask: Tensor | None = None) -> Tensor:
        """Apply a decision: pure, deterministic, differentiable; no randomness and no state.

        Args:
            x: ``(B, ...)``; half types are computed in float32 and cast once at the end.
            params: From ``make_params``, for a batch of this size.
            mask: Padding, as for ``make_params``, for a decision that was made without; labels then do not know of it.

        Returns:
            A new tensor of the shape, dtype, device and memory format of ``x``; ``x`` itself, changed, with ``inplace=True``.

        Raises:
            FeatmixError: If ``x`` has the wrong dtype, number of axes or batch size, or the decision is another strategy's.
        """
        self._check_features(x)
        check_params(self._who, params, self.params_class, x.shape[0])
        if params.partner.device != x.device:
            params = params.to(x.device)
        if mask is not None:
            params = params.replaced(mask=self._body_mask(mask, x.shape).to(x.device))
        params, body = params.tied(), self.body_of(x)
        if params.mask is None:
            y = self.gated(body, params)
        else:
            lay = self.layout_of(body.shape)
            checked_mask(params.mask, lay, body.shape, self._who)
            real = torch.where(lay.spread(params.mask), body, 0)  # padding reaches nothing, not even a gradient
            y = self.gated(real, params)
            y = torch.where(lay.spread(self.reach(params, params.mask)), y, body)
        y = _in_format_of(x, self._axes.with_prefix_of(x, y))
        return x.copy_(y) if self.inplace and y is not x else y

    def forward(
        self,
        x: Tensor,
        target: Tensor | None = None,
        *,
        num_classes: int | None = None,
        domain: Tensor | None = None,
        partner: Partners | None = None,
        rows: Chosen | None = None,
        mask: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Draw and apply in training mode, identity in eval mode.

        A container in eval mode that calls it counts too, where its ``eval()`` did not reach it.

        Args:
            x: ``(B, ...)``.
            target: Class indices, one-hot, soft, multi-label or regression targets; see :meth:`Mixture.dense`.
            num_classes: For class indices, unless given to the constructor.
            domain: ``(B,)`` domain labels, for ``partner="crossdomain"``.
            partner: ``(B,)`` int64, the partners to use in place of drawn ones.
            rows: ``(B,)`` bool, False for rows that are not to be mixed.
            mask: Padding, as for ``make_params``.
            generator: Source of randomness.

        Returns:
            ``y``, or ``(y, soft targets)`` where a target is given.
        """
        if isinstance(x, Tensor) and isinstance(target, Tensor) and x.ndim < 2 < target.ndim:
            got, fix = f"shape {tuple(x.shape)}", "The order is strategy(images, target)."
            raise FeatmixError(self._who, "x", expected="a batch of samples", got=got, fix=fix)
        self._check_features(x)
        classes = self.num_classes if num_classes is None else num_classes
        check_classes_known(self._who, target, classes)
        if acts(self):
            given: dict[str, Any] = {"target": target, "domain": domain, "partner": partner, "rows": rows, "mask": mask}
            drawn = self.training_params(x.shape, generator=generator, **given)
            params: P = decisions_to([drawn], x.device, takers=x.requires_grad)[0]
            self._notice_draw()
            if params.rests and self.passes_through(self.body_shape((2, *x.shape[1:]))):
                self._notice_no_effect(x.shape[1:])
            self.remember(x, params)
            y, mixture = self.transform(x, params), params.mixture
        else:
            y, mixture = x, Mixture.identity(len(x), x.device)
        if target is None:
            return y
        return y, self._dense(mixture, target, classes)

    def _dense(self, mixture: Mixture, target: Tensor, num_classes: int | None) -> Tensor:
        """Return soft targets; what is wrong with the labels is refused in the strategy's own name."""
        if torch.compiler.is_compiling():
            return mixture.dense(target, num_classes)
        try:
            return mixture.dense(target, num_classes)
        except FeatmixError as error:
            raise FeatmixError(self._who, error.argument, expected=error.expected, got=error.got, fix=error.fix) from None

    def gated(self, x: Tensor, params: P) -> Tensor:
        """Return ``act`` where rows are active and ``x`` elsewhere, in the dtype of ``x``. Faster ways override this."""
        active = params.active.view(-1, *[1] * (x.ndim - 1))
        return torch.where(active, self.act(x, params).to(x.dtype), x)

    def with_mask(self, params: P, mask: Tensor) -> P:
        """Return a decision that knows of padding."""
        return params.replaced(mask=mask)


def _in_format_of(x: Tensor, y: Tensor) -> Tensor:
    if y.stride() == x.stride():
        return y
    if x.is_contiguous():
        return y.contiguous()
    channels_last = CHANNELS_LAST.get(x.ndim)
    if channels_last is not None and x.is_contiguous(memory_format=channels_last):
        return y.contiguous(memory_format=channels_last)
    return y
