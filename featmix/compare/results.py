"""One row per finished run, kept so that neither a crash nor a power cut loses it."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO

from featmix.compare.contenders import label_of
from featmix.errors import FeatmixError
from featmix.support.files import write

Key = tuple[str, str, str, int, str]

DECIMALS = 6

_ERROR_LENGTH = 400
_NUMBERS = ("in_domain_accuracy", "held_out_accuracy", "calibration_error", "seconds_per_step")


@dataclass(frozen=True)
class Row:
    """The results of one run; its fields are the columns of ``runs.csv``.

    Args:
        strategy: Name in the registry, or ``none``.
        settings: Those that differ from the library's defaults.
        site: Where the strategy acted; empty for ``none``.
        seed: Of split, initial weights, batch order and augmentation.
        held_out: The domain left out; empty where there is only one.
        in_domain_accuracy: Share of correct answers on unseen images of the training domains.
        held_out_accuracy: The same in the held-out domain; None where there is none.
        calibration_error: Expected calibration error (15 bins) in the held-out domain, or in domain where there is none.
        seconds_per_step: Mean time of a training step; depends on the machine and on what else runs there.
        error: Why the run failed; empty if it did not.
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
    r"""A message that fits a cell of a table: one line, not endless.

    Example:
        >>> one_line("a\n  b")
        'a b'
    """
    flat = " ".join(message.split())
    return flat if len(flat) <= _ERROR_LENGTH else flat[: _ERROR_LENGTH - 3] + "..."


def to_line(row: Row) -> str:
    """A row as a line of CSV, newline included."""
    cells = [getattr(row, column) for column in COLUMNS]
    written = [f"{cell:.{DECIMALS}f}" if isinstance(cell, float) else "" if cell is None else cell for cell in cells]
    return _csv_line(written)


def read_rows(path: Path) -> list[Row]:
    """Read the finished runs; the last row of a run wins, and a last line torn by a crash is passed over.

    Args:
        path: ``runs.csv``; a missing file has no rows.

    Raises:
        FeatmixError: where the file is not one that `compare` wrote.
    """
    if not path.exists():
        return []
    try:
        written = path.read_bytes()
        complete = written[: written.rfind(b"\n") + 1].decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _refuse(path, str(error)) from error
    lines = list(csv.reader(io.StringIO(complete)))
    if not lines:
        if not _csv_line(COLUMNS).encode().startswith(written):  # a header torn by a crash is one that we began to write
            raise _refuse(path, "a file without a complete line")
        return []
    if tuple(lines[0]) != COLUMNS:
        raise _refuse(path, f"the columns {', '.join(lines[0]) or '(none)'}")
    rows: dict[Key, Row] = {}
    for number, cells in enumerate(lines[1:], start=2):
        row = _from_cells(path, number, cells)
        rows[row.key] = row
    return list(rows.values())


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Replace the file by one that holds these rows, in one step that a crash cannot split."""
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


def _from_cells(path: Path, number: int, cells: list[str]) -> Row:
    try:
        values: dict[str, object] = dict(zip(COLUMNS, cells, strict=True))
        values["seed"] = int(str(values["seed"]))
        for column in _NUMBERS:
            values[column] = _finite(str(values[column])) if values[column] else None
        return Row(**values)  # type: ignore[arg-type]  # the columns are the fields, and their types were just made
    except ValueError as error:
        raise _refuse(path, f"line {number} ({error})") from error


def _finite(cell: str) -> float:
    number = float(cell)
    if not math.isfinite(number):
        raise ValueError(f"{cell} is no measurement")
    return number


def _refuse(path: Path, got: str) -> FeatmixError:
    fix = "Name another folder with --out, or begin again with --fresh."
    return FeatmixError(str(path), expected="a file that compare wrote", got=got, fix=fix)
