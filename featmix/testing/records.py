"""Results of laws."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["passed", "failed", "expected failure"]


@dataclass(frozen=True)
class Record:
    """The result of one law in one dtype.

    Args:
        law: Its name.
        dtype: What the drawn features were of; ``None`` for a law that is not drawn.
        status: ``passed``, ``failed``, or ``expected failure``.
        examples: How many inputs were tried, those that made a failure smaller included.
        seconds: How long it took.
        message: Of the failure, with the smallest input found; empty otherwise.
        measured: Of the failure, in a line: measured against allowed, or the error raised; empty otherwise.
    """

    law: str
    dtype: str | None
    status: Status
    examples: int
    seconds: float
    message: str = ""
    measured: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The record as plain values, for programs."""
        return dataclasses.asdict(self)
