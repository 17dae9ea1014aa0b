"""What a strategy is: the base class that leaves a newcomer two short methods to write."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from featmix import sampling
from featmix.errors import FeatmixError
from featmix.layouts import Layout, layout, resolve_layout
from featmix.mixture import Mixture
from featmix.params import Params
from featmix.tags import Tags

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class CommonSettings(TypedDict, total=False):
    """The settings that every strategy passes on to :class:`Strategy`, which documents them."""

    per: str
    partner: str
    layout: str | None
    num_classes: int | None


class Strategy(nn.Module):
    """Base class of all strategies: decides with :meth:`make_params`, acts with :meth:`transform`.

    A subclass sets ``tags``, writes :meth:`decide` and :meth:`act`, and gives an :meth:`oracle` for the tests. Checks,
    gating, casting and memory format are done here, once for all.

    Args:
        p: Probability that a batch (or a row) is mixed.
        per: Whether ``p`` gates the whole ``batch`` or each ``sample``.
        partner: ``derangement``, ``permutation`` (the papers' ``randperm``) or ``crossdomain``.
        layout: Names the axes of ``x``; ``None`` goes by their number.
        num_classes: For class indices in ``strategy(x, target)``.
    """

    name: ClassVar[str] = ""
    tags: ClassVar[Tags] = Tags(mixes_labels=False, paper="")

    def __init__(
        self,
        *,
        p: float = 1.0,
        per: str = "batch",
        partner: str = "derangement",
        layout: str | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.p = self._in_range("p", p, 0, 1)
        self.per = self._one_of("per", per, ("batch", "sample"))
        self.partner = self._one_of("partner", partner, sampling.PARTNERS)
        self.layout = _known_layout(layout)
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

    def passes_through(self, shape: Sequence[int]) -> bool:
        """Whether features of this shape come out as they went in, and keep their label, whatever is drawn."""
        return False

    # -- what everybody calls --------------------------------------------------------------------------------------

    def make_params(
        self,
        shape: Sequence[int],
        *,
        generator: Generator | None = None,
        target: Tensor | None = None,
        domain: Tensor | None = None,
        partner: Tensor | None = None,
        device: torch.device | str | None = None,
    ) -> Params:
        """Make every random decision of one step.

        Args:
            shape: Shape of the tensor to be mixed; ``(B,)`` where only the batch is known, which spatial strategies refuse.
            generator: Source of randomness; ``None`` is torch's default one.
            target: Labels ``(B, ...)``, for strategies that choose partners by label.
            domain: ``(B,)`` integer domain labels, for ``partner="crossdomain"``.
            partner: ``(B,)`` partners already drawn elsewhere (see ``share_partner``).
            device: Where the decision is to live; ``None`` leaves it where it was drawn.

        Raises:
            FeatmixError: If the shape does not fit the layout, or a label, domain or partner does not fit the batch.
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
        if partner is None:
            partner = sampling.partners(batch, self.partner, domain=domain, generator=generator)
        active = sampling.gate(batch, self.p, per=self.per, generator=generator)
        params = self.decide(shape, partner, active, generator)
        return params if device is None else params.to(device)

    def transform(self, x: Tensor, params: Params) -> Tensor:
        """Apply a decision: pure, deterministic, differentiable; no randomness and no state.

        Args:
            x: ``(B, ...)``; half types are computed in float32 and cast once at the end.
            params: From :meth:`make_params`, for a batch of this size.

        Returns:
            A new tensor of the shape, dtype, device and memory format of ``x``.

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
        rows = torch.arange(x.shape[0], device=x.device)
        # An idle row is tied to itself before anything is computed: a NaN in its partner reaches neither it nor its gradient.
        tied = dataclasses.replace(params, partner=torch.where(params.active, params.partner, rows))
        return _in_format_of(x, self.gated(x, tied))

    def forward(
        self,
        x: Tensor,
        target: Tensor | None = None,
        *,
        num_classes: int | None = None,
        domain: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Draw and apply in training mode, identity in eval mode.

        Args:
            x: ``(B, ...)``.
            target: Class indices, one-hot, soft, multi-label or regression targets; see :meth:`Mixture.dense`.
            num_classes: For class indices, unless given to the constructor.
            domain: ``(B,)`` domain labels, for ``partner="crossdomain"``.
            generator: Source of randomness.

        Returns:
            ``y``, or ``(y, soft targets)`` where a target is given.
        """
        self._check_input(x)
        if self.training:
            params = self.make_params(x.shape, generator=generator, target=target, domain=domain, device=x.device)
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

    # -- help for subclasses ---------------------------------------------------------------------------------------

    def layout_of(self, shape: Sequence[int]) -> Layout:
        """The layout of a tensor of this shape."""
        return resolve_layout(self.layout, shape, self._who)

    @property
    def _who(self) -> str:
        return type(self).__name__

    def _in_range(self, argument: str, value: float, low: float, high: float) -> float:
        if isinstance(value, bool) or not isinstance(value, Real) or not low <= value <= high:
            raise FeatmixError(self._who, argument, expected=f"a number in [{low}, {high}]", got=repr(value))
        return float(value)

    def _whole(self, argument: str, value: int, *, least: int) -> int:
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise FeatmixError(self._who, argument, expected=f"a whole number from {least} up", got=repr(value))
        return int(value)

    def _check_partner(self, partner: Tensor, batch: int) -> None:
        fits = partner.ndim == 1 and partner.dtype == torch.int64
        if not fits or (batch and not 0 <= int(partner.min()) <= int(partner.max()) < batch):
            expected = f"int64 rows of a batch of {batch}, one for each"
            raise FeatmixError(self._who, "partner", expected=expected, got=f"{partner.dtype} {partner.tolist()}")

    def _one_of(self, argument: str, value: str, choices: Sequence[str]) -> str:
        if not isinstance(value, str) or value not in choices:
            raise FeatmixError(self._who, argument, expected=f"one of {', '.join(choices)}", got=repr(value))
        return value

    def _checked_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        if not isinstance(shape, Sequence) or not all(isinstance(n, Integral) and n >= 0 for n in shape):
            raise FeatmixError(self._who, "shape", expected="the sizes of a tensor's axes", got=repr(shape))
        shape = tuple(int(n) for n in shape)
        if not shape:
            raise FeatmixError(self._who, "shape", expected="a batch axis at least", got="an empty shape")
        if len(shape) > 1 or self.tags.spatial:
            self._check_grid(shape)
        return shape

    def _check_grid(self, shape: Sequence[int]) -> None:
        lay = self.layout_of(shape)
        if self.tags.spatial and not lay.grid:
            raise FeatmixError(
                self._who,
                "layout",
                expected="a layout whose positions form a grid: bchw, bhwc, bct, bcdhw",
                got=repr(lay.name),
                fix="Neighbours in a list of tokens or features are not neighbours in space.",
            )

    def _check_input(self, x: Tensor) -> None:
        if not isinstance(x, Tensor) or x.layout != torch.strided:
            got = f"layout {x.layout}" if isinstance(x, Tensor) else type(x).__name__
            raise FeatmixError(self._who, "x", expected="a tensor", got=got)
        if self.tags.needs_float and x.dtype not in _FLOATS:
            raise FeatmixError(
                self._who,
                "x",
                expected="a floating tensor",
                got=str(x.dtype),
                fix="It computes with the values, and the results are not integers: convert first, x.float() / 255.",
            )
        self._check_grid(x.shape)

    @classmethod
    def setting_names(cls) -> list[str]:
        """The constructor's arguments, those passed on to a base class included."""
        names: list[str] = []
        for klass in (k for k in cls.__mro__ if "__init__" in vars(k)):
            parameters = inspect.signature(vars(klass)["__init__"]).parameters.values()
            names += [p.name for p in parameters if p.name != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
        return list(dict.fromkeys(names))

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments as they stand: ``create(name, **settings)`` makes the same strategy again."""
        return {name: getattr(self, name) for name in self.setting_names()}

    def extra_repr(self) -> str:
        """The settings, as ``nn.Module`` shows them."""
        return ", ".join(f"{k}={v!r}" for k, v in self.settings().items())


def _known_layout(name: str | None) -> str | None:
    return None if name is None else layout(name).name


def _in_format_of(x: Tensor, y: Tensor) -> Tensor:
    channels_last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim)
    if x.is_contiguous():
        return y.contiguous()
    if channels_last is not None and x.is_contiguous(memory_format=channels_last):
        return y.contiguous(memory_format=channels_last)
    return y
