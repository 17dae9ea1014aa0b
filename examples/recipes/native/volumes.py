import albumentations as A
import kornia.augmentation as K
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class Volumes(Dataset):
    def __init__(self, items: list) -> None:
        self.items, self.transform = items, A.Compose([A.RandomCrop3D((8, 12, 12))])

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple:
        moved = self.transform(**self.items[index])
        volume = torch.from_numpy(np.ascontiguousarray(moved["volume"]))[None].float() / 255
        return volume, torch.from_numpy(np.ascontiguousarray(moved["mask3d"])).long()


class Flip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.flips = [K.RandomHorizontalFlip3D(), K.RandomDepthicalFlip3D()]

    def forward(self, volumes: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        masks = masks[:, None].to(volumes.dtype)
        for flip in self.flips:
            volumes = flip(volumes)
            masks = flip(masks, params=flip._params)
        return volumes, masks[:, 0].round().long()


def cutmix(volumes: torch.Tensor, masks: torch.Tensor, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    partner = random.permutation(len(volumes))
    side = np.cbrt(1 - random.beta(1.0, 1.0))
    box = []
    for size in volumes.shape[2:]:
        centre = random.integers(size)
        box.append(slice(*(int(np.clip(centre + sign * size * side / 2, 0, size)) for sign in (-1, 1))))
    volumes, masks = volumes.clone(), masks.clone()
    volumes[:, :, *box] = volumes[partner][:, :, *box]
    masks[:, *box] = masks[partner][:, *box]
    return volumes, masks


def train(items: list, model: nn.Module, *, epochs: int = 1, workers: int = 0) -> list[float]:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    dataset, flip = Volumes(items), Flip()
    seed_worker = lambda _: dataset.transform.set_random_seed(torch.initial_seed() % 2**32)
    seed_worker(0)
    loader = DataLoader(dataset, batch_size=4, shuffle=True, num_workers=workers, worker_init_fn=seed_worker)
    losses = []
    for _ in range(epochs):
        for volumes, masks in loader:
            volumes, masks = flip(volumes, masks)
            volumes = (volumes - 0.3) / 0.35
            if random.random() < 0.5:
                volumes, masks = cutmix(volumes, masks, random)
            loss = F.cross_entropy(model(volumes), masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses
