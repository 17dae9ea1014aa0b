"""Warnings that point at the line of the user's own code."""

from __future__ import annotations

import sys
import warnings

from featmix.errors import FeatmixError, FeatmixWarning

_INNER = ("featmix", "torch")


def warn(subject: str, argument: str = "", *, expected: str, got: str, fix: str) -> None:
    """Warn in the words of a :class:`~featmix.FeatmixError`, at the innermost caller that is neither of featmix nor of torch.

    Args:
        subject: Who warns.
        argument: The argument or attribute, where it is one.
        expected: What would be right.
        got: What is there instead.
        fix: What the caller can do.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INNER:
        level, frame = level + 1, frame.f_back
    message = str(FeatmixError(subject, argument, expected=expected, got=got, fix=fix))
    warnings.warn(message, FeatmixWarning, stacklevel=level)
