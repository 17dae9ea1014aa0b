"""Transforms volumes and their masks by kornia's 3-D operations, which do not support masks: each by the same parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from featmix.errors import FeatmixError
from featmix.pipeline.origin import derives_from
from featmix.support.extras import imported

_GEOMETRIC = ("kornia.augmentation._3d.geometric.base.GeometricAugmentationBase3D",)
_INTENSITY = ("kornia.augmentation._3d.intensity.base.IntensityAugmentationBase3D",)


def volume_steps(transform: nn.Module) -> list[nn.Module]:
    """Return the 3-D operations of a transform, in order; empty if it is of another kind."""
    held = list(transform.children()) if not derives_from(transform, (*_GEOMETRIC, *_INTENSITY)) else [transform]
    return held if held and all(derives_from(step, (*_GEOMETRIC, *_INTENSITY)) for step in held) else []


def move_volumes(transform: nn.Module, volumes: Sequence[Tensor], masks: Sequence[Tensor]) -> list[Tensor]:
    """Transform volumes and masks alike, masks with nearest-neighbor interpolation.

    Args:
        transform: One operation, or several that are all applied in order.
        volumes: Each ``(B, C, D, H, W)``, floating, of one shape.
        masks: Each ``(B, D, H, W)`` or ``(B, K, D, H, W)``; their dtype stays the same.

    Raises:
        FeatmixError: If the transform chooses among its operations.
    """
    if getattr(transform, "random_apply", False):
        fix = "Give operations a p= each."
        raise FeatmixError("Pipeline", "batch", expected="3-D operations in one order", got="random_apply", fix=fix)
    nearest = imported("kornia.constants", subject="Pipeline", install="kornia").Resample.NEAREST
    x = list(volumes)
    flat = [mask.ndim == volumes[0].ndim - 1 for mask in masks]
    maps = [mask.unsqueeze(1) if single else mask for mask, single in zip(masks, flat, strict=True)]
    precise = torch.promote_types(volumes[0].dtype, torch.float32)
    floats = [mask.to(precise) for mask in maps]
    for step in volume_steps(transform):
        first = step(x[0])
        params: Any = dict(step._params)  # type: ignore[arg-type] # kornia's, of this call
        x = [first, *(step(volume, params=params) for volume in x[1:])]
        if derives_from(step, _GEOMETRIC):
            resampling = {"resample": nearest} if "resample" in getattr(step, "flags", {}) else {}
            floats = [step(mask, params=params, **resampling) for mask in floats]
    moved = [new.squeeze(1) if single else new for new, single in zip(floats, flat, strict=True)]
    return [*x, *(new.to(mask.dtype) for new, mask in zip(moved, masks, strict=True))]
