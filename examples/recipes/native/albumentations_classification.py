import albumentations as A
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class Images(Dataset):
    def __init__(self, items: list, size: int) -> None:
        self.items = items
        self.transform = A.Compose(
            [
                A.RandomResizedCrop((size, size)),
                A.HorizontalFlip(),
                A.ColorJitter(0.2, 0.2, 0.2, 0.05),
                A.CoarseDropout(hole_height_range=(4, 8), hole_width_range=(4, 8)),
                A.Normalize(mean=(0.45,) * 3, std=(0.25,) * 3),
                A.ToTensorV2(),
            ]
        )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple:
        image, label = self.items[index]
        return self.transform(image=image)["image"], label


def cutmix(images: torch.Tensor, random: np.random.Generator) -> tuple[torch.Tensor, np.ndarray, float]:
    height, width = images.shape[-2:]
    partner = random.permutation(len(images))
    side = np.sqrt(1 - random.beta(1.0, 1.0))
    y, x = random.integers(height), random.integers(width)
    top, bottom = (int(np.clip(y + sign * height * side / 2, 0, height)) for sign in (-1, 1))
    left, right = (int(np.clip(x + sign * width * side / 2, 0, width)) for sign in (-1, 1))
    images = images.clone()
    images[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    return images, partner, 1 - (bottom - top) * (right - left) / (height * width)


def moex(x: torch.Tensor, partner: np.ndarray) -> torch.Tensor:
    mean = x.mean(1, keepdim=True)
    std = (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    return (x - mean) / std * std[partner] + mean[partner]


def train(items: list, model: nn.Module, *, size: int = 32, epochs: int = 1, workers: int = 0) -> list[float]:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    dataset = Images(items, size)
    seed_worker = lambda _: dataset.transform.set_random_seed(torch.initial_seed() % 2**32)
    seed_worker(0)
    loader = DataLoader(dataset, batch_size=8, shuffle=True, num_workers=workers, worker_init_fn=seed_worker)
    losses = []
    for _ in range(epochs):
        for images, labels in loader:
            rows = np.arange(len(images))
            first, lam = rows, 1.0
            if random.random() < 0.5:
                images, first, lam = cutmix(images, random)
            features = model.layer1(images)
            second, kept = rows, 1.0
            if random.random() < 0.5:
                second, kept = random.permutation(len(images)), 0.9
                features = moex(features, second)
            output = model.head(features)
            shares = [(rows, kept * lam), (first, kept * (1 - lam))]
            shares += [(second, (1 - kept) * lam), (first[second], (1 - kept) * (1 - lam))]
            loss = sum(share * F.cross_entropy(output, labels[index]) for index, share in shares)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses
