"""Normalization of images, the last step in training and evaluation alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.errors import FeatmixError

NORMALIZE = "normalize"
_WHO = "Pipeline"
WIDEST = 0.55  # the largest standard deviation that values in [0, 1] have is 0.5
_FIX = (
    "normalize=((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), for images in [0, 1]; one number each stands for all channels."
)


@dataclass(frozen=True)
class Normalization:
    """``(x - mean) / std``, channel by channel.

    Args:
        mean: Mean of each channel, or one number for all, in the units of images in a batch: bytes are divided by 255 there.
        std: Standard deviation, likewise.

    Example:
        >>> unit = Normalization.of((0.5, (0.25,)))
        >>> unit(torch.tensor([[[0.5, 1.0]]])).tolist()
        [[[0.0, 2.0]]]
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, given: Any) -> Normalization:
        """Make it from a pair of mean and standard deviation.

        Raises:
            FeatmixError: If it is no pair, the lengths differ, or a number is out of range.
        """
        if not isinstance(given, list | tuple) or len(given) != 2:
            raise FeatmixError(_WHO, NORMALIZE, expected="(mean, std)", got=repr(given), fix=_FIX)
        mean, std = (_numbers(values) for values in given)
        if mean is None or std is None or len({len(mean), len(std)} - {1}) > 1:
            expected = "(mean, std), each a number or one for each channel"
            raise FeatmixError(_WHO, NORMALIZE, expected=expected, got=repr(given), fix=_FIX)
        if min(std) <= 0:
            raise FeatmixError(_WHO, NORMALIZE, expected="std above 0", got=repr(given[1]), fix=_FIX)
        return cls(mean, std)

    def __call__(self, x: Tensor) -> Tensor:
        """Normalize images ``(B, C, ...)``: bytes become float32 and are divided by 255 first; other dtypes stay.

        Raises:
            FeatmixError: If they have another number of channels, or are integers of unknown range.
        """
        self._check(x)
        mean, std = self._on(x)
        if x.dtype == torch.uint8:
            x = x.float().div_(255)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        return ((wide - mean) / std).to(x.dtype)

    def undone(self, x: Tensor) -> Tensor:
        """Return images as they were before normalization, up to rounding."""
        self._check(x)
        mean, std = self._on(x)
        return x * std + mean

    @property
    def is_of_unit(self) -> bool:
        """Whether mean and standard deviation can be those of images in [0, 1]."""
        return all(0 < m < 1 for m in self.mean) and max(self.std) <= WIDEST

    def _check(self, x: Tensor) -> None:
        if x.dtype != torch.uint8 and not x.is_floating_point():
            fix = "Divide by the largest value that they can have, or use pipeline.collate."
            raise FeatmixError(_WHO, NORMALIZE, expected="bytes or floating images", got=str(x.dtype), fix=fix)
        count = max(len(self.mean), len(self.std))
        if x.ndim < 2 or count not in (1, x.shape[1]):
            expected = f"images (B, C, ...) with {count} channels, as mean and std have" if count > 1 else "images (B, C, ...)"
            raise FeatmixError(_WHO, NORMALIZE, expected=expected, got=f"shape {tuple(x.shape)}")

    def _on(self, x: Tensor) -> tuple[Tensor, Tensor]:
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        mean, std = _tensors(self.mean, self.std, x.device, dtype)
        shape = (-1, *(1,) * (x.ndim - 2))
        return mean.view(shape), std.view(shape)

    def __str__(self) -> str:
        mean, std = (f"{values[0]:g}" if len(values) == 1 else f"({', '.join(f'{v:g}' for v in values)})" for values in self)
        return f"(x - {mean}) / {std}"

    def __iter__(self) -> Iterator[tuple[float, ...]]:
        """Iterate over mean and standard deviation."""
        return iter((self.mean, self.std))


def without_normalization(state: Any, mine: Normalization | None) -> Any:
    """Return a pipeline's state without its normalization, which must be the same.

    Args:
        state: Result of ``state_dict``.
        mine: The normalization of the pipeline that continues.

    Raises:
        FeatmixError: If the normalization differs, so that the run would continue with other images.
    """
    theirs = state.get(NORMALIZE) if isinstance(state, Mapping) else None
    own = None if mine is None else [list(values) for values in mine]
    if isinstance(state, Mapping) and theirs != own:
        fix = "Make the pipeline as that of the run that was saved."
        raise FeatmixError("Pipeline.load_state_dict", NORMALIZE, expected=repr(own), got=repr(theirs), fix=fix)
    return {name: value for name, value in state.items() if name != NORMALIZE} if theirs is not None else state


@lru_cache(maxsize=64)
def _tensors(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # for whoever comes next, and wants gradients
        return torch.tensor(mean, dtype=dtype, device=device), torch.tensor(std, dtype=dtype, device=device)


def _numbers(values: Any) -> tuple[float, ...] | None:
    """Return finite numbers, one or several; ``None`` for anything else."""
    if isinstance(values, Tensor | np.ndarray):
        values = values.tolist()
    listed = values if isinstance(values, Sequence) and not isinstance(values, str | bytes) else (values,)
    numbers = [value for value in listed if isinstance(value, int | float | np.number) and not isinstance(value, bool)]
    if not numbers or len(numbers) != len(listed) or not all(map(math.isfinite, numbers)):
        return None
    return tuple(map(float, numbers))
