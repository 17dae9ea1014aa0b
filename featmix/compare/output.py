"""The output folder of an experiment, with its settings and finished runs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import featmix
from featmix.compare.record import Call, Record, read_record
from featmix.compare.resources import cores
from featmix.compare.results import Key, Row, append_row, read_lines, warn_of, write_rows
from featmix.compare.settings import completed
from featmix.errors import FeatmixError
from featmix.support.files import write

RUNS, SETTINGS, LOCK, ASIDE = "runs.csv", "settings.json", ".lock", "runs-set-aside.csv"
SUMMARY_TABLE, SUMMARY_TEXT, SUMMARY_FIGURE, PAIRS = "summary.csv", "summary.md", "summary.png", "pairs.csv"
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | _NO_LINKS
_OURS = (RUNS, SETTINGS, ASIDE, SUMMARY_TABLE, SUMMARY_TEXT, SUMMARY_FIGURE, PAIRS)


class OutputFolder:
    """The folder, held by one process at a time.

    Use it as a context manager: it is locked on entry and released on exit, however the process ends.

    Args:
        path: Path of the folder, made if missing.

    Raises:
        FeatmixError: on entry, if the path is no folder or another process writes there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: list[Call] = []
        self._lock: IO[str] | None = None
        self.machines: list[dict[str, object]] = []
        self._record: dict[str, object] = {}

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.fdopen(os.open(self.path / LOCK, _LOCK_FLAGS, 0o644), "w")
        except OSError as error:
            raise FeatmixError("compare", "out", expected="a folder to write to", got=str(error)) from error
        if not _lock(self._lock):
            fix = "Wait for it, or name another folder with --out."
            raise FeatmixError("compare", "out", expected="a folder of one's own", got=f"{self.path}, in use", fix=fix)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._lock is not None:
            self._lock.close()

    def begin(self, settings: Mapping[str, object], *, fresh: bool = False) -> list[Row]:
        """Check that the folder belongs to these settings, and read the finished runs.

        Args:
            settings: Settings of all runs, as plain JSON values.
            fresh: Delete previous results first.

        Returns:
            The finished runs, failed ones included.

        Warns:
            FeatmixWarning: For each line that is no run. Such lines are moved to a separate file.

        Raises:
            FeatmixError: If a setting or a version differs from that of the runs in the folder.
        """
        if fresh:
            for name in _OURS:
                (self.path / name).unlink(missing_ok=True)
        rows, bad = read_lines(self.path / RUNS)
        if rows:
            self._check_settings(settings, len(rows))
        if bad:
            self._set_aside(one.line + b"\n" for one in bad)
            self.keep(rows)
            warn_of(self.path / RUNS, bad, where=f", kept in {ASIDE}")
        here = machine()
        if here not in self.machines:
            self.machines.append(here)
        self._record = {"settings": settings, "versions": versions(), "machines": self.machines}
        self._write_record()
        return rows

    def join(self, record: Record, rows: Iterable[Row], machines: list[dict[str, object]], calls: list[Call]) -> None:
        """Fill an empty folder with runs from other folders.

        Args:
            record: Settings and versions of the runs.
            rows: The runs.
            machines: All machines that made some.
            calls: All calls that made some.
        """
        self.calls, self.machines = calls, machines
        self._record = {"settings": record.settings, "versions": record.versions, "machines": machines}
        self._write_record()
        self.keep(rows)

    def close_call(self, call: Call) -> list[Call]:
        """Record a call that ended regularly.

        Returns:
            All such calls, including this one if it made any runs.
        """
        if call["runs"]:
            self.calls.append(call)
            self._write_record()
        return self.calls

    def add_machines(self, machines: Iterable[dict[str, object]]) -> None:
        """Record other machines that made runs."""
        self.machines += [each for each in machines if each not in self.machines]

    @property
    def has_runs(self) -> bool:
        """Whether the folder contains runs."""
        return (self.path / RUNS).exists()

    def keep(self, rows: Iterable[Row]) -> None:
        """Replace the runs on disk by these."""
        write_rows(self.path / RUNS, rows)

    def append(self, row: Row) -> None:
        """Write one more run, and return when it is on the disk."""
        with (self.path / RUNS).open("a", encoding="utf-8", newline="") as file:
            append_row(file, row)

    def _set_aside(self, lines: Iterable[bytes]) -> None:
        path = self.path / ASIDE
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_LINKS, 0o644), "ab") as file:
                file.writelines(lines)
        except OSError as error:
            raise FeatmixError(str(path), expected="a file to write to", got=error.strerror or str(error)) from error

    def _write_record(self) -> None:
        write(self.path / SETTINGS, json.dumps({**self._record, "calls": self.calls}, indent=2) + "\n")

    def _check_settings(self, settings: Mapping[str, object], count: int) -> None:
        fix = f"Name another folder with --out, or throw its {count} run(s) away with --fresh."
        path = self.path / SETTINGS
        try:
            record = read_record(path)
        except (OSError, ValueError) as error:
            got = f"{RUNS} without it ({error})"
            raise FeatmixError(str(path), expected="the settings of the runs beside it", got=got, fix=fix) from error
        self.calls, self.machines = record.calls, record.machines
        made_with = {**completed(record.settings), **record.versions}
        asked: dict[str, Any] = json.loads(json.dumps({**completed(settings), **versions()}))
        changed = [name for name in {**made_with, **asked} if made_with.get(name) != asked.get(name)]
        if changed:
            expected = ", ".join(f"{name} = {made_with.get(name)}" for name in changed)
            got = ", ".join(f"{name} = {asked.get(name)}" for name in changed)
            where = f"{expected}, as for the runs in {self.path}"
            raise FeatmixError("compare", ", ".join(changed), expected=where, got=got, fix=fix)


def versions() -> dict[str, str]:
    """Return the versions that results depend on; rows with different versions are not comparable."""
    names = {"torch": "torch", "lightning_fabric": "lightning-fabric", "torchmetrics": "torchmetrics"}
    return {"featmix": featmix.__version__, **{name: _version(package) for name, package in names.items()}}


def machine() -> dict[str, object]:
    """Return a description of this machine."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": cores(),
        "python": platform.python_version(),
    }


def done(rows: Iterable[Row]) -> dict[Key, Row]:
    """Return the runs that need not be made again."""
    return {row.key: row for row in rows if not row.error}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _lock(file: IO[str]) -> bool:
    """Lock an open file for this process; return whether it worked, True if the system has no such locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
