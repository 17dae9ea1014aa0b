"""Checks of what a user gives."""

from __future__ import annotations

from typing import Any

from featmix.errors import FeatmixError


def check_whole(argument: str, value: Any, least: int) -> None:
    """Refuse what is no whole number from ``least`` up.

    Raises:
        FeatmixError: If it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise FeatmixError("show", argument, expected=f"a whole number from {least} up", got=repr(value))
