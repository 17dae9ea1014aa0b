"""Samples of a pipeline beside those of a plain data set.

Cheap transforms of 32×32 images, without workers, 64 at a time: a plain data set applies the transform in ``__getitem__`` and
nothing else. Beside it ``pipeline.dataset``, without a seed and with one: how many times as fast as the plain one it is, so
that 1 is as fast. One by one means ``dataset[index]``, a stream for each; the others are batches, as a loader asks for them.
Batches are collated from arrays of bytes and their labels; beside it what one would write, ``np.stack``, a permutation, a
division and a tensor of labels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

import featmix as fm
from benchmarks import peers
from benchmarks.results import Row
from benchmarks.timing import Stopwatch

BATCH = 64
missing: list[str] = []


class Plain(Dataset[Any]):
    """Items whose image is transformed, as one writes it without a pipeline."""

    def __init__(self, source: list[tuple[Any, int]], transform: Callable[[Any], Any]) -> None:
        self.source, self.transform = source, transform

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Any:
        """The image, transformed, and its label."""
        image, label = self.source[index]
        return self.transform(image), label


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Each transform, then batches."""
    missing.clear()
    indices = list(range(4 if watch.quick else BATCH))
    for name, (sample, plainly, image) in _transforms().items():
        source = [(image, index) for index in indices]
        plain = Plain(source, plainly)
        unseeded, seeded = (fm.Pipeline(sample=sample, seed=seed).dataset(source) for seed in (None, 0))
        found = watch.race(
            {
                "plain": lambda plain=plain: [plain[index] for index in indices],
                "unseeded": lambda ours=unseeded: ours.__getitems__(indices),
                "seeded": lambda ours=seeded: ours.__getitems__(indices),
                "one by one, seeded": lambda ours=seeded: [ours[index] for index in indices],
            }
        )
        seconds = {who: each.median for who, each in found.items()}
        values = {"plain, µs a sample": 1e6 * seconds["plain"] / len(indices)}
        values |= {f"{who}, × plain": seconds["plain"] / each for who, each in seconds.items() if who != "plain"}
        yield Row({"transform": name}, values, found)
    yield from _batches(watch, len(indices))


def _batches(watch: Stopwatch, count: int) -> Iterator[Row]:
    draw = np.random.default_rng(0)
    collate = fm.Pipeline().collate
    for size in (8,) if watch.quick else (32, 64, 224):
        items = [(draw.integers(0, 256, (size, size, 3), dtype=np.uint8), label) for label in range(count)]
        found = watch.race({"stacked": lambda items=items: _stacked(items), "collate": lambda items=items: collate(items)})
        values = {
            "µs": 1e6 * found["collate"].median,
            "times np.stack and so on": found["collate"].median / found["stacked"].median,
        }
        yield Row({"batch of": f"{count} images {size}×{size}"}, values, found)


def _stacked(items: list[tuple[Any, int]]) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(np.stack([image for image, _ in items])).permute(0, 3, 1, 2)
    return images.float().div_(255).contiguous(), torch.tensor([label for _, label in items])


def _transforms() -> dict[str, tuple[Any, Callable[[Any], Any], Any]]:
    """By name: the pipeline's ``sample``, the same for an image alone, and an image."""
    array = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found: dict[str, tuple[Any, Callable[[Any], Any], Any]] = {}
    try:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        import albumentations

        crop = albumentations.Compose([albumentations.RandomCrop(28, 28), albumentations.HorizontalFlip()])
        color = albumentations.Compose([*crop.transforms, albumentations.RandomBrightnessContrast(p=1)])
        for name, made in {"crop and flip": crop, "crop, flip, brightness": color}.items():
            found[f"albumentations: {name}"] = made, lambda image, made=made: made(image=image)["image"], array
    except ImportError as error:
        missing.append(f"albumentations: {error}")
    try:
        v2 = peers.torchvision_v2()
        cropped = v2.Compose([v2.RandomCrop(28), v2.RandomHorizontalFlip()])
        tensor = torch.from_numpy(array).movedim(-1, 0).contiguous()
        for name, made in {"flip": v2.RandomHorizontalFlip(), "crop and flip": cropped}.items():
            found[f"torchvision: {name}, tensors"] = made, made, tensor
    except ImportError as error:
        missing.append(f"torchvision: {error}")
    found["a function: flip"] = _flipped, _flipped, array
    return found


def _flipped(image: Any) -> Any:
    return image[:, ::-1] if np.random.rand() < 0.5 else image
