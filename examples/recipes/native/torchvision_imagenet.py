import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Images(Dataset):
    def __init__(self, items: list, size: int) -> None:
        self.items = items
        self.transform = v2.Compose(
            [
                v2.ToImage(),
                v2.RandomResizedCrop(size),
                v2.RandomHorizontalFlip(),
                v2.TrivialAugmentWide(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
                v2.RandomErasing(p=0.1),
            ]
        )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple:
        image, label = self.items[index]
        return self.transform(image), label


class Mixed:
    def __init__(self, classes: int) -> None:
        mixers = [v2.MixUp(alpha=0.2, num_classes=classes), v2.CutMix(alpha=1.0, num_classes=classes)]
        self.mixer = v2.RandomChoice(mixers)

    def __call__(self, samples: list) -> tuple:
        return self.mixer(*default_collate(samples))


def train(
    items: list, model: nn.Module, *, size: int = 32, classes: int = 10, epochs: int = 1, workers: int = 0
) -> list[float]:
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    dataset, collate = Images(items, size), Mixed(classes)
    loader = DataLoader(dataset, batch_size=8, shuffle=True, drop_last=True, num_workers=workers, collate_fn=collate)
    losses = []
    for _ in range(epochs):
        for images, soft in loader:
            loss = criterion(model(images), soft)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses
