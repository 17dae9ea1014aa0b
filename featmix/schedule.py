"""Settings that change during training: functions of progress, from 0 at the first step to 1 at the last.

A schedule stands where a number could: ``fm.MoEx(p=fm.schedule.linear(0, 0.5))``. ``mixer.progress = step / total`` drives all
schedules of a tree. What is drawn is a tensor in any case, so that a compiled model stays as it is.

A schedule is called, printed and written to files as what makes it, hence the small letters of the classes.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real

from featmix.errors import FeatmixError, told

_LARGEST = sys.float_info.max


class Schedule(ABC):
    """A number that depends on progress. Subclasses are frozen dataclasses, so that equal ones compare as equal."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """Return the value at a progress in [0, 1]."""

    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""


@dataclass(frozen=True)
class constant(Schedule):  # noqa: N801
    """The same value throughout.

    Args:
        value: The value.

    Raises:
        FeatmixError: If it is no finite number.

    Example:
        >>> constant(0.5)(0.3)
        0.5
    """

    value: float

    def __post_init__(self) -> None:
        _check_number("constant", "value", self.value)

    def __call__(self, progress: float) -> float:
        """Return the value."""
        return self.value

    def bounds(self) -> tuple[float, float]:
        """Return the value, twice."""
        return self.value, self.value


@dataclass(frozen=True)
class linear(Schedule):  # noqa: N801
    """From ``start`` at the first step to ``end`` at the last, along a line.

    Args:
        start: The value at progress 0.
        end: The value at progress 1.

    Raises:
        FeatmixError: If one is no finite number.

    Example:
        >>> linear(0, 0.5)(0.5)
        0.25
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        _check_number(type(self).__name__, "start", self.start)
        _check_number(type(self).__name__, "end", self.end)

    def __call__(self, progress: float) -> float:
        """Return ``start + (end - start) * progress``."""
        return (1 - progress) * self.start + progress * self.end

    def bounds(self) -> tuple[float, float]:
        """Return the two ends, sorted."""
        return min(self.start, self.end), max(self.start, self.end)


@dataclass(frozen=True)
class cosine(linear):  # noqa: N801
    """From ``start`` to ``end`` along half a cosine, as for learning rates: slow at both ends.

    Args:
        start: The value at progress 0.
        end: The value at progress 1.

    Raises:
        FeatmixError: If one is no finite number.

    Example:
        >>> round(cosine(0, 1)(0.25), 4)
        0.1464
    """

    def __call__(self, progress: float) -> float:
        """Return ``start + (end - start) * (1 - cos(pi * progress)) / 2``."""
        return super().__call__((1 - math.cos(math.pi * progress)) / 2)


@dataclass(frozen=True, init=False)
class switch_off(Schedule):  # noqa: N801
    """A number or another schedule until progress ``at``, then ``value``: for the last epochs without augmentation.

    Args:
        before: The number or schedule until then.
        at: In [0, 1]; ``0.9`` switches off for the last tenth of training.
        value: The value from then on.

    Raises:
        FeatmixError: If ``at`` is no progress, or a value is no number.

    Example:
        >>> p = switch_off(linear(0, 0.5), at=0.9)
        >>> p(0.8), p(0.9)
        (0.4, 0.0)
    """

    before: Schedule
    at: float
    value: float

    def __init__(self, before: float | Schedule, *, at: float, value: float = 0.0) -> None:
        _check_progress("switch_off", "at", at)
        _check_number("switch_off", "value", value)
        if not isinstance(before, Schedule):
            _check_number("switch_off", "before", before)
            before = constant(before)
        vars(self).update(before=before, at=at, value=value)

    def __call__(self, progress: float) -> float:
        """Return the value of ``before``, or ``value``."""
        return self.before(progress) if progress < self.at else self.value

    def bounds(self) -> tuple[float, float]:
        """Return the smallest and the largest value of both parts."""
        low, high = self.before.bounds()
        return min(low, self.value), max(high, self.value)


def checked_progress(subject: str, progress: float) -> float:
    """Return progress as a number in [0, 1].

    Raises:
        FeatmixError: If it is none.
    """
    _check_progress(subject, "progress", progress)
    return float(progress)


def _check_progress(subject: str, argument: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        fix = "It is step / total steps."
        raise FeatmixError(subject, argument, expected="a number in [0, 1]", got=told(value), fix=fix)


def _check_number(subject: str, argument: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not -_LARGEST <= value <= _LARGEST:
        raise FeatmixError(subject, argument, expected="a finite number", got=told(value))
