"""Classification: albumentations in the loader's workers, MoEx after a CNN's first layer, and all of it in one file.

Real digits, 24 x 24 in colour. Labels need no care: albumentations keeps them, and ``mix.loss`` knows what MoEx made of them.

Run: python examples/classification_albumentations.py
"""

from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory

import albumentations as A
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import featmix as fm

Item = tuple[np.ndarray, int]


def digits(limit: int | None = None) -> tuple[list[Item], list[Item]]:
    """Images ``(24, 24, 3)`` of bytes with their labels: up to ``limit`` to train on, and 400 to test."""
    data = load_digits()
    small = np.rint(data.images / 16 * 255).astype(np.uint8)
    large = np.repeat(small.repeat(3, axis=1).repeat(3, axis=2)[..., None], 3, axis=3)
    items = [(image, int(label)) for image, label in zip(large, data.target, strict=True)]
    return items[:-400][:limit], items[-400:]


def network() -> nn.Module:
    """Three convolutions, each at half the resolution of the one before."""

    def layer(inside: int, outside: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inside, outside, 3, stride=2, padding=1), nn.BatchNorm2d(outside), nn.ReLU())

    head = nn.Sequential(nn.Flatten(), nn.Linear(64 * 9, 10))
    return nn.Sequential(OrderedDict(layer1=layer(3, 16), layer2=layer(16, 32), layer3=layer(32, 64), head=head))


def main(*, epochs: int = 8, limit: int | None = None, workers: int = 2) -> dict[str, float]:
    """Train, test, and save what was done to the images."""
    torch.manual_seed(0)
    train, test = digits(limit)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    pipeline = fm.Pipeline(
        sample=A.Compose(
            [
                A.Affine(rotate=(-15, 15), scale=(0.9, 1.1), translate_percent=(-0.1, 0.1), p=1.0),
                A.RandomBrightnessContrast(p=0.5),
            ]
        ),
        mix={"layer1": fm.MoEx("pono", lam=0.9, p=0.5)},
        seed=0,
    )
    print(pipeline.summary())

    losses, first = [], None
    loader = pipeline.loader(train, batch_size=64, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    with pipeline.attach(model) as mixer:
        for epoch in range(epochs):
            for images, labels in loader:
                first = images if first is None else first
                mix = mixer.draw(images, target=labels)
                loss = mix.loss(F.cross_entropy, model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            print(f"epoch {epoch + 1}: loss {np.mean(losses[-len(loader) :]):.3f}")

    model.eval()
    with torch.no_grad():
        images, labels = pipeline.collate(test)  # as tensors, and nothing else done to them
        accuracy = float((model(images).argmax(1) == labels).float().mean())
    print(f"test accuracy {accuracy:.3f}")

    with TemporaryDirectory() as folder:
        path = Path(folder) / "digits.yaml"
        fm.save(pipeline, path)
        again = fm.load(path)
        print(path.read_text(encoding="utf-8"))
    equal = fm.to_dict(again) == fm.to_dict(pipeline)
    second = next(iter(again.loader(train, batch_size=64, shuffle=True)))[0]  # whatever the number of workers was
    print(f"the loaded pipeline is equal: {equal}; its first batch is the same, bit for bit: {torch.equal(first, second)}")
    return {
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "accuracy": accuracy,
        "equal": equal and torch.equal(first, second),
    }


if __name__ == "__main__":
    main()
