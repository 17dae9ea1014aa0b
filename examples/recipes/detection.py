"""Detection: crops and flips that boxes follow, and CutMix, under which an image has the boxes of both that are seen."""

import albumentations as A
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm


def pipeline() -> fm.Pipeline:
    boxes = A.BboxParams("pascal_voc", label_fields=["labels"], min_visibility=0.3)
    sample = A.Compose([A.RandomCrop(32, 32), A.HorizontalFlip(), A.RandomBrightnessContrast(0.1, 0.1)], bbox_params=boxes)
    return fm.Pipeline(sample=sample, normalize=(0.2, 0.3), mix={"input": fm.CutMix(p=0.5)}, seed=0)


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
                mix = mixer.draw(images, target={"boxes": batch["bboxes"], "labels": batch["labels"]})
                found = model(images)[:, 0]  # in which the images are mixed
                wanted = torch.stack([covered(boxes, image) for boxes, image in zip(mix.targets["boxes"], images, strict=True)])
                loss = F.binary_cross_entropy_with_logits(found, wanted)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
    return losses
