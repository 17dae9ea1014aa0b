"""A folder that a comparison wrote, read again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from featmix.compare.output import RUNS, SETTINGS
from featmix.compare.record import Record, read_record
from featmix.compare.results import Row, read_rows
from featmix.errors import FeatmixError


@dataclass(frozen=True)
class Finished:
    """What a folder holds.

    Args:
        path: Where it is.
        record: What its runs were made with.
        rows: Its runs.
    """

    path: Path
    record: Record
    rows: list[Row]

    @property
    def test_share(self) -> float | None:
        """The share of images that each seed drew to test on; None where all seeds tested on the same."""
        share = self.record.settings.get("test_share")
        return float(share) if isinstance(share, int | float) and 0 < share < 1 else None


def read_finished(path: Path, *, subject: str, argument: str) -> Finished:
    """Read a folder of results.

    Args:
        path: The folder.
        subject: Who reads it, for the message.
        argument: Which argument named it, for the message.

    Raises:
        FeatmixError: If it is none, or what is in it cannot be read.
    """
    if not (path / RUNS).is_file():
        raise FeatmixError(subject, argument, expected="a folder that featmix compare wrote", got=str(path))
    try:
        record = read_record(path / SETTINGS)
    except (OSError, ValueError) as error:
        raise FeatmixError(str(path / SETTINGS), expected="the settings of the runs beside it", got=str(error)) from error
    return Finished(path, record, read_rows(path / RUNS))
