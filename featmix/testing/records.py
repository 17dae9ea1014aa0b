"""Results of laws."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["passed", "failed", "expected failure", "skipped", "unfinished"]


@dataclass(frozen=True)
class Record:
    """The result of one law in one dtype.

    Args:
        law: Its name.
        dtype: What the features were of; ``None`` for a law that chooses by itself.
        status: ``passed``, ``failed``, ``expected failure``, ``skipped`` (it is not for this subject, or cannot be tried here),
            or ``unfinished`` (the budget was used up before it had been tried on all inputs).
        examples: How many inputs were tried, those that made a failure smaller included.
        seconds: How long it took.
        message: Of the failure, with the smallest input found; empty otherwise.
        measured: Of the failure, in a line: measured against allowed, or the error raised; empty otherwise.
        reason: Why it was skipped, was not finished, or was expected to fail; empty otherwise.
    """

    law: str
    dtype: str | None
    status: Status
    examples: int
    seconds: float
    message: str = ""
    measured: str = ""
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The record as plain values, for programs."""
        return dataclasses.asdict(self)
