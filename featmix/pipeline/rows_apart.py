"""Tests an unknown callable on the first batch: a change of one row must not change another row.

A label belongs to a row. A transform that pastes, blends or reorders rows puts the content of one sample under the label of
another, and the loss would use the wrong labels. Transforms of the libraries are known by their classes; others are tested.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from featmix.errors import FeatmixError

_ROWS, _TRIES = 8, 6
_SHARE, _OF_MEAN = 0.25, 1.5  # of the change of a row that may be seen in another: a mean over eight rows passes on an eighth


def check_rows_apart(transform: Any, images: Tensor, seeded: Callable[[int], Any]) -> None:
    """Refuse a callable that copies content of other samples into a row.

    It, or a copy of it if possible, is called a few times on a few rows of the batch, one of which is painted over: with the
    same random numbers, the other rows must not change. A callable that fails during this test is not judged here.

    Args:
        transform: A transform of a batch of images.
        images: ``(B, ...)``, floating.
        seeded: Takes a seed and returns a context in which the global generators are seeded with it.

    Raises:
        FeatmixError: If rows depend on each other.
    """
    if len(images) < 2 or not images.numel():
        return
    batch = images.detach()[:_ROWS].clone()
    low, high = float(batch.min()), float(batch.max())
    if not high > low:
        low, high = 0.0, 1.0
    own = _copied(transform)
    for number in range(_TRIES):
        row = number % len(batch)
        painted = batch.clone()
        painted[row] = torch.where(batch[row] > (low + high) / 2, low, high)
        try:
            with torch.no_grad():
                with seeded(number):
                    before = own(batch.clone())
                with seeded(number):
                    after = own(painted)
            others = torch.arange(len(batch), device=batch.device) != row
            seen = (after - before)[others].abs().nan_to_num(0, 0, 0).amax()
            own_change = (after - before)[row].abs().nan_to_num(0, 0, 0).amax()
        except Exception:  # it may want other batches than these: the step itself says what is wrong
            return
        if float(seen) > max(_SHARE, _OF_MEAN / len(batch)) * max(float(own_change), high - low):
            raise FeatmixError(
                "Pipeline",
                "batch",
                expected="transforms that leave each sample its own label",
                got="a callable that brings content of one sample into the row of another, so that the labels would be wrong",
                fix="Mixing belongs into mix=, and the order of samples is the loader's.",
            )


def _copied(transform: Any) -> Any:
    try:
        return copy.deepcopy(transform)
    except Exception:
        return transform
