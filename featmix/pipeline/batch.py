"""The ``batch`` part: applied to a batch of images on their device, and to their masks alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from featmix.errors import FeatmixError
from featmix.pipeline.origin import derives_from, library_of
from featmix.support.extras import imported

_SEQUENTIAL = ("kornia.augmentation.container.augment.AugmentationSequential",)


def apply_to_batch(
    transform: Any, images: Tensor, masks: Sequence[Tensor], argument: str = "batch"
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Images and masks, transformed.

    Args:
        transform: Of kornia or torchvision v2, or any callable: of the images, or of the images and their masks.
        images: ``(B, C, H, W)``, floating.
        masks: Each ``(B, H, W)`` or ``(B, K, H, W)``; they come back with as many axes, and in their dtype.
        argument: Which part of the pipeline it is, for messages.

    Raises:
        FeatmixError: If what comes back is no batch of as many rows: its labels would be others'.
    """
    library = library_of(transform)
    if library == "kornia" or (type(transform) is nn.Sequential and all(library_of(held) == "kornia" for held in transform)):
        done = _kornia(transform, [images], masks)
    elif library == "torchvision.transforms.v2":
        done = _torchvision(transform, images, masks)
    else:
        done = transform(images, *masks) if masks else [transform(images)]
    whole = isinstance(done, list | tuple) and len(done) == 1 + len(masks)
    if not whole or not all(isinstance(x, Tensor) and x.ndim and len(x) == len(images) for x in done):
        raise FeatmixError(
            "Pipeline",
            argument,
            expected=f"{len(images)} images" + (f" and as many rows of {len(masks)} mask(s)" if masks else ""),
            got=", ".join(_described(x) for x in done) if isinstance(done, list | tuple) else type(done).__name__,
            fix="Each row goes with a label: a transform keeps their number and order.",
        )
    return done[0], tuple(done[1:])


def apply_to_views(transform: nn.Module, views: Sequence[Tensor], masks: Sequence[Tensor], argument: str) -> list[Tensor]:
    """Several images of each sample and their masks, moved by kornia with one draw for all.

    Args:
        transform: Of kornia.
        views: Two or more, each ``(B, C, H, W)``, floating.
        masks: As for :func:`apply_to_batch`.
        argument: Which part of the pipeline it is, for messages.

    Raises:
        FeatmixError: If the images differ in shape: what is drawn for the one does not fit the other.
    """
    shapes = {tuple(view.shape) for view in views}
    if len(shapes) > 1:
        got = ", ".join(map(str, sorted(shapes)))
        raise FeatmixError("Pipeline", argument, expected="images of one shape, which kornia moves alike", got=got)
    return _kornia(transform, views, masks)


def _kornia(transform: nn.Module, views: Sequence[Tensor], masks: Sequence[Tensor]) -> list[Tensor]:
    images = views[0]
    if not all(view.is_floating_point() for view in views):
        fix = "Use pipeline.collate, or images.float() / 255."
        raise FeatmixError("Pipeline", "batch", expected="floating images for kornia", got=str(images.dtype), fix=fix)
    sequential = derives_from(transform, _SEQUENTIAL)
    if not masks and len(views) == 1:
        return [transform(images, data_keys=["input"]) if sequential else transform(images)]
    if not sequential:
        held = transform if type(transform) is nn.Sequential else [transform]
        transform = imported("kornia.augmentation", subject="Pipeline", install="kornia").AugmentationSequential(*held)
    maps = [mask.unsqueeze(1) if mask.ndim == images.ndim - 1 else mask for mask in masks]
    floats = [mask.to(images.dtype) if mask.dtype == torch.bool else mask for mask in maps]
    keys = ["input"] * len(views) + ["mask"] * len(masks)
    moved = transform(*views, *floats, data_keys=keys)
    rest = moved[len(views) :]
    flat = [new.squeeze(1) if mask.ndim == images.ndim - 1 else new for new, mask in zip(rest, masks, strict=True)]
    return [*moved[: len(views)], *(new.to(mask.dtype) for new, mask in zip(flat, masks, strict=True))]


def _torchvision(transform: Any, images: Tensor, masks: Sequence[Tensor]) -> list[Tensor]:
    kinds = imported("torchvision.tv_tensors", subject="Pipeline", install="torchvision")
    done = transform(kinds.Image(images), *(kinds.Mask(mask) for mask in masks))
    return [x.as_subclass(Tensor) for x in (done if masks else [done])]


def _described(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
