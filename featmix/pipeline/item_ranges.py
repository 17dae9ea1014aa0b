"""Checks the range of floating images before and after ``sample``, on the first items only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.pipeline.items import take_apart
from featmix.pipeline.names import Names
from featmix.pipeline.ranges import Ranges


def looked_at(
    apply: Callable[[Any], Any], names: Names, finished: Callable[[Callable[[Any], Any]], None]
) -> Callable[[Any], Any]:
    """Return ``apply`` with a check of the first items, which warns if floats outside [0, 1] are clipped.

    Args:
        apply: Transforms an item.
        names: Which entries are images.
        finished: Called with ``apply`` when nothing is left to check.
    """
    ranges = Ranges(None)

    def look(item: Any) -> Any:
        before = _floating(item, names) if ranges.awaits_transformed else None
        if before is None:
            finished(apply)
            return apply(item)
        before = before.clone()  # a transform may write into it
        done = apply(item)
        after = _floating(done, names)
        if after is not None:
            ranges.transformed(before.unsqueeze(0), after.unsqueeze(0), "sample")
        return done

    return look


def _floating(item: Any, names: Names) -> Tensor | None:
    """Return the first image of an item if it is a tensor or array of floats."""
    try:
        image = take_apart(item, names).images[0]
    except FeatmixError:  # the transform itself says what is wrong
        return None
    if isinstance(image, np.ndarray) and image.dtype.kind == "f":
        image = torch.from_numpy(np.ascontiguousarray(image.astype(image.dtype.newbyteorder("="), copy=False)))
    return image if isinstance(image, Tensor) and image.is_floating_point() else None
