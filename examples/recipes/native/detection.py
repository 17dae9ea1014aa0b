import albumentations as A
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class Images(Dataset):
    def __init__(self, items: list) -> None:
        self.items = items
        boxes = A.BboxParams("pascal_voc", label_fields=["labels"], min_visibility=0.3)
        self.transform = A.Compose(
            [
                A.RandomCrop(32, 32),
                A.HorizontalFlip(),
                A.RandomBrightnessContrast(0.1, 0.1),
                A.Normalize(mean=(0.2,), std=(0.3,)),
                A.ToTensorV2(),
            ],
            bbox_params=boxes,
        )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple:
        moved = self.transform(**self.items[index])
        return moved["image"], {"boxes": torch.as_tensor(moved["bboxes"]).reshape(-1, 4), "labels": moved["labels"]}


def collate(samples: list) -> tuple:
    images, targets = zip(*samples, strict=True)
    return torch.stack(images), list(targets)


def covered(boxes: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    rows, columns = (torch.arange(size) + 0.5 for size in x.shape[-2:])
    left, top, right, bottom = boxes.view(-1, 4, 1, 1).unbind(1)
    inside = (left < columns) & (columns < right) & (top < rows[:, None]) & (rows[:, None] < bottom)
    return inside.any(0).float()


def train(items: list, model: nn.Module, *, epochs: int = 1, workers: int = 0) -> list[float]:
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    dataset = Images(items)
    seed_worker = lambda _: dataset.transform.set_random_seed(torch.initial_seed() % 2**32)
    seed_worker(0)
    loader = DataLoader(
        dataset, batch_size=8, shuffle=True, num_workers=workers, worker_init_fn=seed_worker, collate_fn=collate
    )
    losses = []
    for _ in range(epochs):
        for images, targets in loader:
            wanted = torch.stack([covered(target["boxes"], image) for target, image in zip(targets, images, strict=True)])
            loss = F.binary_cross_entropy_with_logits(model(images)[:, 0], wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses
