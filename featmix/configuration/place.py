"""Paths of entries in a configuration, for messages."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass

from featmix.errors import FeatmixError

_LONGEST_KEY = 40
_LONGEST_MESSAGE = 300
_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = 80


@dataclass(frozen=True)
class Place:
    """An entry of a configuration.

    Args:
        subject: The file or function that reads or writes.
        path: The path of the entry, such as ``mix.compose[1].strategy.norm``; empty for the configuration as a whole.

    Example:
        >>> Place("aug.yaml").key("mix").key("compose").item(1).key("strategy").path
        'mix.compose[1].strategy'
    """

    subject: str
    path: str = ""

    def key(self, key: str) -> Place:
        """Return the place of a key; a key that is no plain word is quoted."""
        if not key.replace("-", "_").isidentifier() or len(key) > _LONGEST_KEY:
            return Place(self.subject, f"{self.path}[{shown(key)}]")
        return Place(self.subject, f"{self.path}.{key}" if self.path else key)

    def item(self, index: int) -> Place:
        """Return the place of an index."""
        return Place(self.subject, f"{self.path}[{index}]")

    def refuse(self, expected: str, got: str, fix: str = "") -> FeatmixError:
        """Return the error that names this place; a long value is shortened."""
        got = got if len(got) <= _LONGEST_MESSAGE else got[: _LONGEST_MESSAGE - 3] + "..."
        return FeatmixError(self.subject, self.path, expected=expected, got=got, fix=fix)


def shown(value: object) -> str:
    """Return a shortened repr of a value, for messages about values that are not checked yet.

    Example:
        >>> shown([1, 2, 3, 4, 5, 6, 7, 8])
        '[1, 2, 3, 4, 5, 6, ...]'
    """
    return _shortened.repr(value)
