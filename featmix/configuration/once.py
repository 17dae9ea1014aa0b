"""Each object of a document is written once and made again once, at any depth and for any number of requests.

To write a container, several guesses of its arguments are tried, and each try writes and makes its members too: without a
memory, each further level would double the time. Therefore records, the objects made from them, and pairs of objects that
were found equal are remembered while one object is written with all its members. At the end everything is made anew and
compared as a whole, since a container may have changed its members.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from featmix.configuration.plain import Plain
from featmix.errors import FeatmixError

Record = dict[str, Plain]


class _Once:
    def __init__(self) -> None:
        # By id; each holds what it is the id of, so that it stays that object's.
        self.written: dict[int, tuple[Any, Record | FeatmixError]] = {}
        self.made: dict[int, tuple[Record, Any]] = {}
        self.same: set[tuple[int, int]] = set()

    def of(self, value: Any, write: Callable[[], Record]) -> Record:
        if id(value) not in self.written:
            found: Record | FeatmixError
            try:
                found = write()
            except FeatmixError as error:
                found = error
            self.written[id(value)] = (value, found)
        record = self.written[id(value)][1]
        if isinstance(record, FeatmixError):
            raise record
        return record


_now: ContextVar[_Once | None] = ContextVar("_now", default=None)


def written_once(value: Any, write: Callable[[], Record], check: Callable[[Record], None]) -> Record:
    """Return the record of an object by ``write``, which is called only once per document.

    Args:
        value: The object.
        write: Returns its record.
        check: Refuses a record that makes a different object; called at the end, for an object that contains others.

    Raises:
        FeatmixError: If ``write`` or ``check`` refuses it.
    """
    now = _now.get()
    if now is not None:
        return now.of(value, write)
    token = _now.set(now := _Once())
    try:
        record = now.of(value, write)
    finally:
        _now.reset(token)
    if len(now.written) > 1:
        check(record)
    return record


def remember(value: Any, record: Record, made: Any) -> None:
    """Remember the object that was made from a record, and that it equals the original."""
    now = _now.get()
    if now is not None:
        now.made[id(record)] = (record, made)
        now.same.add((id(value), id(made)))


def made_of(record: Record) -> Any:
    """Return the object that was made from this record in the current document; ``None`` if there is none."""
    now = _now.get()
    return now.made[id(record)][1] if now is not None and id(record) in now.made else None


def found_same(first: Any, second: Any) -> bool:
    """Return whether these two objects were found equal in the current document."""
    now = _now.get()
    return now is not None and (id(first), id(second)) in now.same
