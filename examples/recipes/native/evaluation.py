import albumentations as A
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Images(Dataset):
    def __init__(self, items: list, size: int) -> None:
        self.items = items
        self.transform = A.Compose(
            [
                A.SmallestMaxSize(size * 8 // 7),
                A.CenterCrop(size, size),
                A.Normalize(mean=(0.45,) * 3, std=(0.25,) * 3),
                A.ToTensorV2(),
            ]
        )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple:
        image, label = self.items[index]
        return self.transform(image=image)["image"], label


def evaluate(items: list, model: nn.Module, *, size: int = 32, workers: int = 0) -> list[float]:
    loader = DataLoader(Images(items, size), batch_size=8, num_workers=workers)
    right = []
    model.eval()
    with torch.no_grad():
        for images, labels in loader:
            right += (model(images).argmax(1) == labels).float().tolist()
    return right
