import kornia.augmentation as K
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class Images(Dataset):
    def __init__(self, items: list) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple:
        image, label = self.items[index]
        return torch.from_numpy(image).movedim(-1, 0).float() / 255, label


def moex(x: torch.Tensor, partner: torch.Tensor) -> torch.Tensor:
    mean = x.mean(1, keepdim=True)
    std = (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    return (x - mean) / std * std[partner] + mean[partner]


def train(items: list, model: nn.Module, *, epochs: int = 1, workers: int = 0) -> list[float]:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    augment = K.AugmentationSequential(
        K.RandomHorizontalFlip(),
        K.RandomAffine(15.0),
        K.ColorJiggle(0.2, 0.2, 0.2, 0.05),
        K.RandomErasing(p=0.2),
        K.Normalize(torch.full((3,), 0.45), torch.full((3,), 0.25)),
        data_keys=["input"],
    )
    loader = DataLoader(Images(items), batch_size=8, shuffle=True, num_workers=workers)
    losses = []
    for _ in range(epochs):
        for images, labels in loader:
            images = augment(images)
            partner = torch.from_numpy(random.permutation(len(images)))
            if random.random() < 0.5:
                lam = float(random.beta(0.4, 0.4))
                output = model(lam * images + (1 - lam) * images[partner])
            else:
                lam = 0.9
                output = model.head(moex(model.layer1(images), partner))
            loss = lam * F.cross_entropy(output, labels) + (1 - lam) * F.cross_entropy(output, labels[partner])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses
