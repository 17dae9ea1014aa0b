"""Settings that change as training goes on: functions of progress, from 0 at the first step to 1 at the last.

A schedule stands where a number could: ``fm.MoEx(p=fm.schedule.linear(0, 0.5))``. ``mixer.progress = step / total`` drives all
schedules of a tree. What is drawn is a tensor in any case, so that a compiled model stays as it is.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real

from featmix.errors import FeatmixError


class Schedule(ABC):
    """A number that depends on progress. Subclasses are frozen dataclasses, so that they compare and print as what they are."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """The value at a progress in [0, 1]."""

    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value that it takes."""


@dataclass(frozen=True)
class Constant(Schedule):
    """The same value throughout."""

    value: float

    def __post_init__(self) -> None:
        _check_number("constant", "value", self.value)

    def __call__(self, progress: float) -> float:
        """The value."""
        return self.value

    def bounds(self) -> tuple[float, float]:
        """The value, twice."""
        return self.value, self.value


@dataclass(frozen=True)
class Linear(Schedule):
    """From ``start`` to ``end`` along a line."""

    start: float
    end: float

    def __post_init__(self) -> None:
        _check_number("linear", "start", self.start)
        _check_number("linear", "end", self.end)

    def __call__(self, progress: float) -> float:
        """``start + (end - start) * progress``."""
        return (1 - progress) * self.start + progress * self.end

    def bounds(self) -> tuple[float, float]:
        """The two ends, sorted."""
        return min(self.start, self.end), max(self.start, self.end)


@dataclass(frozen=True)
class Cosine(Schedule):
    """From ``start`` to ``end`` along half a cosine: slow at both ends."""

    start: float
    end: float

    def __post_init__(self) -> None:
        _check_number("cosine", "start", self.start)
        _check_number("cosine", "end", self.end)

    def __call__(self, progress: float) -> float:
        """``start + (end - start) * (1 - cos(pi * progress)) / 2``."""
        way = (1 - math.cos(math.pi * progress)) / 2
        return (1 - way) * self.start + way * self.end

    def bounds(self) -> tuple[float, float]:
        """The two ends, sorted."""
        return min(self.start, self.end), max(self.start, self.end)


@dataclass(frozen=True)
class SwitchOff(Schedule):
    """Another schedule until ``at``, and ``value`` from there on."""

    before: Schedule
    at: float
    value: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.before, Schedule):
            raise FeatmixError("switch_off", "before", expected="a schedule or a number", got=repr(self.before))
        _check_number("switch_off", "value", self.value)
        _check_progress("switch_off", "at", self.at)

    def __call__(self, progress: float) -> float:
        """What stands before, or ``value``."""
        return self.before(progress) if progress < self.at else self.value

    def bounds(self) -> tuple[float, float]:
        """Over both parts."""
        low, high = self.before.bounds()
        return min(low, self.value), max(high, self.value)


def constant(value: float) -> Constant:
    """The same value throughout.

    Example:
        >>> constant(0.5)(0.3)
        0.5
    """
    return Constant(value)


def linear(start: float, end: float) -> Linear:
    """From ``start`` at the first step to ``end`` at the last.

    Example:
        >>> linear(0, 0.5)(0.5)
        0.25
    """
    return Linear(start, end)


def cosine(start: float, end: float) -> Cosine:
    """From ``start`` to ``end``, slow at both ends (half a cosine, as learning rates have it).

    Example:
        >>> round(cosine(0, 1)(0.25), 4)
        0.1464
    """
    return Cosine(start, end)


def switch_off(before: float | Schedule, *, at: float, value: float = 0.0) -> SwitchOff:
    """A number or schedule until progress ``at``, then ``value``: for the last epochs without augmentation.

    Args:
        before: What holds until then.
        at: In [0, 1]; ``0.9`` switches off for the last tenth of training.
        value: What holds from then on.

    Raises:
        FeatmixError: If ``at`` is no progress, or a value is no number.

    Example:
        >>> p = switch_off(linear(0, 0.5), at=0.9)
        >>> p(0.8), p(0.9)
        (0.4, 0.0)
    """
    return SwitchOff(before if isinstance(before, Schedule) else Constant(before), at, value)


def checked_progress(subject: str, progress: float) -> float:
    """Progress as a number in [0, 1].

    Raises:
        FeatmixError: If it is none.
    """
    _check_progress(subject, "progress", progress)
    return float(progress)


def _check_progress(subject: str, argument: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        fix = "It is step / total steps."
        raise FeatmixError(subject, argument, expected="a number in [0, 1]", got=repr(value), fix=fix)


def _check_number(subject: str, argument: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise FeatmixError(subject, argument, expected="a finite number", got=repr(value))
