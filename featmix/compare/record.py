"""The file beside the runs with their settings and versions; it may be edited, damaged, or from an untrusted source."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypedDict

MOST_BYTES = 2**20
_MOST_ENTRIES = 10_000
_LONGEST = 4096


class Call(TypedDict):
    """A call of `compare` that ended regularly: number of runs, seconds, and number of processes."""

    runs: int
    seconds: float
    jobs: int


@dataclass(frozen=True)
class Record:
    """The record beside the runs.

    Args:
        settings: Settings of all runs.
        versions: Versions of the packages that they depend on.
        machines: Machines that made them.
        calls: Calls that ended regularly.
    """

    settings: Mapping[str, object]
    versions: Mapping[str, str]
    machines: list[dict[str, object]]
    calls: list[Call]


def read_record(path: Path) -> Record:
    """Read ``settings.json``.

    Raises:
        ValueError: If it is invalid; the message names the line or the entry.
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        written = file.read(MOST_BYTES + 1)
    if len(written) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES // 1024} KiB")
    try:
        record: Any = json.loads(written.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("too many levels") from None
    return Record(
        settings=_flat(record, "settings"),
        versions={name: _text(value, f"versions.{name}") for name, value in _flat(record, "versions").items()},
        machines=[_flat({"machine": one}, "machine") for one in _listed(record, "machines")],
        calls=[_call(one, f"calls[{number}]") for number, one in enumerate(_listed(record, "calls"))],
    )


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word}, which is no number")


def _entry(record: Any, name: str) -> Any:
    if not isinstance(record, dict) or name not in record:
        raise ValueError(f"no entry {name!r}")
    return record[name]


def _flat(record: Any, name: str) -> dict[str, object]:
    """Return a dictionary of text, numbers and truth values, after a check that it is one."""
    found = _entry(record, name)
    if not isinstance(found, dict) or len(found) > _MOST_ENTRIES:
        raise ValueError(f"{name} is no dictionary")
    for key, value in found.items():
        if not (value is None or isinstance(value, int | float | str)) or len(key) > _LONGEST or len(str(value)) > _LONGEST:
            raise ValueError(f"{name}.{key[:80]} is neither a word nor a number")
    return found


def _listed(record: Any, name: str) -> list[Any]:
    found = _entry(record, name)
    if not isinstance(found, list) or len(found) > _MOST_ENTRIES:
        raise ValueError(f"{name} is no list")
    return found


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{place} is no text")
    return value


def _call(found: Any, place: str) -> Call:
    numbers = _flat({place: found}, place)
    if numbers.keys() != Call.__annotations__.keys():
        raise ValueError(f"{place} is no call: {', '.join(Call.__annotations__)}")
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53 or math.isnan(value):
            raise ValueError(f"{place}.{name} is no number from 0 up")
        if name != "seconds" and not isinstance(value, int):
            raise ValueError(f"{place}.{name} is no whole number")
    return Call(runs=numbers["runs"], seconds=numbers["seconds"], jobs=numbers["jobs"])  # type: ignore[typeddict-item]
