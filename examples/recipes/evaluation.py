"""Evaluation: resized and cropped in the middle, normalized as in training; nothing is drawn, nothing mixed."""

import albumentations as A
import torch
from torch import nn
from torch.utils.data import DataLoader

import featmix as fm


def pipeline(size: int = 32) -> fm.Pipeline:
    sample = A.Compose([A.RandomResizedCrop((size, size)), A.HorizontalFlip()])
    return fm.Pipeline(sample=sample, normalize=(0.45, 0.25), mix={"input": fm.CutMix()}, seed=0)


def evaluate(pipeline: fm.Pipeline, items: list, model: nn.Module, *, size: int = 32, workers: int = 0) -> list[float]:
    middle = A.Compose([A.SmallestMaxSize(size * 8 // 7), A.CenterCrop(size, size)])
    dataset = pipeline.eval_dataset(items, sample=middle)
    loader = DataLoader(dataset, batch_size=8, num_workers=workers, collate_fn=pipeline.collate)
    right = []
    model.eval()
    with torch.no_grad():
        for images, labels in loader:
            right += (model(images).argmax(1) == labels).float().tolist()
    return right
