"""The part of a strategy that knows its settings: their names, their values, and the values of schedules."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Self

from featmix.checks import Checks
from featmix.schedule import Schedule, checked_progress
from featmix.strategies.settings import usual_settings
from featmix.strategies.tags import Tags
from featmix.support.signatures import parameters_of


class Configured(Checks):
    """The part of a strategy that knows its settings."""

    tags: Tags
    lends_moments: ClassVar[bool]
    _schedules: tuple[str, ...] = ()  # names of the settings that are schedules

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
