"""kornia on the batch, on its device: flips, rotations and colours; then Mixup at the input and MoEx in a layer."""

import kornia.augmentation as K
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm


def pipeline() -> fm.Pipeline:
    batch = K.AugmentationSequential(
        K.RandomHorizontalFlip(), K.RandomAffine(15.0), K.ColorJiggle(0.2, 0.2, 0.2, 0.05), K.RandomErasing(p=0.2)
    )
    mix = fm.OneOf([fm.At("input", fm.Mixup(alpha=0.4)), fm.At("layer1", fm.MoEx("pono"))])
    return fm.Pipeline(batch=batch, normalize=(0.45, 0.25), mix=mix, seed=0)


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
