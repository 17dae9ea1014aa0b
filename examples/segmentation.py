"""Segmentation: albumentations moves images and masks together, and CutMix cuts label maps as it cuts the images.

Which digit does each pixel belong to, or is it background? Noisy digits, 24 x 24.

Run: python examples/segmentation.py
"""

import albumentations as A
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torchmetrics.classification import MulticlassJaccardIndex

import featmix as fm

CLASSES = 11  # background, and ten digits
Item = dict[str, np.ndarray]


def digits(limit: int | None = None) -> tuple[list[Item], list[Item]]:
    """Images ``(24, 24, 1)`` and masks ``(24, 24)`` of bytes: up to ``limit`` to train on, and 400 to test."""
    data = load_digits()
    ink = data.images.repeat(3, axis=1).repeat(3, axis=2) / 16
    masks = np.where(ink > 0.4, data.target[:, None, None] + 1, 0).astype(np.uint8)
    noise = np.random.default_rng(0).normal(scale=0.15, size=ink.shape)
    images = np.rint((0.2 + 0.6 * ink + noise).clip(0, 1) * 255).astype(np.uint8)
    items = [{"image": image[..., None], "mask": mask} for image, mask in zip(images, masks, strict=True)]
    return items[:-400][:limit], items[-400:]


def network() -> nn.Module:
    """A fully convolutional network that sees most of the image from each pixel."""

    def layer(inside: int, outside: int, **settings: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inside, outside, 3, **settings), nn.BatchNorm2d(outside), nn.ReLU())

    return nn.Sequential(
        layer(1, 16, padding=1),
        layer(16, 64, padding=0, stride=3),
        layer(64, 64, padding=1),
        layer(64, 64, padding=2, dilation=2),
        nn.Conv2d(64, CLASSES * 9, 1),
        nn.PixelShuffle(3),  # nine pixels from each position
    )


def mean_iou(model: nn.Module, batch: dict[str, torch.Tensor]) -> float:
    """Intersection over union, averaged over classes."""
    metric = MulticlassJaccardIndex(CLASSES)
    model.eval()
    with torch.no_grad():
        return float(metric(model(batch["image"]).argmax(1), batch["mask"]))


def main(*, epochs: int = 10, limit: int | None = None) -> dict[str, float]:
    """Train, and measure before and after."""
    torch.manual_seed(0)
    train, test = digits(limit)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    pipeline = fm.Pipeline(
        sample=A.Compose([A.Affine(rotate=(-15, 15), translate_percent=(-0.1, 0.1), p=1.0)]),
        mix={"input": fm.CutMix(p=0.5)},
        seed=0,
    )
    print(pipeline.summary())

    loader = pipeline.loader(train, batch_size=16, shuffle=True)
    held_out = pipeline.collate(test)
    before = mean_iou(model, held_out)
    with pipeline.attach(model) as mixer:
        for epoch in range(epochs):
            total = 0.0
            model.train()
            for batch in loader:
                mix = mixer.draw(batch["image"])
                loss = mix.loss(F.cross_entropy, model(batch["image"]), batch["mask"])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
            print(f"epoch {epoch + 1}: loss {total / len(loader):.3f}")
        after = mean_iou(model, held_out)
    print(f"mean IoU before training {before:.3f}, after {after:.3f}")
    return {"before": before, "after": after}


if __name__ == "__main__":
    main()
