"""Detection: crops that keep boxes, and flips; boxes that leave the image are dropped with their labels."""

import albumentations as A
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm


def pipeline() -> fm.Pipeline:
    boxes = A.BboxParams("pascal_voc", label_fields=["labels"], min_visibility=0.3)
    sample = A.Compose([A.RandomCrop(32, 32), A.HorizontalFlip(), A.RandomBrightnessContrast(0.1, 0.1)], bbox_params=boxes)
    return fm.Pipeline(sample=sample, normalize=(0.2, 0.3), seed=0)


def covered(boxes: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """What a detector without anchors is to find: the pixels of an image that lie in a box."""
    rows, columns = (torch.arange(size) + 0.5 for size in x.shape[-2:])
    left, top, right, bottom = boxes.view(-1, 4, 1, 1).unbind(1)
    inside = (left < columns) & (columns < right) & (top < rows[:, None]) & (rows[:, None] < bottom)
    return inside.any(0).float()


def train(pipeline: fm.Pipeline, items: list, model: nn.Module, *, epochs: int = 1, workers: int = 0) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loader = pipeline.loader(items, batch_size=8, shuffle=True, num_workers=workers)
    losses = []
    with pipeline.attach(model) as mixer:
        for _ in range(epochs):
            for batch in loader:
                images = mixer.prepare(batch["image"])
                wanted = torch.stack([covered(boxes, image) for boxes, image in zip(batch["bboxes"], images, strict=True)])
                loss = F.binary_cross_entropy_with_logits(model(images)[:, 0], wanted)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
    return losses
