"""What the settings of a strategy are, and what they are now."""

from __future__ import annotations

import copy
import inspect
from typing import Any, ClassVar, Self

from featmix.checks import Checks
from featmix.schedule import Schedule, checked_progress
from featmix.strategies.tags import Tags


class Settings(Checks):
    """Reads the settings of a strategy off its constructors, and puts numbers where schedules are."""

    tags: ClassVar[Tags]

    @classmethod
    def setting_names(cls) -> list[str]:
        """The constructor's arguments, those passed on to a base class included."""
        names: list[str] = []
        for klass in (k for k in cls.__mro__ if "__init__" in vars(k)):
            parameters = inspect.signature(vars(klass)["__init__"]).parameters.values()
            names += [p.name for p in parameters if p.name != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
        return [name for name in dict.fromkeys(names) if name != "partner" or cls.tags.partnered]

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments as they stand: ``create(name, **settings)`` makes the same strategy again."""
        return {name: getattr(self, name) for name in self.setting_names()}

    def setting_choices(self) -> dict[str, tuple[str, ...]]:
        """The words that each setting takes which takes one of several: ``{"per": ("batch", "sample"), ...}``."""
        return {name: words for name, words in vars(self)["_choices"].items() if name in self.setting_names()}

    def extra_repr(self) -> str:
        """The settings, as ``nn.Module`` shows them."""
        return ", ".join(f"{k}={v!r}" for k, v in self.settings().items())

    def at(self, progress: float) -> Self:
        """This strategy with every schedule among its settings replaced by its value; itself where there is none.

        Args:
            progress: How far training is, in [0, 1].

        Raises:
            FeatmixError: If that is no progress.
        """
        progress = checked_progress(self._who, progress)
        scheduled = {name: value for name, value in vars(self).items() if isinstance(value, Schedule)}
        if not scheduled:
            return self
        now = copy.copy(self)
        vars(now).update({name: float(schedule(progress)) for name, schedule in scheduled.items()})
        return now
