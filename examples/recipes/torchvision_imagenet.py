"""torchvision's reference for ImageNet: crop, flip, TrivialAugment, erasing, MixUp or CutMix, smoothed labels."""

import torch
from torch import nn
from torchvision.transforms import v2

import featmix as fm

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pipeline(size: int = 32) -> fm.Pipeline:
    sample = v2.Compose(
        [
            v2.RandomResizedCrop(size),
            v2.RandomHorizontalFlip(),
            v2.TrivialAugmentWide(),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomErasing(p=0.1, value=list(MEAN)),  # what is 0 once it is normalized
        ]
    )
    mixers = v2.RandomChoice([v2.MixUp(alpha=0.2), v2.CutMix(alpha=1.0)])
    mix = fm.interop.torchvision.tree_from_torchvision(mixers)
    return fm.Pipeline(sample=sample, normalize=(MEAN, STD), mix=mix, seed=0)


def train(pipeline: fm.Pipeline, items: list, model: nn.Module, *, epochs: int = 1, workers: int = 0) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    loader = pipeline.loader(items, batch_size=8, shuffle=True, drop_last=True, num_workers=workers)
    losses = []
    with pipeline.attach(model) as mixer:
        for _ in range(epochs):
            for images, labels in loader:
                images = mixer.prepare(images)
                mix = mixer.draw(images, target=labels)
                loss = mix.loss(criterion, model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
    return losses
