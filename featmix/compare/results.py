"""One row per finished run, written so that neither a crash nor a power cut loses it."""

from __future__ import annotations

import csv
import io
import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO

from featmix.compare.contenders import label_of
from featmix.errors import FeatmixError, FeatmixWarning, printable
from featmix.support.files import write

Key = tuple[str, str, str, int, str]

DECIMALS = 6

_ERROR_LENGTH = 400
_LONGEST_CELL = 2000
_MOST_BYTES = 2**26
_MOST_SECONDS = 1e6
_STRATEGY = re.compile(r"[a-z0-9_-]+(/[a-z0-9_/-]+|([@:][ -~]*)?\+[ -~]+)?")  # a preset has a stroke, a combination a plus
_SEED = re.compile("[0-9]{1,18}")
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?(e[-+]?[0-9]{1,3})?")
_TOLD = 5  # bad lines that are told of one by one
_NUMBERS = ("in_domain_accuracy", "held_out_accuracy", "calibration_error", "seconds_per_step")


@dataclass(frozen=True)
class Row:
    """The results of one run; its fields are the columns of ``runs.csv``.

    Args:
        strategy: Name in the registry, or ``none``.
        settings: The settings as the user wrote them, sorted.
        site: Where the strategy acted; empty for ``none``.
        seed: Seed of split, initial weights, batch order and augmentation.
        held_out: The held-out domain; empty if there is only one domain.
        in_domain_accuracy: Accuracy on unseen images of the training domains.
        held_out_accuracy: Accuracy in the held-out domain; None if there is none.
        calibration_error: Expected calibration error (15 bins) in the held-out domain, or in domain if there is none.
        seconds_per_step: Mean time of a training step; depends on the machine and its other processes.
        error: Reason why the run failed; empty if it did not.
    """

    strategy: str
    settings: str
    site: str
    seed: int
    held_out: str
    in_domain_accuracy: float | None = None
    held_out_accuracy: float | None = None
    calibration_error: float | None = None
    seconds_per_step: float | None = None
    error: str = ""

    def __post_init__(self) -> None:
        # As exact as the file: a summary made from it must not differ from one made before it was written.
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, round(float(value), DECIMALS))

    @property
    def key(self) -> Key:
        """The key that no other run of the experiment has."""
        return (self.strategy, self.settings, self.site, self.seed, self.held_out)

    @property
    def label(self) -> str:
        """The strategy as tables call it."""
        return label_of(self.strategy, self.settings, self.site)


COLUMNS = tuple(field.name for field in fields(Row))


def one_line(message: str) -> str:
    r"""Return a message that fits a cell of a table: one line of limited length.

    Example:
        >>> one_line("a\n  b")
        'a b'
    """
    return shortened(" ".join(printable(message).split()))


def shortened(text: str) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= _ERROR_LENGTH else text[: _ERROR_LENGTH - 3] + "..."


def to_line(row: Row) -> str:
    """Return a row as a line of CSV, with a newline."""
    cells = [getattr(row, column) for column in COLUMNS]
    written = [f"{cell:.{DECIMALS}f}" if isinstance(cell, float) else "" if cell is None else cell for cell in cells]
    return _csv_line(written)


@dataclass(frozen=True)
class SetAside:
    """A line of ``runs.csv`` that is no run.

    Args:
        number: Number of the line, from 1.
        reason: Why it is no run.
        line: The line itself.
    """

    number: int
    reason: str
    line: bytes


def read_rows(path: Path) -> list[Row]:
    """Read the finished runs; the last row of a run counts, and an incomplete last line is skipped.

    Args:
        path: ``runs.csv``; a missing file has no rows.

    Warns:
        FeatmixWarning: For each line that is no run; the others are read.

    Raises:
        FeatmixError: If the file is not one that `compare` wrote.
    """
    rows, bad = read_lines(path)
    warn_of(path, bad)
    return rows


def read_lines(path: Path) -> tuple[list[Row], list[SetAside]]:
    """Read the finished runs, and the lines that are no runs; each line is read by itself, so that an error affects only one.

    Raises:
        FeatmixError: If the file is not one that `compare` wrote.
    """
    if not path.exists():
        return [], []
    try:
        with path.open("rb") as file:
            written = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise _refuse(path, str(error)) from error
    if len(written) > _MOST_BYTES:
        raise _refuse(path, f"more than {_MOST_BYTES // 2**20} MiB")
    head, *lines = written[: written.rfind(b"\n") + 1].split(b"\n")
    if not lines:
        if not _csv_line(COLUMNS).encode().startswith(written):  # a header torn by a crash is one that we began to write
            raise _refuse(path, "a file without a complete line")
        return [], []
    if head.rstrip(b"\r") != _csv_line(COLUMNS).encode().strip():
        raise _refuse(path, f"the columns {shortened(head.decode(errors='replace')) or '(none)'} in line 1")
    rows: dict[Key, Row] = {}
    bad = []
    for number, line in enumerate(lines[:-1], start=2):
        if not line.strip():
            continue
        try:
            row = _from_line(line)
        except (ValueError, csv.Error) as error:
            bad.append(SetAside(number, one_line(str(error)), line))
        else:
            rows[row.key] = row
    return list(rows.values()), bad


def warn_of(path: Path, bad: Iterable[SetAside], *, where: str = "") -> None:
    """Warn of lines that were set aside, with the numbers of the first few."""
    bad = list(bad)
    for one in bad[:_TOLD]:
        warnings.warn(f"{path}: line {one.number} is no run and set aside{where}: {one.reason}", FeatmixWarning, stacklevel=3)
    if len(bad) > _TOLD:
        warnings.warn(f"{path}: so are {len(bad) - _TOLD} more lines{where}", FeatmixWarning, stacklevel=3)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Replace the file by one with these rows, in one step, so that a crash cannot leave half of it."""
    write(path, _csv_line(COLUMNS) + "".join(map(to_line, rows)))


def append_row(file: IO[str], row: Row) -> None:
    """Append one row and wait until it is on the disk."""
    file.write(to_line(row))
    file.flush()
    os.fsync(file.fileno())


def _csv_line(cells: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _from_line(line: bytes) -> Row:
    """Read a row; raise a ValueError or a csv.Error if it is invalid."""
    (cells,) = csv.reader([line.decode()], strict=True)
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{len(cells)} cells for {len(COLUMNS)} columns")
    values: dict[str, object] = dict(zip(COLUMNS, cells, strict=True))
    for column in ("strategy", "settings", "site", "held_out", "error"):
        if len(str(values[column])) > _LONGEST_CELL:
            raise ValueError(f"{column} of {len(str(values[column]))} characters")
    if not _STRATEGY.fullmatch(str(values["strategy"])) or ":" in str(values["site"]):
        raise ValueError(f"no strategy at a site: {shortened(str(values['strategy']))} at {shortened(str(values['site']))}")
    if not _SEED.fullmatch(str(values["seed"])):
        raise ValueError(f"seed is {shortened(repr(values['seed']))}")
    values["seed"] = int(str(values["seed"]))
    for column in _NUMBERS:
        values[column] = _measured(column, str(values[column])) if values[column] else None
    return Row(**values)  # type: ignore[arg-type]  # the columns are the fields, and their types were just made


def _measured(column: str, cell: str) -> float:
    most = _MOST_SECONDS if column == "seconds_per_step" else 1.0
    if not _NUMBER.fullmatch(cell) or not 0 <= float(cell) <= most:
        raise ValueError(f"{column} is {shortened(repr(cell))}, no number from 0 to {most:g}")
    return float(cell)


def _refuse(path: Path, got: str) -> FeatmixError:
    fix = "Name another folder with --out, or begin again with --fresh."
    return FeatmixError(str(path), expected="a file that compare wrote", got=got, fix=fix)
