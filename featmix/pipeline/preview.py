"""Draws the effect of a pipeline on images and labels."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from featmix.errors import FeatmixError
from featmix.labels.composing import composed
from featmix.labels.mixture import Mixture
from featmix.mixer.tree import INPUT, At, Request, Tree
from featmix.pictures import ACROSS, Row, as_target, captions, draw_rows
from featmix.pipeline.collate import collate
from featmix.pipeline.following import Following
from featmix.pipeline.items import IMAGE, take_apart
from featmix.pipeline.mixer import drawing
from featmix.pipeline.names import Names
from featmix.pipeline.origin import library_of
from featmix.pipeline.overlay import Laid, after_batch, draw_laid, laid_on
from featmix.pipeline.sample import apply_to_item
from featmix.sampling.draws import stream
from featmix.seeding import seed_transforms
from featmix.strategies.params import Params

_PLAIN = Names()


def one_step(
    tree: Tree,
    images: Tensor,
    shapes: dict[str, tuple[int, ...]],
    *,
    target: Any,
    progress: float,
    seed: int,
    laid: Sequence[Laid] = (),
    following: Following | None = None,
) -> tuple[Tensor, Mixture, list[Laid]]:
    """Mix one step: return images after mixing at the input, and labels and boxes after the whole tree.

    Args:
        tree: Strategies at sites.
        images: ``(B, C, H, W)``.
        shapes: Shapes of features in hidden layers, if needed.
        target: Labels.
        progress: Progress of training from 0 to 1.
        seed: Seed of the step.
        laid: Masks and boxes of each image. Mixed images keep only boxes, if they can follow.
        following: How boxes follow.

    Raises:
        FeatmixError: If a strategy needs a shape of features that is not in ``shapes``.
    """
    leaves = tree.leaves()
    for leaf in leaves:
        if leaf.strategy.needs_shape and leaf.site != INPUT and leaf.place not in shapes:
            fix = "Pass model=, the model that it will be attached to."
            expected = f"the shape of the features at {leaf.place}"
            raise FeatmixError("Pipeline.preview", "model", expected=expected, got="no model", fix=fix)
    request = Request(
        len(images),
        stream(Generator().manual_seed(seed)),
        {**shapes, INPUT: tuple(images.shape[1:])},
        as_target(target),
        progress=progress,
        training=False,
    )
    drawn = sorted(zip(leaves, tree.draw(request), strict=True), key=lambda pair: pair[0].site != INPUT)
    mixture = composed(len(images), [leaf.label_step(params) for leaf, params in drawn])
    for leaf, params in drawn:
        if leaf.site == INPUT:
            images = leaf.strategy.transform(images, params.to(images.device))
    return images, mixture, _laid_after(drawn, laid, mixture, images, following or Following())


def _laid_after(
    drawn: Sequence[tuple[At, Params]], laid: Sequence[Laid], mixture: Mixture, images: Tensor, following: Following
) -> list[Laid]:
    """Return masks and boxes of unmixed images, and only boxes of mixed ones."""
    whole = (mixture.matrix().diagonal() == 1).tolist()
    boxes = [torch.zeros(0, 4)] * len(laid)
    if any(len(each.boxes) for each in laid):
        try:
            followed = following.of([{"boxes": each.boxes} for each in laid], images, [leaf for leaf, _ in drawn])
            followed.go([params for _, params in drawn])
            boxes = [target["boxes"] for target in followed.targets]
        except FeatmixError:  # they cannot follow, and training says so
            pass
    return [own if stays else Laid(None, new) for own, stays, new in zip(laid, whole, boxes, strict=False)]


def transformed(sample: Any, batch: Any, images: Any, seed: int, names: Names = _PLAIN) -> Tensor:
    """Return images after ``sample`` and ``batch``; see :func:`transformed_items`."""
    return transformed_items(sample, batch, images, seed, names)[0]


def transformed_items(sample: Any, batch: Any, images: Any, seed: int, names: Names = _PLAIN) -> tuple[Tensor, list[Laid]]:
    """Return images with masks and boxes after ``sample`` and ``batch``, drawn from a seed without effect on other generators.

    Args:
        sample: A pipeline's ``sample`` part, or ``None``.
        batch: Its ``batch`` part, or ``None``.
        images: A batch ``(B, C, H, W)``, or a list of items.
        seed: The seed.
        names: Which entries of an item are images and masks; the first image is shown.
    """
    own = copy.deepcopy(sample)  # its streams are those of training
    seed_transforms(own, seed=seed)
    with drawing(seed, torch.device("cpu")):
        items = images if own is None else [apply_to_item(own, _with_no_targets(own, item), names) for item in images]
        x = collate([take_apart(item, names).images[0] for item in items])
        laid = [laid_on(item, names, sample) for item in items]
        return (x, laid) if batch is None else after_batch(batch, x, laid)


def _with_no_targets(sample: Any, item: Any) -> Any:
    """Add empty boxes and labels to an image, for a transform of albumentations that requires them."""
    processors = getattr(sample, "processors", None) if library_of(sample) == "albumentations" else None
    if not processors or isinstance(item, Mapping | list | tuple):
        return item
    empty: dict[str, Any] = {}
    for name, processor in processors.items():
        empty[name] = np.zeros((0, 4 if name == "bboxes" else 2), np.float32)
        empty |= {field: [] for field in processor.params.label_fields or ()}
    return {IMAGE: item, **empty}


def picture(
    before: Sequence[Tensor],
    after: Tensor,
    mixture: Mixture,
    labels: Sequence[str],
    laid: tuple[Sequence[Laid], Sequence[Laid]] = ((), ()),
) -> Any:
    """Draw images before and after, with the label weights after mixing.

    Args:
        before: Images ``(C, H, W)``, of any sizes.
        after: ``(B, C, H, W)``.
        mixture: The mixed labels.
        labels: Labels of the images, as text.
        laid: Masks and boxes before and after.

    Returns:
        A :class:`matplotlib.figure.Figure`.

    Raises:
        FeatmixError: If matplotlib is not installed.
    """
    rows = [Row("before", before, above=labels), Row("after", list(after), above=captions(mixture, labels))]
    figure = draw_rows(rows, subject="Pipeline.preview", extra="pipeline", cell=(1.6, 1.7))
    axes = iter([axis for axis in figure.axes if axis.get_images()])
    for start in range(0, len(before), ACROSS):
        for part in laid:
            for row in range(start, min(start + ACROSS, len(before))):
                axis = next(axes)
                if part:
                    draw_laid(axis, part[row])
    return figure
