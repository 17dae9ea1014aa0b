"""One failure again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from featmix.errors import FeatmixError, nearest
from featmix.testing.adapters import adapt
from featmix.testing.law import laws
from featmix.testing.runner import hold


def reproduce(law: str, subject: Any, x: Tensor | None = None, *, seed: int = 0, dtype: torch.dtype | None = None) -> None:
    """Hold a subject to one law on one input, as the text of a failure says; returns where it holds.

    Args:
        law: Its name.
        subject: What :func:`~featmix.testing.check.check_strategy` or its sister for normalizers was given.
        x: The input, for a law that is drawn.
        seed: Of the decision.
        dtype: For a law that makes its own inputs, in each dtype: which.

    Raises:
        LawError: If it does not hold. What the subject itself raises comes out as it is.
        FeatmixError: If there is no such law, or a drawn one gets no input.

    Example:
        >>> import featmix as fm
        >>> reproduce("isolation", fm.Mixup(), torch.zeros(2, 1, 3, 3), seed=1)
    """
    known = {one.name: one for one in laws()}
    if law not in known:
        raise FeatmixError("reproduce", "law", expected="the name of a law", got=repr(law), fix=nearest(law, known))
    if known[law].drawn and x is None:
        raise FeatmixError("reproduce", "x", expected="features", got="None", fix="The text of the failure has them.")
    hold(known[law], adapt(subject), x, seed, torch.float32 if dtype is None else dtype)
