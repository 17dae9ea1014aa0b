"""The base class of all strategies: a newcomer writes two short methods, everything else is done here."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, Self, TypedDict, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from typing_extensions import TypeVar

from featmix.across.link import Across, linked
from featmix.checks import Checks
from featmix.errors import FeatmixError
from featmix.labels.composing import LabelStep
from featmix.labels.mixture import Mixture
from featmix.layouts import CHANNELS_LAST, Layout, checked_mask
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
    check_features,
    check_generator,
    check_params,
    check_rows,
    own_partners,
    own_rows,
)
from featmix.strategies.noticing import Noticing
from featmix.strategies.params import Draw, Params, decisions_to
from featmix.strategies.pieces import Piece
from featmix.strategies.restoring import check_state
from featmix.strategies.settings import explained, usual_settings
from featmix.strategies.tags import Tags
from featmix.support.calling import acts
from featmix.support.compiling import never_traced
from featmix.support.signatures import parameters_of

P = TypeVar("P", bound=Params, default=Any)


class CommonSettings(TypedDict, total=False):
    """The settings that every strategy passes on to :class:`Strategy`, which documents them."""

    per: Per
    partner: Partner
    layout: str | None
    num_prefix_tokens: int | None
    num_classes: int | None


class Strategy(Checks, Noticing, AmongRanks, nn.Module, Generic[P]):
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
    _schedules: tuple[str, ...] = ()  # names of the settings that are schedules

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

    # -- what a subclass may say about itself ----------------------------------------------------------------------

    @property
    def self_is_identity(self) -> bool:
        """True if a row that is its own partner comes out as it went in, within rounding."""
        return True

    @property
    def exact_gradient(self) -> bool:
        """True if backward differentiates the function itself, except for moments that are detached."""
        return not self.tags.stops_gradient

    @property
    def needs_grid(self) -> bool:
        """True if positions have to form a grid."""
        return self.tags.spatial

    @property
    def needs_shape(self) -> bool:
        """True if a decision is made for one shape, which has to be known by then."""
        return self.needs_grid

    @property
    def takes_masks(self) -> bool:
        """True if it can be told of padding. Label weights of real content need to know what is mixed where."""
        return self.tags.masks and not self.tags.mixes_labels

    @property
    def strength_beta(self) -> tuple[float, float] | None:
        """The parameters of the Beta distribution that ``lam`` is from, up to a position; ``None`` where it is from none.

        Both are the setting ``alpha``, where there is one; not of a strategy with places, whose shares come out of those.
        """
        alpha = getattr(self, "alpha", None) if "alpha" in self.setting_names() and not self.tags.spatial else None
        if isinstance(alpha, Schedule):
            alpha = alpha(self.progress)
        return None if not isinstance(alpha, int | float) else (float(alpha), float(alpha))

    @property
    def strength_per(self) -> str | None:
        """Whether ``lam`` is one for the ``batch`` or for each ``sample``; the setting ``lam_per``, ``None`` without."""
        said = getattr(self, "lam_per", None)
        return said if said in draws.PER and "lam_per" in self.setting_names() else None

    def passes_through(self, shape: Sequence[int]) -> bool:
        """Return True if features of this shape come out as they went in, with their labels, whatever is drawn."""
        return False

    def at_input(self) -> Strategy:
        """Return the strategy that takes this one's place at the model's own input, in :meth:`featmix.OneOf.over`."""
        return self

    def reach(self, params: P, mask: Tensor) -> Tensor:
        """Return which positions may change under a padding mask, ``(B, *positions)`` bool: those real in both samples."""
        return mask & mask.index_select(0, params.partner)

    def can_mix(self, mask: Tensor, partner: Tensor, shape: Sequence[int]) -> Tensor:
        """Return which rows can be mixed at all under a padding mask, ``(B,)`` bool; others keep features and label."""
        return (mask & mask.index_select(0, partner)).flatten(1).any(1)

    def recall(self, params: P, shape: Sequence[int], target: Tensor | None, random: draws.Stream) -> P:
        """Return a decision in view of batches seen before; for strategies that remember any.

        Args:
            params: From ``make_params``, which knows of no other batch.
            shape: Of the features, or ``(B,)``.
            target: Their labels.
            random: The stream that the decision was drawn from.
        """
        return params

    def remember(self, x: Tensor, params: P) -> None:
        """Keep of these features what later decisions need: called once in each training forward, before :meth:`transform`."""

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

    @property
    def remembers(self) -> bool:
        """True if later decisions need what :meth:`remember` keeps: then it acts on one tensor a step, and keeps it once."""
        ours = type(self).remember.__module__.startswith("featmix.")  # which keeps nothing without a memory
        return getattr(self, "memory", None) is not None or not ours

    # -- labels ----------------------------------------------------------------------------------------------------

    def label_step(self, place: str, params: P) -> LabelStep | None:
        """Return what a decision does to labels, for composing it with others; ``None`` where it leaves them alone."""
        if not self.tags.mixes_labels or not params.acts():
            return None
        return LabelStep(
            place, params.mixture, grid=None, spatial=self.tags.spatial, parts=lambda shares: self.parts(shares, params)
        )

    def parts(self, shares: Tensor, params: P) -> list[tuple[Tensor, Tensor]]:
        """Return what each position is made of after this decision: here as much from everywhere, as the labels are.

        Args:
            shares: ``(B, K, C, *positions)``: how much of each of K samples stands at a position; C is 1 unless channels
                differ.
            params: The decision.

        Returns:
            Pairs ``(rows (B,), shares (B, K, C, *positions))``: so much of what was in these rows is now here.
        """
        columns = zip(params.mixture.index.T, params.mixture.weight.T, strict=True)
        return [(rows, shares[rows] * weight.view(-1, *[1] * (shares.ndim - 1))) for rows, weight in columns]

    def dense_targets(self, target_map: Tensor, params: P) -> Tensor:
        """Return label maps for the mixed batch: a position's label comes from where its features came from.

        Args:
            target_map: Class indices ``(B, *positions)`` of an integer dtype, or ``(B, K, *positions)`` of any dtype, of the
                features' resolution or another: boxes and masks are then taken to it by nearest neighbour.
            params: The decision that the features were mixed by.

        Returns:
            A map of the same shape and dtype; the same tensor where the strategy leaves labels alone.

        Raises:
            FeatmixError: If the strategy mixes labels without saying where, or the map does not fit.
        """
        if not self.tags.mixes_labels:
            return target_map
        raise FeatmixError(
            self._who,
            "dense_targets",
            expected="a strategy that says which position comes from where, such as cutmix",
            got="one whose label shares have no place",
            fix="For label maps use spatial strategies, or those that leave labels alone.",
        )

    def pieces(self, params: P) -> list[Piece] | None:
        """Return what each row is put together of, for boxes and masks of instances that go along.

        Args:
            params: The decision.

        Returns:
            ``None`` where the strategy leaves labels alone: what lies on a sample then stays where it is.

        Raises:
            FeatmixError: If the strategy mixes labels without saying what is seen where.
        """
        if not self.tags.mixes_labels:
            return None
        raise FeatmixError(
            self._who,
            "boxes",
            expected="a strategy that says what is seen where, such as cutmix, mosaic or mixup",
            got="one whose label shares have no place",
            fix="For detection use content strategies, or those that leave labels alone.",
        )

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

    # -- settings --------------------------------------------------------------------------------------------------

    @property
    def layout(self) -> str | None:
        """Name of the layout; ``None`` goes by the number of axes."""
        return self._axes.layout

    @property
    def axes(self) -> Axes:
        """The layout of the features and the number of their prefix tokens."""
        return self._axes

    def with_axes(self, axes: Axes) -> Self:
        """Return this strategy for features whose axes are known from elsewhere; settings and memories stay shared with it."""
        return self._seen_with(_axes=axes)

    def _seen_with(self, **fixed: Any) -> Self:
        """Return an object with the attributes of this one, whatever they become, but for some that are fixed."""
        own: dict[str, Any] = {name: _always(value) for name, value in fixed.items()}
        own["__reduce_ex__"] = lambda _, protocol: (_seen, (self, fixed))  # copies share with the copy of this one
        own["__copy__"] = _shallow
        seen: Self = object.__new__(type(type(self).__name__, (type(self),), {"__module__": type(self).__module__, **own}))
        object.__setattr__(seen, "__dict__", vars(self))
        return seen

    @classmethod
    def setting_names(cls) -> list[str]:
        """Return the constructor's arguments, those passed on to a base class included."""
        names: list[str] = []
        for klass in (k for k in cls.__mro__ if "__init__" in vars(k)):
            parameters = parameters_of(vars(klass)["__init__"])
            names += [p.name for p in parameters if p.name != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
        offered = {"partner": cls.tags.partnered, "across": cls.lends_moments}
        return [name for name in dict.fromkeys(names) if offered.get(name, True)]

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments as they stand: ``create(name, **settings)`` makes the same strategy again."""
        return {name: getattr(self, name) for name in self.setting_names()}

    def setting_choices(self) -> dict[str, tuple[str, ...]]:
        """Return the words that each setting takes which takes one of several: ``{"per": ("batch", "sample"), ...}``."""
        return {name: words for name, words in vars(self)["_choices"].items() if name in self.setting_names()}

    def extra_repr(self) -> str:
        """Return the settings that differ from their defaults, as ``nn.Module`` shows them."""
        usual = usual_settings(type(self))
        return ", ".join(f"{name}={value!r}" for name, value in self.settings().items() if value != usual.get(name, ...))

    def at(self, progress: float) -> Self:
        """Return this strategy with every schedule among its settings replaced by its value; itself where there is none.

        Args:
            progress: How far training is, in [0, 1].

        Raises:
            FeatmixError: If that is no progress.
        """
        if not self._schedules:
            return self
        progress = checked_progress(self._who, progress)
        scheduled = {name: getattr(self, name) for name in self._schedules}
        now = copy.copy(self)
        values = {name: float(value(progress)) for name, value in scheduled.items() if isinstance(value, Schedule)}
        vars(now).update(values, _schedules=())
        return now

    def _scheduled(self, argument: str, value: float | Schedule, low: float, high: float) -> float:
        if isinstance(value, Schedule):
            self._schedules = (*self._schedules, argument)
        return super()._scheduled(argument, value, low, high)

    # -- shapes and checks -----------------------------------------------------------------------------------------

    def layout_of(self, shape: Sequence[int]) -> Layout:
        """Return the layout of a tensor of this shape."""
        return self._axes.of(shape)

    def body_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape without prefix tokens; ``(B,)`` stays as it is."""
        return self._axes.body_shape(shape)

    def body_of(self, x: Tensor) -> Tensor:
        """Return a view of features without prefix tokens."""
        return self._axes.body_of(x)

    def checked_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return a shape that can be decided for; see ``make_params``."""
        return self._axes.checked_shape(shape, needs_shape=self.needs_shape, needs_grid=self.needs_grid)

    def _body_mask(self, mask: Tensor, shape: Sequence[int]) -> Tensor:
        if not self.takes_masks:
            raise FeatmixError(self._who, "mask", expected="None", got="a mask", fix="It cannot tell padding from content.")
        return self._axes.body_mask(mask, shape)

    def _check_features(self, x: Tensor) -> None:
        check_features(self._who, x, needs_float=self.tags.needs_float)
        self._axes.check(x.shape, needs_grid=self.needs_grid)


def _always(value: Any) -> property:
    return property(lambda _: value)


def _seen(strategy: Strategy, fixed: dict[str, Any]) -> Strategy:
    return strategy._seen_with(**fixed)


def _shallow(strategy: Strategy) -> Strategy:
    twin: Strategy = object.__new__(type(strategy))
    object.__setattr__(twin, "__dict__", dict(vars(strategy)))
    return twin


def _in_format_of(x: Tensor, y: Tensor) -> Tensor:
    if y.stride() == x.stride():
        return y
    if x.is_contiguous():
        return y.contiguous()
    channels_last = CHANNELS_LAST.get(x.ndim)
    if channels_last is not None and x.is_contiguous(memory_format=channels_last):
        return y.contiguous(memory_format=channels_last)
    return y
