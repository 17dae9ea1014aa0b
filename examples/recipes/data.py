"""Small real data for the recipes: two photographs and the digits that scikit-learn comes with; and small networks."""

from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits, load_sample_images
from torch import nn

Item = Any


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    found = load_digits()
    return np.rint(found.images.repeat(2, axis=1).repeat(2, axis=2) * 255 / 16).astype(np.uint8), found.target


def photographs(count: int) -> list[Item]:
    """Pieces of a pagoda (0) and of a flower (1), ``(48, 48, 3)`` bytes."""
    pictures, random = load_sample_images().images, np.random.default_rng(0)
    items = []
    for number in range(count):
        top, left = random.integers(0, 300), random.integers(0, 500)
        items.append((np.ascontiguousarray(pictures[number % 2][top : top + 96 : 2, left : left + 96 : 2]), number % 2))
    return items


def segmented(count: int) -> list[Item]:
    """Digits ``(16, 16, 1)`` with masks: 0 is paper, 1 is ink."""
    images = _digits()[0][:count]
    return [{"image": image[..., None], "mask": (image > 100).astype(np.uint8)} for image in images]


def scenes(count: int) -> list[Item]:
    """Two digits somewhere on a page ``(48, 48, 1)``, with their boxes and names."""
    images, labels = _digits()
    random, items = np.random.default_rng(0), []
    for number in range(count):
        page, boxes = np.zeros((48, 48, 1), np.uint8), []
        for place, digit in enumerate((2 * number, 2 * number + 1)):
            top, left = random.integers(0, 32), random.integers(0, 8) + 24 * place
            page[top : top + 16, left : left + 16, 0] = images[digit]
            boxes.append([left, top, left + 16, top + 16])
        items.append({"image": page, "bboxes": np.float32(boxes), "labels": labels[[2 * number, 2 * number + 1]].tolist()})
    return items


def volumes(count: int) -> list[Item]:
    """Eight digits behind each other, ``(8, 16, 16)``, with masks of their ink."""
    stacks = _digits()[0][: 8 * count].reshape(count, 8, 16, 16)
    return [{"volume": stack, "mask3d": (stack > 100).astype(np.uint8)} for stack in stacks]


def spectrograms(count: int) -> list[Item]:
    """Digits read as spectrograms in decibels, ``(16 frequencies, 16 times, 1)`` floats: their rows are frequencies."""
    images, labels = _digits()
    return [(np.float32(x[..., None]) / 255 * 80 - 80, int(label)) for x, label in zip(images[:count], labels, strict=False)]


class Network(nn.Module):
    """A classifier of any images or volumes, without batch normalization."""

    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores ``(B, classes)``."""
        return self.head(self.layer1(x))


def dense(channels: int = 1, classes: int = 2, axes: int = 2) -> nn.Module:
    """Scores for each position of an image, or of a volume."""
    convolution = nn.Conv3d if axes == 3 else nn.Conv2d
    return nn.Sequential(convolution(channels, 8, 3, padding=1), nn.ReLU(), convolution(8, classes, 1))
