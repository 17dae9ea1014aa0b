"""Warnings, given once: for a strategy that does nothing, and for schedules whose progress is never set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from featmix.schedule import Schedule
from featmix.support.warning import warn

DRAWS = 100  # at a progress that nobody set
_FEW = 3  # places that are named


def waiting(settings: Any) -> list[Schedule]:
    """Return the settings of a strategy, or of a tree, that change with progress."""
    values = (value for value in vars(settings).values() if isinstance(value, Schedule))
    return [value for value in values if value.bounds()[0] < value.bounds()[1]]


def warn_of_progress(subject: str, schedules: Sequence[Schedule], fix: str) -> None:
    """Warn that progress is never set.

    Args:
        subject: Who waits for it.
        schedules: What depends on it.
        fix: How to say it.
    """
    wanted = ", ".join(dict.fromkeys(map(repr, schedules)))
    expected, got = f"to be set as training goes on, for {wanted}", f"{DRAWS} draws at progress 0"
    warn(subject, "progress", expected=expected, got=got, fix=fix)


def warn_of_no_effect(strategy: Any, sample: Sequence[int], places: Sequence[str] = ()) -> None:
    """Warn that a strategy leaves features as they are, whatever is drawn.

    Args:
        strategy: The strategy.
        sample: The shape of one sample, at the first of the places.
        places: Where it is.
    """
    norm = getattr(strategy, "norm", None)
    fix = f"{norm!r} averages over too few of them: choose another norm, or mix where features are larger."
    if norm == "pono":
        fix = "'pono' averages over channels; norm='in' averages over positions."
    expected, got = "features with more than one element a mean", f"samples of shape {tuple(sample)}: nothing is mixed"
    where = ", ".join(map(repr, places[:_FEW])) + (f" and {len(places) - _FEW} more" if len(places) > _FEW else "")
    warn(type(strategy).__name__, where, expected=expected, got=got, fix=fix if norm else "")


class Noticing:
    """The part of a strategy that notices how it is called by itself; attached, its mixer notices."""

    _progress = 0.0
    _draws_to_notice: int | None = DRAWS  # None where there is nothing more to say
    _effect_noticed = False

    @property
    def progress(self) -> float:
        """How far training is, in [0, 1], for settings that are schedules; an attached mixer says it instead."""
        return self._progress

    @progress.setter
    def progress(self, value: float) -> None:
        vars(self).update(_progress=value, _draws_to_notice=None)

    def _notice_draw(self) -> None:
        if self._draws_to_notice is None:
            return
        left = self._draws_to_notice - 1 if waiting(self) else None
        vars(self)["_draws_to_notice"] = left or None
        if left == 0:
            warn_of_progress(type(self).__name__, waiting(self), "Set strategy.progress = step / total_steps before each call.")

    def _notice_no_effect(self, sample: Sequence[int]) -> None:
        if not self._effect_noticed:
            vars(self)["_effect_noticed"] = True
            warn_of_no_effect(self, sample)
