import albumentations as A
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class Images(Dataset):
    def __init__(self, items: list) -> None:
        self.items = items
        self.transform = A.Compose(
            [
                A.Affine(rotate=(-15, 15), scale=(0.9, 1.1), p=1.0),
                A.HorizontalFlip(),
                A.RandomBrightnessContrast(0.1, 0.1),
                A.Normalize(mean=(0.3,), std=(0.35,)),
                A.ToTensorV2(),
            ]
        )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict:
        moved = self.transform(image=self.items[index]["image"], mask=self.items[index]["mask"])
        return {"image": moved["image"], "mask": moved["mask"].long()}


def cutmix(images: torch.Tensor, masks: torch.Tensor, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    height, width = images.shape[-2:]
    partner = random.permutation(len(images))
    side = np.sqrt(1 - random.beta(1.0, 1.0))
    y, x = random.integers(height), random.integers(width)
    top, bottom = (int(np.clip(y + sign * height * side / 2, 0, height)) for sign in (-1, 1))
    left, right = (int(np.clip(x + sign * width * side / 2, 0, width)) for sign in (-1, 1))
    images, masks = images.clone(), masks.clone()
    images[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    masks[:, top:bottom, left:right] = masks[partner, top:bottom, left:right]
    return images, masks


def train(items: list, model: nn.Module, *, epochs: int = 1, workers: int = 0) -> list[float]:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    dataset = Images(items)
    seed_worker = lambda _: dataset.transform.set_random_seed(torch.initial_seed() % 2**32)
    seed_worker(0)
    loader = DataLoader(dataset, batch_size=8, shuffle=True, num_workers=workers, worker_init_fn=seed_worker)
    losses = []
    for _ in range(epochs):
        for batch in loader:
            images, masks = batch["image"], batch["mask"]
            if random.random() < 0.5:
                images, masks = cutmix(images, masks, random)
            loss = F.cross_entropy(model(images), masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses
