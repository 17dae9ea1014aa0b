"""timm's train recipe: its transforms with RandAugment and erasing, Mixup switched with CutMix, smoothed labels."""

import timm.data
import torch
from PIL import Image
from timm.data import auto_augment, random_erasing, transforms
from torch import nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import transforms as of_torchvision

import featmix as fm

for made_of in (transforms, auto_augment, random_erasing, of_torchvision, InterpolationMode, Image.Resampling):
    fm.configuration.allow(made_of)  # files may name what timm's transforms are made of


def pipeline(size: int = 32) -> fm.Pipeline:
    sample = timm.data.create_transform(size, is_training=True, auto_augment="rand-m9-mstd0.5-inc1", re_prob=0.25)
    mix = fm.OneOf([fm.At("input", fm.Mixup(alpha=0.8)), fm.At("input", fm.CutMix(alpha=1.0))], weights=[0.5, 0.5])
    return fm.Pipeline(sample=sample, mix=mix, seed=0)


def train(pipeline: fm.Pipeline, items: list, model: nn.Module, *, epochs: int = 1, workers: int = 0) -> list[float]:
    pictures = [(Image.fromarray(image), label) for image, label in items]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    loader = pipeline.loader(pictures, batch_size=8, shuffle=True, drop_last=True, num_workers=workers)
    losses = []
    with pipeline.attach(model) as mixer:
        for _ in range(epochs):
            for images, labels in loader:
                mix = mixer.draw(images, target=labels)
                loss = mix.loss(criterion, model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
    return losses
