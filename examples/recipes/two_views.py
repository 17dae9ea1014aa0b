"""Two views of each image, each by draws of its own, for SimCLR's contrastive loss."""

import albumentations as A
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm


def pipeline(size: int = 32) -> fm.Pipeline:
    sample = A.Compose(
        [A.RandomResizedCrop((size, size)), A.HorizontalFlip(), A.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), A.ToGray(p=0.2)]
    )
    return fm.Pipeline(sample=sample, normalize=(0.45, 0.25), seed=0)


def contrastive(first: torch.Tensor, second: torch.Tensor, temperature: float = 0.5) -> torch.Tensor:
    z = F.normalize(torch.cat([first, second]), dim=1)
    likeness = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
    return F.cross_entropy(likeness, torch.arange(len(z)).roll(len(first)))


def train(pipeline: fm.Pipeline, items: list, model: nn.Module, *, epochs: int = 1, workers: int = 0) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loader = pipeline.loader(items, views=2, batch_size=8, shuffle=True, num_workers=workers)
    losses = []
    with pipeline.attach(model) as mixer:
        for _ in range(epochs):
            for views, _labels in loader:
                first, second = mixer.prepare(views)
                loss = contrastive(model(first), model(second))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
    return losses
