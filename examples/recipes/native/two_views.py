import albumentations as A
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class Views(Dataset):
    def __init__(self, items: list, size: int) -> None:
        self.items = items
        self.transform = A.Compose(
            [
                A.RandomResizedCrop((size, size)),
                A.HorizontalFlip(),
                A.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
                A.ToGray(p=0.2),
                A.Normalize(mean=(0.45,) * 3, std=(0.25,) * 3),
                A.ToTensorV2(),
            ]
        )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple:
        image, label = self.items[index]
        return self.transform(image=image)["image"], self.transform(image=image)["image"], label


def contrastive(first: torch.Tensor, second: torch.Tensor, temperature: float = 0.5) -> torch.Tensor:
    z = F.normalize(torch.cat([first, second]), dim=1)
    likeness = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
    return F.cross_entropy(likeness, torch.arange(len(z)).roll(len(first)))


def train(items: list, model: nn.Module, *, size: int = 32, epochs: int = 1, workers: int = 0) -> list[float]:
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    dataset = Views(items, size)
    seed_worker = lambda _: dataset.transform.set_random_seed(torch.initial_seed() % 2**32)
    seed_worker(0)
    loader = DataLoader(dataset, batch_size=8, shuffle=True, num_workers=workers, worker_init_fn=seed_worker)
    losses = []
    for _ in range(epochs):
        for first, second, _labels in loader:
            loss = contrastive(model(first), model(second))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses
