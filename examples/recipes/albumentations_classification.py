"""Classification with albumentations: crops, flips, colours and holes for each sample; CutMix at the input, MoEx in a layer."""

import albumentations as A
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm


def pipeline(size: int = 32) -> fm.Pipeline:
    sample = A.Compose(
        [
            A.RandomResizedCrop((size, size)),
            A.HorizontalFlip(),
            A.ColorJitter(0.2, 0.2, 0.2, 0.05),
            A.CoarseDropout(hole_height_range=(4, 8), hole_width_range=(4, 8)),
        ]
    )
    mix = {"input": fm.CutMix(p=0.5), "layer1": fm.MoEx("pono", p=0.5)}
    return fm.Pipeline(sample=sample, normalize=(0.45, 0.25), mix=mix, seed=0)


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
