"""Checks of arguments: errors say who refused, which argument, what was expected, and what was given."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from numbers import Integral, Real
from typing import cast

from featmix.errors import FeatmixError, nearest, told
from featmix.schedule import Schedule

_BITS = 63  # of the whole numbers that tensors and generators hold


def whole(subject: str, argument: str, value: int, *, least: int = 0) -> int:
    """Return a whole number from ``least`` up; NumPy's are taken, truth values are not.

    Args:
        subject: Who refuses.
        argument: The argument's name.
        value: Its value.
        least: The smallest number allowed.

    Raises:
        FeatmixError: If it is none, or does not fit into 64 bits.

    Example:
        >>> whole("fade", "seed", 3)
        3
        >>> whole("fade", "count", 0, least=1)
        Traceback (most recent call last):
        featmix.errors.FeatmixError: fade: count: expected a whole number from 1 up, got 0.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        fix = f"Without quotes: {argument}={value}." if isinstance(value, str) and value.isdecimal() else ""
        raise FeatmixError(subject, argument, expected=f"a whole number from {least} up", got=told(value), fix=fix)
    if int(value).bit_length() > _BITS:
        raise FeatmixError(subject, argument, expected="a whole number of at most 64 bits", got=told(value))
    return int(value)


def in_range(subject: str, argument: str, value: float, low: float, high: float, *, also: str = "") -> float:
    """Return a number in [``low``, ``high``] as a float.

    Args:
        subject: Who refuses.
        argument: The argument's name.
        value: Its value.
        low: The smallest number allowed.
        high: The largest number allowed.
        also: Completes the message where something else than a number is allowed too.

    Raises:
        FeatmixError: If it is none.

    Example:
        >>> in_range("fade", "lam", 1, 0, 1)
        1.0
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= value <= high:
        fix = _number_meant(argument, value, low, high)
        raise FeatmixError(subject, argument, expected=f"a number in [{low}, {high}]{also}", got=told(value), fix=fix)
    return float(value)


def scheduled(subject: str, argument: str, value: float | Schedule, low: float, high: float) -> float:
    """Return a number in [``low``, ``high``], or a schedule that stays in it, as it is.

    Strategies are typed as if they held numbers: :meth:`featmix.Strategy.at` puts one in each schedule's place.

    Args:
        subject: Who refuses.
        argument: The argument's name.
        value: Its value.
        low: The smallest number allowed.
        high: The largest number allowed.

    Raises:
        FeatmixError: If it is neither.
    """
    if not isinstance(value, Schedule):
        return in_range(subject, argument, value, low, high, also=", or a schedule of such")
    if not all(low <= bound <= high for bound in value.bounds()):
        raise FeatmixError(subject, argument, expected=f"a schedule that stays in [{low}, {high}]", got=told(value))
    return cast(float, value)


def one_of(subject: str, argument: str, value: str, choices: Sequence[str]) -> str:
    """Return one of several words.

    Raises:
        FeatmixError: If it is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        near = nearest(value, choices) if isinstance(value, str) else ""
        fix = near if near.startswith("Did you mean") else ""
        raise FeatmixError(subject, argument, expected=f"one of {', '.join(choices)}", got=told(value), fix=fix)
    return value


def _number_meant(argument: str, value: object, low: float, high: float) -> str:
    """Return how to write a number that came as text, or in percent."""
    if isinstance(value, str):
        with suppress(ValueError):
            return f"Without quotes: {argument}={float(value):g}." if low <= float(value) <= high else ""
    if isinstance(value, int | float) and not isinstance(value, bool) and (low, high) == (0, 1) and 1 < value <= 100:
        return f"{float(value):g} percent is {argument}={float(value) / 100:g}."
    return ""


def flag(subject: str, argument: str, value: bool) -> bool:
    """Return a truth value.

    Raises:
        FeatmixError: If it is none.
    """
    if not isinstance(value, bool):
        raise FeatmixError(subject, argument, expected="True or False", got=told(value))
    return value


class Checks:
    """The same checks as methods, in the name of the class that they are mixed into."""

    @property
    def _who(self) -> str:
        return type(self).__name__

    def _in_range(self, argument: str, value: float, low: float, high: float, *, also: str = "") -> float:
        return in_range(self._who, argument, value, low, high, also=also)

    def _scheduled(self, argument: str, value: float | Schedule, low: float, high: float) -> float:
        return scheduled(self._who, argument, value, low, high)

    def _whole(self, argument: str, value: int, *, least: int) -> int:
        return whole(self._who, argument, value, least=least)

    def _one_of(self, argument: str, value: str, choices: Sequence[str]) -> str:
        vars(self).setdefault("_choices", {})[argument] = tuple(choices)  # so that tests can try all of them
        return one_of(self._who, argument, value, choices)

    def _flag(self, argument: str, value: bool) -> bool:
        return flag(self._who, argument, value)
