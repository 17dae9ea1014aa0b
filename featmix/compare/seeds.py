"""The seeds of an experiment: a number of seeds from 0 on, or a list, so that machines can share the work."""

from __future__ import annotations

import re
from collections.abc import Iterable

from featmix.checks import whole
from featmix.errors import FeatmixError

_MOST = 100_000
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")

Seeds = int | str | Iterable[int]


def chosen_seeds(seeds: Seeds, subject: str = "compare") -> tuple[int, ...]:
    """Read the seeds of an experiment.

    Args:
        seeds: The number of seeds, from 0 on, also as text; or which seeds, as numbers or as text: ``10-19``, ``0,3,10-12``.
        subject: Name of the command, for messages.

    Raises:
        FeatmixError: If it is invalid, or a seed is named twice.

    Example:
        >>> chosen_seeds(3), chosen_seeds("3"), chosen_seeds("10-12,20"), chosen_seeds([5, 6])
        ((0, 1, 2), (0, 1, 2), (10, 11, 12, 20), (5, 6))
    """
    if isinstance(seeds, str):
        found = _in_words(seeds, subject)
        if isinstance(found, int):
            seeds = found
        else:
            return _once(found, repr(seeds), subject)
    if isinstance(seeds, int) or not isinstance(seeds, Iterable):
        count = whole(subject, "seeds", seeds, least=1)
        if count > _MOST:
            raise FeatmixError(subject, "seeds", expected=f"at most {_MOST}", got=count)
        return tuple(range(count))
    return _once([whole(subject, "seeds", seed) for seed in seeds], repr(seeds), subject)


def _in_words(text: str, subject: str) -> int | list[int]:
    parts = [_RANGE.fullmatch(part.strip()) for part in text.split(",")]
    ends = [(int(part[1]), int(part[2] or part[1])) for part in parts if part is not None]
    if len(ends) < len(parts) or any(last < first or last - first >= _MOST for first, last in ends):
        expected = "how many, or which: 6, or 10-19, or 0,3,10-12"
        raise FeatmixError(subject, "seeds", expected=expected, got=repr(text))
    if len(parts) == 1 and "-" not in text:
        return ends[0][0]
    return [seed for first, last in ends for seed in range(first, last + 1)]


def _once(found: list[int], got: str, subject: str) -> tuple[int, ...]:
    if not found or len(set(found)) < len(found):
        raise FeatmixError(subject, "seeds", expected="each seed once, and at least one", got=got)
    return tuple(found)
