"""A picture of what a pipeline does to images and labels."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from featmix.errors import FeatmixError
from featmix.mixture import Mixture
from featmix.stacking import composed
from featmix.tree import INPUT, Request, Tree

_LEAST_SHARE = 0.005


def one_step(
    tree: Tree, images: Tensor, shapes: dict[str, tuple[int, ...]], *, target: Any, progress: float, seed: int
) -> tuple[Tensor, Mixture]:
    """Images after what the tree does at the input, and what the whole tree makes of the labels, for one step.

    Raises:
        FeatmixError: If a strategy needs to know the shape of features that are not in ``shapes``.
    """
    leaves = tree.leaves()
    for leaf in leaves:
        if leaf.strategy.needs_shape and leaf.site != INPUT and leaf.place not in shapes:
            fix = "Pass model=, the model that it will be attached to."
            expected = f"the shape of the features at {leaf.place}"
            raise FeatmixError("Pipeline.preview", "model", expected=expected, got="no model", fix=fix)
    request = Request(
        len(images),
        {**shapes, INPUT: tuple(images.shape[1:])},
        Generator().manual_seed(seed),
        _as_target(target),
        progress=progress,
        training=False,
    )
    drawn = sorted(zip(leaves, tree.draw(request), strict=True), key=lambda pair: pair[0].site != INPUT)
    mixture = composed(len(images), [(leaf.place, leaf.strategy, params) for leaf, params in drawn])
    for leaf, params in drawn:
        if leaf.site == INPUT:
            images = leaf.strategy.transform(images, params.to(images.device))
    return images, mixture


def picture(before: Sequence[Tensor], after: Tensor, mixture: Mixture, labels: Sequence[str]) -> Any:
    """Images before and after, with the label shares that the latter have.

    Args:
        before: Images ``(C, H, W)``, of any sizes.
        after: ``(B, C, H, W)``.
        mixture: What the labels became.
        labels: What the images were called.

    Returns:
        A :class:`matplotlib.figure.Figure`; ``savefig`` writes it, and a notebook shows it.

    Raises:
        FeatmixError: If matplotlib is not installed.
    """
    try:
        figures = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        fix = 'Install it: pip install "featmix[pipeline]".'
        raise FeatmixError("Pipeline.preview", expected="matplotlib", got="no such package", fix=fix) from error
    figure = figures.Figure(figsize=(1.6 * max(len(before), 2), 4.4), layout="constrained")
    axes = figure.subplots(2, len(before), squeeze=False)
    shares = mixture.to("cpu").matrix()
    for column, (first, second) in enumerate(zip(before, after, strict=True)):
        _show(axes[0][column], first, labels[column])
        _show(axes[1][column], second, _in_words(shares[column], labels))
    axes[0][0].set_ylabel("before")
    axes[1][0].set_ylabel("after")
    return figure


def _as_target(labels: Any) -> Tensor | None:
    """Labels for strategies that look at them, where they are numbers."""
    if isinstance(labels, Tensor) or labels is None:
        return labels
    return torch.tensor(labels) if all(isinstance(label, int | float) for label in labels) else None


def _show(axis: Any, image: Tensor, title: str) -> None:
    x = image.detach().float().cpu()
    low, high = float(x.min()), float(x.max())
    if low < 0 or high > 1:  # normalized, or exchanged out of the range: stretched to what can be seen
        x = (x - low) / max(high - low, 1e-12)
    axis.imshow((x[0] if x.shape[0] in (1, 2) else x[:3].movedim(0, -1)).numpy(), cmap="gray", vmin=0, vmax=1)
    axis.set_title(title, fontsize=8)
    axis.set_xticks([])
    axis.set_yticks([])


def _in_words(shares: Tensor, labels: Sequence[str]) -> str:
    """``0.70 cat + 0.30 dog``: the shares of one row, those of one label added up."""
    total: dict[str, float] = {}
    for label, share in zip(labels, shares.tolist(), strict=True):
        total[label] = total.get(label, 0.0) + share
    largest = sorted((item for item in total.items() if item[1] > _LEAST_SHARE), key=lambda item: -item[1])
    if len(largest) == 1:
        return largest[0][0]
    return "\n".join(f"{share:.2f} {label}" for label, share in largest)


def names_of(labels: Any, count: int, classes: Sequence[str] | None) -> list[str]:
    """What each image is called, for a caption.

    Raises:
        FeatmixError: If there are not as many labels as images.
    """
    if labels is None:
        return [f"image {row}" for row in range(count)]
    values = list(labels.tolist() if isinstance(labels, torch.Tensor) else labels)
    if len(values) != count:
        raise FeatmixError("Pipeline.preview", "labels", expected=f"one for each of {count} images", got=len(values))
    if classes is not None and all(isinstance(value, int) for value in values):
        return [str(classes[value]) for value in values]
    return [_one(value) for value in values]


def _one(value: Any) -> str:
    if isinstance(value, list):  # a vector: the class that it names most
        return str(max(range(len(value)), key=value.__getitem__)) if value else ""
    return str(value)
