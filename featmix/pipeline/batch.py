"""The ``batch`` part: transforms a batch of images, and their masks, on their device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from featmix.errors import FeatmixError
from featmix.pipeline.coordinates import cut, padded
from featmix.pipeline.kornia_volumes import move_volumes, volume_steps
from featmix.pipeline.origin import derives_from, library_of
from featmix.pipeline.targets import BOXES, KEYPOINTS, type_of
from featmix.support.extras import imported

_SEQUENTIAL = ("kornia.augmentation.container.augment.AugmentationSequential",)


def apply_to_batch(
    transform: Any, images: Tensor, masks: Sequence[Tensor], argument: str = "batch"
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Apply a transform to images and their masks.

    Args:
        transform: One of kornia or torchvision v2, or any callable that takes the images, or the images and their masks.
        images: ``(B, C, H, W)``, floating.
        masks: Each ``(B, H, W)`` or ``(B, K, H, W)``; number of axes and dtype stay the same.
        argument: Name of the pipeline's part, for messages.

    Raises:
        FeatmixError: If the result is not a batch with the same number of rows, so that labels would not fit.
    """
    library = library_of(transform)
    if is_of_kornia(transform):
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


def check_are_maps(transform: Any, images: Tensor, masks: Sequence[Tensor]) -> None:
    """Refuse masks that are not maps of the image's size, such as tables of boxes or points: they would be moved as pixels.

    Raises:
        FeatmixError: If there is one. Not checked for a callable, which gets all inputs as they are.
    """
    if not is_of_kornia(transform) and library_of(transform) != "torchvision.transforms.v2":
        return
    for mask in masks:
        if type_of(mask) in (BOXES, KEYPOINTS) or mask.shape[-2:] != images.shape[-2:] or mask.ndim < 3:
            raise FeatmixError(
                "Mixer.prepare",
                "masks",
                expected=f"maps of the images' height and width, {tuple(images.shape[-2:])}",
                got=f"{type(mask).__name__} {tuple(mask.shape)}",
                fix="Boxes and points have names: prepare(images, boxes=..., keypoints=...).",
            )


def apply_to_views(transform: nn.Module, views: Sequence[Tensor], masks: Sequence[Tensor], argument: str) -> list[Tensor]:
    """Transform several images of each sample and their masks by kornia, with the same random parameters for all.

    Args:
        transform: A transform of kornia.
        views: Two or more, each ``(B, C, H, W)``, floating.
        masks: As for :func:`apply_to_batch`.
        argument: Name of the pipeline's part, for messages.

    Raises:
        FeatmixError: If the images differ in shape, so that the same parameters do not fit.
    """
    shapes = {tuple(view.shape) for view in views}
    if len(shapes) > 1:
        got = ", ".join(map(str, sorted(shapes)))
        raise FeatmixError("Pipeline", argument, expected="images of one shape, which kornia moves alike", got=got)
    return _kornia(transform, views, masks)


def is_of_kornia(transform: Any) -> bool:
    """Return whether a transform is a module of kornia, or a plain sequence of such modules."""
    held = transform if type(transform) is nn.Sequential else [transform]
    return all(library_of(each) == "kornia" for each in held)


def apply_to_tables(
    transform: Any, images: Tensor, masks: Sequence[Tensor], boxes: Sequence[Tensor], points: Sequence[Tensor], argument: str
) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    """Transform images, masks, boxes and keypoints by one call of kornia or torchvision v2.

    Args:
        transform: The transform.
        images: ``(B, C, H, W)``, floating.
        masks: As for :func:`apply_to_batch`.
        boxes: For each image ``(N, 4)``, floating, as corners ``x, y, x, y``; or empty.
        points: For each image ``(N, 2)``, floating; or empty.
        argument: Name of the pipeline's part, for messages.

    Raises:
        FeatmixError: If the transform is of another library, so that it is unknown how to move boxes and keypoints.
    """
    if is_of_kornia(transform):
        return _kornia_tables(transform, images, masks, boxes, points)
    if library_of(transform) == "torchvision.transforms.v2":
        return _torchvision_tables(transform, images, masks, boxes, points)
    fix = "Move them in the training loop, or use kornia's or torchvision's transforms."
    got = f"{type(transform).__name__}, a callable of images and masks"
    raise FeatmixError("Pipeline", argument, expected="a transform that moves boxes and keypoints", got=got, fix=fix)


def _kornia_tables(
    transform: Any, images: Tensor, masks: Sequence[Tensor], boxes: Sequence[Tensor], points: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    """Apply kornia, which counts from pixel centers, for boxes too: their corners are shifted by half a pixel and back."""
    given = [(key, tables, shift) for key, tables, shift in (("bbox_xyxy", boxes, 0.5), ("keypoints", points, 0.0)) if tables]
    sent = [(key, padded(tables, images) - shift) for key, tables, shift in given if max(map(len, tables))]
    moved = _kornia(transform, [images], masks, sent)
    found = dict(zip((key for key, _ in sent), moved[1 + len(masks) :], strict=True))
    done = {key: cut(found[key] + shift, tables) if key in found else list(tables) for key, tables, shift in given}
    return moved[0], moved[1 : 1 + len(masks)], done.get("bbox_xyxy", []), done.get("keypoints", [])


def _torchvision_tables(
    transform: Any, images: Tensor, masks: Sequence[Tensor], boxes: Sequence[Tensor], points: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    kinds = imported("torchvision.tv_tensors", subject="Pipeline", install="torchvision")
    size = tuple(images.shape[-2:])
    wrapped = [kinds.BoundingBoxes(table, format="XYXY", canvas_size=size) for table in boxes]
    dots = [kinds.KeyPoints(table, canvas_size=size) for table in points]
    maps = [kinds.Mask(mask) for mask in masks]
    first, *rest = (x.as_subclass(Tensor) for x in transform(kinds.Image(images), *maps, *wrapped, *dots))
    return first, rest[: len(maps)], rest[len(maps) : len(maps) + len(boxes)], rest[len(maps) + len(boxes) :]


def _kornia(
    transform: nn.Module, views: Sequence[Tensor], masks: Sequence[Tensor], tables: Sequence[tuple[str, Tensor]] = ()
) -> list[Tensor]:
    images = views[0]
    if not all(view.is_floating_point() for view in views):
        fix = "Use pipeline.collate, or images.float() / 255."
        raise FeatmixError("Pipeline", "batch", expected="floating images for kornia", got=str(images.dtype), fix=fix)
    sequential = derives_from(transform, _SEQUENTIAL)
    if not masks and not tables and len(views) == 1:
        return [transform(images, data_keys=["input"]) if sequential else transform(images)]
    if images.ndim == 5 and volume_steps(transform):
        if tables:
            fix = "Move them in the data set."
            raise FeatmixError("Pipeline", "batch", expected="images for boxes and keypoints", got="volumes", fix=fix)
        return move_volumes(transform, views, masks)
    if not sequential:
        held = transform if type(transform) is nn.Sequential else [transform]
        transform = imported("kornia.augmentation", subject="Pipeline", install="kornia").AugmentationSequential(*held)
    maps = [mask.unsqueeze(1) if mask.ndim == images.ndim - 1 else mask for mask in masks]
    floats = [mask.to(images.dtype) if mask.dtype == torch.bool else mask for mask in maps]
    keys = ["input"] * len(views) + ["mask"] * len(masks) + [key for key, _ in tables]
    moved = transform(*views, *floats, *(table for _, table in tables), data_keys=keys)
    rest = moved[len(views) : len(views) + len(masks)]
    coordinates = moved[len(views) + len(masks) :]
    flat = [new.squeeze(1) if mask.ndim == images.ndim - 1 else new for new, mask in zip(rest, masks, strict=True)]
    return [*moved[: len(views)], *(new.to(mask.dtype) for new, mask in zip(flat, masks, strict=True)), *coordinates]


def _torchvision(transform: Any, images: Tensor, masks: Sequence[Tensor]) -> list[Tensor]:
    kinds = imported("torchvision.tv_tensors", subject="Pipeline", install="torchvision")
    done = transform(kinds.Image(images), *(kinds.Mask(mask) for mask in masks))
    return [x.as_subclass(Tensor) for x in (done if masks else [done])]


def _described(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
