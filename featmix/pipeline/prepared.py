"""Keeps track of the batches that went through ``prepare``, so that a draw for another batch is refused."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor

from featmix.errors import FeatmixError

_EACH = "Write images = mixer.prepare(images) in each step, and go on with those"


class Prepared:
    """Batches that went through ``prepare`` since the last draw, as weak references."""

    def __init__(self) -> None:
        self._left = 0  # how many batches may be drawn for: what was done to them after prepare is not known
        self._given: list[weakref.ref[Tensor]] = []  # what prepare was given, where it gave back something else
        self._done: list[weakref.ref[Tensor]] = []

    def note(self, images: Tensor, done: Tensor) -> None:
        """Note the input and the result of ``prepare``."""
        if not self._left:
            self._given, self._done = [], []
        self._left += 1
        self._done.append(weakref.ref(done))
        if done is not images:
            self._given.append(weakref.ref(images))

    def check(self, images: Tensor) -> None:
        """Check that a batch went through ``prepare``; each prepared batch allows one draw.

        Raises:
            FeatmixError: If it is the input instead of the result, or nothing was prepared since the last draw.
        """
        if any(each() is images for each in self._given):
            got = "what it was given"
        elif self._left or any(_shares(each(), images) for each in self._done):
            self._left = max(self._left - 1, 0)
            return
        else:
            got = "images that did not go through it, so that the pipeline's batch= and normalize= were not applied"
        fix = f"{_EACH}; in eval mode too, where batch= does nothing."
        raise FeatmixError("Mixer.draw", "images", expected="what prepare gave back", got=got, fix=fix)

    def __reduce__(self) -> Any:
        """Make an empty copy."""
        return Prepared, ()


def _shares(one: Tensor | None, other: Tensor) -> bool:
    """Return whether a batch is another one, or a view of it."""
    if one is None:
        return False
    return one is other or (one.device == other.device and one.data_ptr() == other.data_ptr() != 0)
