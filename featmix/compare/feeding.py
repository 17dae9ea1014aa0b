"""Prepares training images for the network: from bytes, by a pipeline's ``sample`` and ``batch``, to floats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import featmix as fm
from featmix.compare.sources import Bytes, Images
from featmix.errors import FeatmixError
from featmix.pipeline import PipelineMixer


class Feed:
    """Batches of training images in the form that the network takes.

    Args:
        pipeline: The augmentations before the network.
        images: The training images, on the CPU.
        device: Device of the network.

    Attributes:
        images: The training images on that device.

    Example:
        >>> images = Images(torch.full((2, 3, 8, 8), 255, dtype=torch.uint8), torch.tensor([0, 1]), torch.tensor([0, 0]))
        >>> float(Feed(fm.Pipeline(), images, torch.device("cpu"))(torch.tensor([0])).mean())
        2.0
    """

    def __init__(self, pipeline: fm.Pipeline, images: Images, device: torch.device) -> None:
        self.images, self._device = images.to(device), device
        self._collate = pipeline.collate
        self._samples = None if pipeline.sample is None else pipeline.dataset(_Arrays(images.pixels))

    def __call__(self, rows: Tensor, mixer: PipelineMixer | None = None) -> Tensor:
        """Return the images of these rows, ``(B, 3, H, W)``; the mixer applies the ``batch`` part."""
        unit = self.unit(rows)
        return normalized(unit if mixer is None else mixer.prepare(unit))

    def unit(self, rows: Tensor) -> Tensor:
        """Return the images of these rows in [0, 1], after the ``sample`` part."""
        if self._samples is None:
            return self.images.pixels[rows.to(self._device)].float().div_(255)
        done: Tensor = self._collate([self._samples[row] for row in rows.tolist()])
        return done.to(self._device)


class _Arrays(Sequence[Bytes]):
    """Images as arrays ``(H, W, C)``, each a copy, since a transform may write into it."""

    def __init__(self, pixels: Tensor) -> None:
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, row: Any) -> Any:
        return np.array(self._pixels[row].permute(1, 2, 0).numpy(), order="C")


def check_images(pipeline: fm.Pipeline, feed: Feed) -> None:
    """Check that a pipeline accepts the images, and that its results fit the network.

    Args:
        pipeline: The augmentations before the network.
        feed: Returns at least four images of noise in [0, 1].

    Raises:
        FeatmixError: If a part fails, changes the number of channels, or leaves less than two thirds of the values in [0, 1].
    """
    fix = "Leave normalization out: it follows by itself, and test images get it too."
    if pipeline.normalize is not None:
        raise FeatmixError("compare", "pipeline", expected="images in [0, 1] back", got="normalize=", fix=fix)
    if pipeline.sample is None and pipeline.batch is None:
        return
    size = " x ".join(map(str, feed.images.pixels.shape[-2:]))
    with fm.Pipeline(batch=pipeline.batch, seed=0).attach(torch.nn.Identity()) as mixer:
        try:
            x = mixer.prepare(feed.unit(torch.arange(4)))
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            raise FeatmixError("compare", "pipeline", expected=f"one that takes images of {size}", got=got) from error
    if x.ndim != 4 or x.shape[1] != 3:
        raise FeatmixError("compare", "pipeline", expected="images with 3 channels back", got=f"shape {tuple(x.shape)}")
    inside = float(((x >= 0) & (x <= 1)).float().mean())
    if inside < 2 / 3:
        got = f"{1 - inside:.0%} of the values outside"
        raise FeatmixError("compare", "pipeline", expected="images in [0, 1] back", got=got, fix=fix)


def normalized(unit: Tensor) -> Tensor:
    """Convert images in [0, 1] to those that the network takes: from -2 to 2, in channels-last memory format."""
    return (unit - 0.5).mul_(4).contiguous(memory_format=torch.channels_last)


def to_floats(pixels: Tensor) -> Tensor:
    """Convert bytes from 0 to 255 to images that the network takes."""
    return normalized(pixels.float().div_(255))
