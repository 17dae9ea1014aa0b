"""Models for the tests of attaching."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import featmix as fm


class Net(nn.Module):
    """Two convolutions, one ReLU that is called twice, a head; ``skip`` bypasses ``layer1``."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.layer1 = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 5)
        self.skip = False
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        if not self.skip:
            x = self.relu(self.layer1(x))
        if self.fails:
            raise RuntimeError("on purpose")
        return self.head(x.mean((2, 3)))


def net() -> Net:
    torch.manual_seed(0)
    return Net()


def images(batch: int = 6, size: int = 8) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


def labels(batch: int = 6) -> Tensor:
    return torch.arange(batch) % 5


def seen_by(module: nn.Module) -> list[Tensor]:
    """Inputs that a module gets, as they come."""
    seen: list[Tensor] = []
    module.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    return seen


def moex(**settings: object) -> fm.Strategy:
    return fm.create("moex", **settings)
