"""Laws, and the list of them, which fills itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from featmix.strategies.base import Strategy
from featmix.strategies.moments import MomentStrategy
from featmix.strategies.params import Params
from featmix.testing.needs import channel_count as channel_count
from featmix.testing.needs import channel_multiple as channel_multiple
from featmix.testing.needs import decide as decide
from featmix.testing.needs import layout_name as layout_name
from featmix.testing.needs import sample_shape as sample_shape
from featmix.testing.needs import takes as takes
from featmix.testing.needs import without_prefix as without_prefix
from featmix.testing.seen import seen

Kind = Literal["strategy", "normalizer", "attached"]


class LawError(AssertionError):
    """A law does not hold for an input."""


class CannotRunError(Exception):
    """A law cannot be tried here; says why."""


@dataclass(frozen=True, eq=False)
class Case:
    """One drawn input for a law over strategies.

    Args:
        strategy: What is tested.
        x: Features, ``(B, ...)`` in the strategy's layout.
        seed: Of the decision.
    """

    strategy: Strategy
    x: Tensor
    seed: int

    def __post_init__(self) -> None:
        seen(self.x, self.seed)

    @cached_property
    def params(self) -> Params:
        """The decision that the seed gives."""
        return self.draw()

    def draw(self) -> Params:
        """The same decision, drawn anew."""
        return decide(self.strategy, self.x.shape, self.seed)

    def transform(self, x: Tensor | None = None, params: Params | None = None) -> Tensor:
        """The strategy on this input, or on another."""
        return transformed(self.strategy, self.x if x is None else x, self.params if params is None else params)


def without_a_prefix(case: Case) -> Case:
    """The case on what is left without prefix tokens, which nothing depends on: that is the law ``prefix``."""
    alone = without_prefix(case.strategy)
    return case if alone is case.strategy else Case(alone, case.strategy.body_of(case.x), case.seed)


def transformed(strategy: Strategy, x: Tensor, params: Params) -> Tensor:
    """Return what ``transform`` does; strategies that write into their input get a copy, so that laws keep the original."""
    return strategy.transform(x.clone() if strategy.inplace else x, params)


@dataclass(frozen=True)
class Law:
    """A named law.

    Args:
        name: As ``expected_failed_checks`` knows it.
        check: Raises :class:`LawError`. Laws over strategies take a :class:`Case` where they are drawn and the strategy
            itself where they are not; laws over normalizers take the normalizer, and ``x`` where they are drawn. Laws that
            are not drawn and say something else for another dtype take the dtype too.
        kind: What it is a law of; ``attached`` laws run the strategy inside a model.
        cause: What is usually wrong where it does not hold.
        drawn: Whether it is tried on many drawn inputs, or once.
        every_dtype: Whether it says something else for another dtype.
        applies: Which strategies or normalizers it is for.
        whom: These in words, as in "it is for strategies that take masks"; empty where it is for all.
        of_draws: Whether it is about what is drawn alone, so that layouts, normalizers and switches make no difference to it.
        feeds: What dtypes it feeds its subject, besides that of what is drawn; where one is not wanted, it is not tried.
        exact: Whether it is tried in float64, or, where that is not wanted, in float32; in no other dtype.
        slow: Whether it takes longer than most.
        reference: The dtype in which its subject says what is right; a subject that does not take it, where that dtype is not
            wanted, cannot be held to the law.
    """

    name: str
    check: Callable[..., None]
    kind: Kind
    cause: str
    drawn: bool
    every_dtype: bool
    applies: Callable[[Any], bool]
    whom: str = ""
    of_draws: bool = False
    feeds: tuple[torch.dtype, ...] = ()
    exact: bool = False
    slow: bool = False
    reference: torch.dtype | None = None

    def dtypes(self, wanted: Sequence[torch.dtype]) -> list[torch.dtype | None]:
        """The dtypes in which to try it, of those that are wanted: none, ``[None]`` where it chooses by itself, or some."""
        if self.exact:
            found: list[torch.dtype | None] = [dtype for dtype in (torch.float64, torch.float32) if dtype in wanted]
            return found[:1]
        if any(dtype not in wanted for dtype in self.feeds):
            return []
        if not self.drawn and not self.every_dtype:
            return [None]
        return list(wanted) if self.every_dtype else list(wanted[:1])

    @property
    def statement(self) -> str:
        """The demand: the first paragraph of its docstring."""
        return " ".join((self.check.__doc__ or "").partition("\n\n")[0].split())

    @property
    def tolerance(self) -> str:
        """The tolerance and its reason: the rest of its docstring."""
        return " ".join((self.check.__doc__ or "").partition("\n\n")[2].split())


_laws: list[Law] = []


def law(
    kind: Kind,
    *,
    cause: str,
    drawn: bool = True,
    every_dtype: bool | None = None,
    applies: Callable[[Any], bool] = lambda _: True,
    whom: str = "",
    of_draws: bool = False,
    feeds: tuple[torch.dtype, ...] | None = None,
    exact: bool = False,
    slow: bool = False,
    reference: torch.dtype | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator that makes a function a law under its own name; what is drawn differs by dtype, and the rest is float32."""
    every = drawn if every_dtype is None else every_dtype
    fed = feeds if feeds is not None else () if drawn or every or of_draws else (torch.float32,)
    if kind == "attached":
        whom = f"{whom or 'strategies'}{' and' if whom else ' that'} can be attached: not those that work in place"

    def concerns(subject: Any) -> bool:
        return applies(subject) and not (kind == "attached" and subject.inplace)

    def decorate(check: Callable[..., None]) -> Callable[..., None]:
        one = Law(check.__name__, check, kind, cause, drawn, every, concerns, whom, of_draws, fed, exact, slow, reference)
        _laws.append(one)
        return check

    return decorate


def laws(*kinds: Kind) -> list[Law]:
    """All laws, or those of the kinds given: what the modules named ``*_laws`` define, in that order."""
    package = importlib.import_module("featmix.testing")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith("_laws"):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return [one for one in _laws if not kinds or one.kind in kinds]


def moves_moments(strategy: Strategy) -> bool:
    """Return whether the strategy restores with moments that it names."""
    return isinstance(strategy, MomentStrategy)


def mixes_content(strategy: Strategy) -> bool:
    """Return whether the label shares are shares of what is in the features (moments, and labels by decree, have none)."""
    tags = strategy.tags
    return tags.mixes_labels and not tags.moments and not tags.labels_by_decree


def row_by_row(strategy: Strategy) -> bool:
    """Return whether a row depends on itself and its partner alone, and its decision can be taken out of the batch."""
    return not strategy.tags.batch_coupled


def demand(holds: Tensor | bool, what: str) -> None:
    """Raise :class:`LawError` unless it holds everywhere."""
    if not bool(torch.as_tensor(holds).all()):
        raise LawError(what)


def demand_close(measured: Tensor, expected: Tensor, tolerance: Tensor | float, what: str) -> None:
    """Raise :class:`LawError`, with measured against allowed, where two tensors differ by more than the tolerance.

    Two infinities are equal, and so are two NaN: whether there may be any is for other laws to say.
    """
    same = (measured == expected) | (measured.isnan() & expected.isnan())
    gap = torch.where(same, 0, (measured.double() - expected.double()).abs())
    allowed = torch.as_tensor(tolerance, dtype=torch.float64).expand_as(gap)
    wrong = ~(same | (gap <= allowed))  # a NaN where there should be none is wrong too
    if bool(wrong.any()):
        worst = int(torch.where(wrong, gap.nan_to_num(float("inf")) - allowed, -float("inf")).argmax())
        at = tuple(int(i) for i in torch.unravel_index(torch.tensor(worst), gap.shape))
        found, wanted, off, limit = (t.flatten()[worst].item() for t in (measured, expected.expand_as(gap), gap, allowed))
        raise LawError(f"{what}: at {at} measured {found:.9g}, expected {wanted:.9g}, off by {off:.3g}, allowed {limit:.3g}")


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors are equal bit for bit, NaN included."""

    def bits(t: Tensor) -> Tensor:
        return torch.empty(t.numel(), dtype=t.dtype).copy_(t.detach().flatten()).view(torch.uint8)

    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(bits(a), bits(b))


def rounding(dtype: torch.dtype) -> float:
    """Half a unit in the last place of 1: the relative error of one rounding."""
    return torch.finfo(dtype).eps / 2
