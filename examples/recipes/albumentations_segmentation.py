"""Segmentation with albumentations: images and masks are moved together, and CutMix cuts maps of classes as it cuts images."""

import albumentations as A
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm


def pipeline() -> fm.Pipeline:
    sample = A.Compose(
        [
            A.Affine(rotate=(-15, 15), scale=(0.9, 1.1), p=1.0),
            A.HorizontalFlip(),
            A.RandomBrightnessContrast(0.1, 0.1),
        ]
    )
    return fm.Pipeline(sample=sample, normalize=(0.3, 0.35), mix={"input": fm.CutMix(p=0.5)}, seed=0)


def train(pipeline: fm.Pipeline, items: list, model: nn.Module, *, epochs: int = 1, workers: int = 0) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loader = pipeline.loader(items, batch_size=8, shuffle=True, num_workers=workers)
    losses = []
    with pipeline.attach(model) as mixer:
        for _ in range(epochs):
            for batch in loader:
                images = mixer.prepare(batch["image"])
                mix = mixer.draw(images)
                loss = mix.loss(F.cross_entropy, model(images), batch["mask"])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
    return losses
