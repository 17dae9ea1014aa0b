"""Volumes and their masks: tensors ``(C, D, H, W)`` and ``(D, H, W)``, or arrays with albumentations' names."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.errors import FeatmixError

VOLUME, MASK3D = "volume", "mask3d"


def is_volume(name: Any, value: Any) -> bool:
    """Return whether an entry can be a volume: a tensor of four axes, or an array called ``volume``.

    Example:
        >>> is_volume("volume", np.zeros((4, 8, 8))), is_volume("image", np.zeros((4, 8, 8)))
        (True, False)
    """
    if isinstance(value, Tensor):
        return value.ndim == 4
    return name == VOLUME and isinstance(value, np.ndarray) and value.ndim in (3, 4)


def channels_first(name: Any, value: Any) -> Any:
    """Convert an array ``(D, H, W)`` or ``(D, H, W, C)`` with such a name to a tensor; return anything else as it is."""
    if not isinstance(value, np.ndarray) or name not in (VOLUME, MASK3D):
        return value
    x = torch.from_numpy(np.ascontiguousarray(value.astype(value.dtype.newbyteorder("="), copy=False)))
    if name == MASK3D:
        return x if x.ndim == 3 else x.movedim(-1, 0)
    return (x.unsqueeze(-1) if x.ndim == 3 else x).movedim(-1, 0)


def plane_of(name: Any, value: Any) -> tuple[int, int] | None:
    """Return height and width of a volume; ``None`` for anything else."""
    if not is_volume(name, value):
        return None
    axes = value.shape[-2:] if isinstance(value, Tensor) else value.shape[1:3]
    return int(axes[0]), int(axes[1])


def check_is_array(name: Any, value: Any) -> None:
    """Refuse a volume as a tensor, since albumentations expects an array.

    Raises:
        FeatmixError: If it is a tensor.
    """
    if isinstance(value, Tensor) and value.ndim == 4:
        fix = "An array (D, H, W, C) under 'volume', with its mask under 'mask3d'."
        got = f"a tensor {tuple(value.shape)}"
        raise FeatmixError("Pipeline", f"item[{name!r}]", expected="an array for albumentations", got=got, fix=fix)
