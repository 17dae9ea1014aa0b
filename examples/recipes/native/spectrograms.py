import albumentations as A
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class Spectrograms(Dataset):
    def __init__(self, items: list) -> None:
        self.items = items
        self.transform = A.XYMasking(
            num_masks_x=(1, 2), num_masks_y=(1, 2), mask_x_length=(1, 3), mask_y_length=(1, 3), fill=-40.0, p=1.0
        )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple:
        image, label = self.items[index]
        masked = self.transform(image=image)["image"]
        return (torch.from_numpy(masked).movedim(-1, 0) + 55) / 30, label


def freq_mixstyle(x: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    partner = torch.from_numpy(random.permutation(len(x)))
    lam = torch.from_numpy(random.beta(0.3, 0.3, len(x))).float().view(-1, 1, 1, 1)
    mean = x.mean((1, 3), keepdim=True)
    std = (x.var((1, 3), unbiased=False, keepdim=True) + 1e-6).sqrt()
    mean, std, normalized = mean.detach(), std.detach(), (x - mean) / std
    return normalized * (lam * std + (1 - lam) * std[partner]) + lam * mean + (1 - lam) * mean[partner]


def train(items: list, model: nn.Module, *, epochs: int = 1, workers: int = 0) -> list[float]:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    dataset = Spectrograms(items)
    seed_worker = lambda _: dataset.transform.set_random_seed(torch.initial_seed() % 2**32)
    seed_worker(0)
    loader = DataLoader(dataset, batch_size=8, shuffle=True, num_workers=workers, worker_init_fn=seed_worker)
    losses = []
    for _ in range(epochs):
        for images, labels in loader:
            if random.random() < 0.7:
                images = freq_mixstyle(images, random)
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses
