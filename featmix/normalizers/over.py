"""Means over axes that are called by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.layouts import ANY_NDIM, Layout, resolve_layout
from featmix.normalizers.base import Normalizer


@dataclass(frozen=True)
class Over(Normalizer):
    """Means by the names of axes: over those that are named, one for each combination of the others.

    ``over:ct`` of ``bcft`` has one mean a frequency.
    ``over:c`` is PONO; over all positions it is IN, and over the channels too it is LN.

    Args:
        axes: Letters of the layout, in any order.

    Raises:
        FeatmixError: If there is no axis, one is named twice or is ``b``, or the layout does not have it.
    """

    axes: str = ""

    kind = "over"

    def __post_init__(self) -> None:
        super().__post_init__()
        axes = self.axes
        letters = isinstance(axes, str) and axes.isascii() and axes.isalpha() and axes.islower()
        if not letters or len(set(axes)) < len(axes):
            raise FeatmixError(
                "normalizer",
                "over",
                expected="lower-case letters of the layout, each at most once",
                got=repr(axes),
                fix="For example 'over:ct' with layout='bcft'.",
            )
        if "b" in axes:
            raise FeatmixError(
                "normalizer",
                "over",
                expected="axes of a sample",
                got=f"{axes!r}, which holds the batch",
                fix="Moments over the batch belong to no sample; 'bn' has them.",
            )
        object.__setattr__(self, "axes", "".join(sorted(axes)))
        if self.layout is not None and self.layout not in ANY_NDIM:
            self._check_axes(self.layout)

    @property
    def name(self) -> str:
        """The string that makes this normalizer: ``over:ct``."""
        return f"{self.kind}:{self.axes}"

    @property
    def partly_over_positions(self) -> bool:
        """True if a position axis is among the axes."""
        return self.axes != "c"

    def reduced(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the axes that a mean is taken over, for an ``x`` of this shape."""
        return self._layout_of(shape).axes(self.axes)

    def group_size(self, shape: Sequence[int]) -> int:
        """Return how many elements one mean is taken over, for an ``x`` of this shape."""
        return prod([shape[axis] for axis in self.reduced(shape)])

    def real_positions(self, mask: Tensor) -> Tensor:
        """Return how many real positions one mean is taken over, of shape ``(B, *positions)``, 1 along the axes averaged.

        Args:
            mask: ``(B, *positions)`` bool, False where there is padding.
        """
        lay = self._layout_of((0,) * (mask.ndim + 1))
        taken = [1 + k for k, axis in enumerate(lay.positions) if lay.name[axis] in self.axes]
        return mask.sum(taken, keepdim=True) if taken else mask.long()

    def oracle(self, sample: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of one sample (no batch axis) in plain NumPy, each spread out to its shape."""
        letters = self._layout_of((1, *sample.shape)).name[1:]
        mean, std = np.empty_like(sample), np.empty_like(sample)
        apart = [size if letter not in self.axes else 1 for letter, size in zip(letters, sample.shape, strict=True)]
        for place in np.ndindex(*apart):
            group = tuple(slice(None) if letter in self.axes else k for letter, k in zip(letters, place, strict=True))
            values = sample[group].ravel()
            if self.positive_only:
                values, ddof = values[values > 0], 0
            else:
                ddof = int(self.unbiased and values.size > 1)
            mean[group] = values.mean() if values.size else 0.0
            std[group] = np.sqrt((values.var(ddof=ddof) if values.size else 0.0) + self.eps)
        return mean, std

    def _layout_of(self, shape: Sequence[int]) -> Layout:
        lay = resolve_layout(self.layout, shape, self.name)
        self._check_axes(lay.name)
        return lay

    def _check_axes(self, name: str) -> None:
        missing = [letter for letter in self.axes if letter not in name]
        if missing:
            raise FeatmixError(
                self.name,
                "layout",
                expected=f"a layout with the axes {', '.join(self.axes)}",
                got=f"{name!r}, which has no {', '.join(missing)}",
                fix="Name the axes of the features: layout='bcft' has channels, frequencies and time.",
            )
