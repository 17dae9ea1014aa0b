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


def seen(box: torch.Tensor, region: tuple, size: torch.Size, inside: bool) -> tuple[torch.Tensor, float]:
    """What is seen of a box inside or outside of a region, and how much of it that is."""
    left, top, right, bottom = box.round().int().tolist()
    own = torch.zeros(size, dtype=torch.bool)
    own[top:bottom, left:right] = True
    pasted = torch.zeros(size, dtype=torch.bool)
    pasted[region[1] : region[3], region[0] : region[2]] = True
    rows, columns = (own & (pasted if inside else ~pasted)).nonzero(as_tuple=True)
    if len(rows) == 0:
        return box, 0.0
    edges = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
    return edges, len(rows) / int(own.sum())


def cutmix(images: torch.Tensor, targets: list, least: float = 0.1) -> tuple[torch.Tensor, list]:
    height, width = images.shape[-2:]
    partner, share = torch.randperm(len(images)), float(torch.rand(()) ** 0.5)
    y, x = int(torch.randint(height, ())), int(torch.randint(width, ()))
    tall, wide = int(height * share) // 2, int(width * share) // 2
    region = (max(x - wide, 0), max(y - tall, 0), min(x + wide, width), min(y + tall, height))
    mixed, followed = images.clone(), []
    area = (..., slice(region[1], region[3]), slice(region[0], region[2]))
    mixed[area] = images[partner][area]
    for row, other in enumerate(partner.tolist()):
        boxes, labels = [], []
        for target, inside in ((targets[row], False), (targets[other], True)):
            for box, label in zip(target["boxes"], target["labels"], strict=True):
                part, visible = seen(box, region, images.shape[-2:], inside)
                if visible >= least:
                    boxes.append(part)
                    labels.append(label)
        followed.append({"boxes": torch.stack(boxes) if boxes else torch.zeros(0, 4), "labels": labels})
    return mixed, followed


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
            if torch.rand(()) < 0.5:
                images, targets = cutmix(images, targets)
            wanted = torch.stack([covered(target["boxes"], image) for target, image in zip(targets, images, strict=True)])
            loss = F.binary_cross_entropy_with_logits(model(images)[:, 0], wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses
