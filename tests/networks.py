"""Networks as narrow as can be, with the module names of torchvision's ResNets and of the authors' networks for CIFAR."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 2


class Residual(nn.Module):
    """``conv1``, ``conv2`` and, with three convolutions, ``conv3``, each with its normalization, beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int, convs: int) -> None:
        super().__init__()
        self.convs = convs
        for k in range(1, convs + 1):
            channels = (before if k == 1 else after, after)
            self.add_module(f"conv{k}", nn.Conv2d(*channels, 3, stride if k == 1 else 1, 1))
            self.add_module(f"bn{k}", nn.BatchNorm2d(after))
        self.downsample = nn.Conv2d(before, after, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for k in range(1, self.convs + 1):
            y = self.get_submodule(f"bn{k}")(self.get_submodule(f"conv{k}")(y))
        return F.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """A stem, four stages of blocks, a head."""

    def __init__(self, blocks: tuple[int, ...], convs: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, WIDTH, 3, 1, 1), nn.BatchNorm2d(WIDTH)
        self.maxpool = nn.MaxPool2d(2)
        for stage, count in enumerate(blocks, start=1):
            self.add_module(
                f"layer{stage}", nn.Sequential(*(Residual(WIDTH, WIDTH, 2 if k == 0 else 1, convs) for k in range(count)))
            )
        self.fc = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


class WideResNet(nn.Module):
    """Three groups of blocks, each in a ``layer``."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, 3, 1, 1)
        for stage in range(1, 4):
            blocks = nn.Sequential(*(Residual(WIDTH, WIDTH, 1, 2) for _ in range((depth - 4) // 6)))
            self.add_module(f"block{stage}", nn.Sequential(OrderedDict(layer=blocks)))
        self.fc = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        for name in ("conv1", "block1", "block2", "block3"):
            x = self.get_submodule(name)(x)
        return self.fc(x.mean((2, 3)))


class Dense(nn.Module):
    """A dense layer: what it reads and what it adds."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv1(F.relu(x))], dim=1)


class DenseNet(nn.Module):
    """Three groups of dense layers with transitions between."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        count, channels = (depth - 4) // 3, WIDTH
        self.conv1 = nn.Conv2d(3, WIDTH, 3, 1, 1)
        for stage in range(1, 4):
            self.add_module(f"dense{stage}", nn.Sequential(*(Dense(channels + k) for k in range(count))))
            channels += count
            if stage < 3:
                self.add_module(f"trans{stage}", nn.Conv2d(channels, WIDTH, 1))
                channels = WIDTH
        self.fc = nn.Linear(channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        for name in ("conv1", "dense1", "trans1", "dense2", "trans2", "dense3"):
            x = self.get_submodule(name)(x)
        return self.fc(x.mean((2, 3)))


NETWORKS = {
    "resnet18": lambda: ResNet((2, 2, 2, 2), 2),
    "resnet50": lambda: ResNet((3, 4, 6, 3), 3),
    "resnet101": lambda: ResNet((3, 4, 23, 3), 3),
    "wideresnet": lambda: WideResNet(40),
    "densenet": lambda: DenseNet(40),
}
