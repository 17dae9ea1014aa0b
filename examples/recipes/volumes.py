"""Volumes with their masks: crops for each sample, kornia's 3-D flips for the batch, CutMix of boxes in space."""

import albumentations as A
import kornia.augmentation as K
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm


def pipeline() -> fm.Pipeline:
    return fm.Pipeline(
        sample=A.Compose([A.RandomCrop3D((8, 12, 12))]),
        batch=K.AugmentationSequential(K.RandomHorizontalFlip3D(), K.RandomDepthicalFlip3D()),
        normalize=(0.3, 0.35),
        mix={"input": fm.CutMix(p=0.5)},
        seed=0,
    )


def train(pipeline: fm.Pipeline, items: list, model: nn.Module, *, epochs: int = 1, workers: int = 0) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loader = pipeline.loader(items, batch_size=4, shuffle=True, num_workers=workers)
    losses = []
    with pipeline.attach(model) as mixer:
        for _ in range(epochs):
            for batch in loader:
                volumes, masks = mixer.prepare(batch["volume"], batch["mask3d"])
                mix = mixer.draw(volumes)
                loss = mix.loss(F.cross_entropy, model(volumes), masks)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
    return losses
