"""Checking the arguments of a strategy: what is refused says who refused it, what was expected, and what came."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import cast

from featmix.errors import FeatmixError
from featmix.schedule import Schedule


class Checks:
    """Checks of arguments that raise in the name of the class that they are mixed into."""

    @property
    def _who(self) -> str:
        return type(self).__name__

    def _in_range(self, argument: str, value: float, low: float, high: float, *, also: str = "") -> float:
        if isinstance(value, bool) or not isinstance(value, Real) or not low <= value <= high:
            raise FeatmixError(self._who, argument, expected=f"a number in [{low}, {high}]{also}", got=repr(value))
        return float(value)

    def _scheduled(self, argument: str, value: float | Schedule, low: float, high: float) -> float:
        """As :meth:`_in_range`, or a schedule that stays in it, which :meth:`featmix.Strategy.at` turns into a number."""
        if not isinstance(value, Schedule):
            return self._in_range(argument, value, low, high, also=", or a schedule of such")
        if not all(low <= bound <= high for bound in value.bounds()):
            raise FeatmixError(self._who, argument, expected=f"a schedule that stays in [{low}, {high}]", got=repr(value))
        return cast(float, value)

    def _whole(self, argument: str, value: int, *, least: int) -> int:
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise FeatmixError(self._who, argument, expected=f"a whole number from {least} up", got=repr(value))
        return int(value)

    def _one_of(self, argument: str, value: str, choices: Sequence[str]) -> str:
        """One of these words; what there was to choose from is kept, so that tests can try all of it."""
        vars(self).setdefault("_choices", {})[argument] = tuple(choices)
        if not isinstance(value, str) or value not in choices:
            raise FeatmixError(self._who, argument, expected=f"one of {', '.join(choices)}", got=repr(value))
        return value

    def _flag(self, argument: str, value: bool) -> bool:
        if not isinstance(value, bool):
            raise FeatmixError(self._who, argument, expected="True or False", got=repr(value))
        return value
