"""Plain values and limits on their size: the first check of all values that are read or written."""

from __future__ import annotations

import math
from typing import TypeAlias

from featmix.configuration.place import Place, shown

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

MOST_BYTES = 1024 * 1024
MOST_ENTRIES = 20_000
MOST_DICTIONARIES = 500  # what costs time is made of one each: transforms, strategies, schedules
DEEPEST = 48
LONGEST_TEXT = 4096
LARGEST_WHOLE = 2**63 - 1


def plain(value: object, place: Place) -> Plain:
    """Return a copy of only dictionaries with text as keys, lists, text, numbers, truth values and ``None``.

    Args:
        value: Anything; tuples become lists.
        place: Its place in the configuration.

    Raises:
        FeatmixError: If it contains anything else, a number is not finite, or it is too deep, too long or too large; a value
            that contains itself is too deep.
    """
    return _Copy().of(value, place, 0)


class Counted:
    """Counts the entries of a configuration."""

    def __init__(self) -> None:
        self.entries = self.dictionaries = 0

    def count(self, place: Place, *, dictionary: bool) -> None:
        """Count one more entry.

        Raises:
            FeatmixError: If there are too many.
        """
        self.entries += 1
        self.dictionaries += dictionary
        if self.entries > MOST_ENTRIES:
            raise place.refuse(f"at most {MOST_ENTRIES} entries in all", "more")
        if self.dictionaries > MOST_DICTIONARIES:
            raise place.refuse(f"at most {MOST_DICTIONARIES} dictionaries in all", "more")


class _Copy(Counted):
    def of(self, value: object, place: Place, depth: int) -> Plain:
        self.count(place, dictionary=type(value) is dict)
        if depth > DEEPEST:
            raise place.refuse(f"at most {DEEPEST} levels", "more, or an entry that contains itself")
        kind = type(value)
        if value is None or kind is bool:
            return value  # type: ignore[return-value]
        if kind is int or kind is float:
            return checked_number(value, place)  # type: ignore[arg-type]
        if kind is str:
            return checked_text(value, place)  # type: ignore[arg-type]
        if kind is list or kind is tuple:
            return [self.of(item, place.item(i), depth + 1) for i, item in enumerate(value)]  # type: ignore[arg-type, var-annotated]
        if kind is dict:
            copy: dict[str, Plain] = {}
            for key, item in value.items():  # type: ignore[attr-defined]
                if type(key) is not str:
                    raise place.refuse("text for keys", shown(key))
                copy[checked_text(key, place)] = self.of(item, place.key(key), depth + 1)
            return copy
        raise place.refuse("text, a number, a truth value, nothing, a list or a dictionary", kind.__name__)


def checked_number(value: float, place: Place) -> float:
    """Return a number of limited size; whole numbers stay whole."""
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        raise place.refuse("a whole number of at most 64 bits", f"one of {value.bit_length()}")
    if isinstance(value, float) and not math.isfinite(value):
        raise place.refuse("a finite number", repr(value))
    return value


def checked_text(value: str, place: Place) -> str:
    """Return text of limited length that can be written to a file."""
    if len(value) > LONGEST_TEXT:
        raise place.refuse(f"text of at most {LONGEST_TEXT} characters", f"{len(value)}")
    if not value.isprintable():
        raise place.refuse("text of printable characters in one line", shown(value))
    return value


def as_dict(value: Plain, place: Place, expected: str) -> dict[str, Plain]:
    """Return the value, after a check that it is a dictionary."""
    if not isinstance(value, dict):
        raise place.refuse(expected, shown(value))
    return value


def as_list(value: Plain, place: Place, expected: str) -> list[Plain]:
    """Return the value, after a check that it is a list."""
    if not isinstance(value, list):
        raise place.refuse(expected, shown(value))
    return value


def as_text(value: Plain, place: Place, expected: str) -> str:
    """Return the value, after a check that it is text."""
    if not isinstance(value, str):
        raise place.refuse(expected, shown(value))
    return value
