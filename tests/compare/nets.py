"""Networks as users write them, for tests that name them."""

import torch
from torch import nn

UNUSED = torch.rand(3)  # drawn on import, which must not change the weights of the first network


class Tiny(nn.Module):
    """Two stages by the names that torchvision gives them, dropout, and any size of images."""

    def __init__(self, num_classes, width=4):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.layer1 = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU(), nn.Dropout2d(0.1))
        self.fc = nn.Linear(2 * width, num_classes)

    def forward(self, x):
        return self.fc(self.layer2(self.layer1(self.conv1(x))).mean((2, 3)))


def make(num_classes):
    return Tiny(num_classes)


def by_name_only(**settings):
    return Tiny(settings["num_classes"])


def broken(num_classes):
    raise RuntimeError("no such thing")


def not_a_network(num_classes):
    return [num_classes]


def for_32_pixels(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, num_classes))


def for_five_classes(num_classes):
    return Tiny(5)


class Pair(Tiny):
    def forward(self, x):
        return super().forward(x), x


class Frozen(Tiny):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.requires_grad_(False)


class NotFinite(Tiny):
    def forward(self, x):
        return super().forward(x) / 0


class Detached(Tiny):
    def forward(self, x):
        return super().forward(x).detach()


class OneVector(Tiny):
    """Batch norm over a single value, where images are so small that nothing else is left."""

    def forward(self, x):
        return super().forward(x[:1]).expand(len(x), -1)


ONE = Tiny(10)


def the_same_again(num_classes):
    return ONE


def by_numpy(num_classes):
    import numpy as np

    made = Tiny(num_classes)
    nn.init.constant_(made.fc.bias, np.random.default_rng().random())
    return made
