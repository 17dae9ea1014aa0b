import random

import numpy as np
import timm.data
import torch
from PIL import Image
from timm.loss import SoftTargetCrossEntropy
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Images(Dataset):
    def __init__(self, items: list, size: int) -> None:
        self.items = [(Image.fromarray(image), label) for image, label in items]
        self.transform = timm.data.create_transform(size, is_training=True, auto_augment="rand-m9-mstd0.5-inc1", re_prob=0.25)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple:
        image, label = self.items[index]
        return self.transform(image), label


def seed_worker(_: int) -> None:
    random.seed(torch.initial_seed())
    np.random.seed(torch.initial_seed() % 2**32)


def train(
    items: list, model: nn.Module, *, size: int = 32, classes: int = 10, epochs: int = 1, workers: int = 0
) -> list[float]:
    torch.manual_seed(0)
    seed_worker(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    criterion = SoftTargetCrossEntropy()
    mixup = timm.data.Mixup(0.8, 1.0, switch_prob=0.5, label_smoothing=0.1, num_classes=classes)
    dataset = Images(items, size)
    loader = DataLoader(dataset, batch_size=8, shuffle=True, drop_last=True, num_workers=workers, worker_init_fn=seed_worker)
    losses = []
    for _ in range(epochs):
        for images, labels in loader:
            images, soft = mixup(images, labels)
            loss = criterion(model(images), soft)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses
