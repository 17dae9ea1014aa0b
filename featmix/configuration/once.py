"""Each object of a document is written once and made again once, however deep it stands and however often it is asked for.

Whoever writes a container tries guesses at its arguments, and each try writes and makes its members too: with nothing
remembered, what a file says in one line more takes twice as long. So what has been written, what has been made of that, and
which two objects were found to be the same are remembered while one object is written, down to its last member. At its end
all of it is made anew and compared as a whole, for a container may have changed its members.
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
    """Return what ``write`` makes of an object, as it was made the first time that this document asked.

    Args:
        value: The object.
        write: Its record.
        check: Refuses a record of which another object is made; called for an object that holds others, at the end.

    Raises:
        FeatmixError: Whatever either of them refuses.
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
    """Remember that an object was made of a record, and is the same as the one that was written."""
    now = _now.get()
    if now is not None:
        now.made[id(record)] = (record, made)
        now.same.add((id(value), id(made)))


def made_of(record: Record) -> Any:
    """Return what was made of this very record while the document is written; ``None`` where nothing was."""
    now = _now.get()
    return now.made[id(record)][1] if now is not None and id(record) in now.made else None


def found_same(first: Any, second: Any) -> bool:
    """Return whether these very objects were found to be the same while the document is written."""
    now = _now.get()
    return now is not None and (id(first), id(second)) in now.same
