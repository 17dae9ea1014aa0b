"""Spectrograms: SpecAugment masks bands of frequency and time, and Freq-MixStyle mixes the statistics of each frequency."""

import albumentations as A
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm


def pipeline() -> fm.Pipeline:
    spec_augment = A.XYMasking(
        num_masks_x=(1, 2), num_masks_y=(1, 2), mask_x_length=(1, 3), mask_y_length=(1, 3), fill=-40.0, p=1.0
    )
    freq_mixstyle = fm.MixStyle("over:ct", layout="bcft", alpha=0.3, p=0.7)
    return fm.Pipeline(sample=A.Compose([spec_augment]), normalize=(-55.0, 30.0), mix={"input": freq_mixstyle}, seed=0)


def train(pipeline: fm.Pipeline, items: list, model: nn.Module, *, epochs: int = 1, workers: int = 0) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loader = pipeline.loader(items, batch_size=8, shuffle=True, num_workers=workers)
    losses = []
    with pipeline.attach(model) as mixer:
        for _ in range(epochs):
            for images, labels in loader:
                images = mixer.prepare(images)
                mix = mixer.draw(images, target=labels)
                loss = mix.loss(F.cross_entropy, model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
    return losses
