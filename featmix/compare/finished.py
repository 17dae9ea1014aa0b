"""Reads a folder that a comparison wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from featmix.compare.output import RUNS, SETTINGS
from featmix.compare.record import Record, read_record
from featmix.compare.results import Row, read_rows
from featmix.errors import FeatmixError


@dataclass(frozen=True)
class Finished:
    """The content of a folder of results.

    Args:
        path: Path of the folder.
        record: Settings, versions and machines of its runs.
        rows: Its runs.
    """

    path: Path
    record: Record
    rows: list[Row]

    @property
    def test_share(self) -> float | None:
        """Share of the images that each seed drew for testing; None if all seeds tested on the same images."""
        share = self.record.settings.get("test_share")
        return float(share) if isinstance(share, int | float) and 0 < share < 1 else None


def read_finished(path: Path, *, subject: str, argument: str) -> Finished:
    """Read a folder of results.

    Args:
        path: The folder.
        subject: Name of the caller, for the message.
        argument: Name of the argument, for the message.

    Raises:
        FeatmixError: If it is no such folder, or its content cannot be read.
    """
    if not (path / RUNS).is_file():
        raise FeatmixError(subject, argument, expected="a folder that featmix compare wrote", got=str(path))
    try:
        record = read_record(path / SETTINGS)
    except (OSError, ValueError) as error:
        raise FeatmixError(str(path / SETTINGS), expected="the settings of the runs beside it", got=str(error)) from error
    return Finished(path, record, read_rows(path / RUNS))
