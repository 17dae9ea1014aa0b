"""A network, and one step of it on all rows in one process or on each rank's part."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import featmix as fm
from featmix.seeding import derived

CLASSES = 5


class Net(nn.Module):
    """Small, without statistics of its own over the batch."""

    def __init__(self, dtype, reentrant=None):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 6, 3)
        self.block = nn.Sequential(nn.Tanh(), nn.Conv2d(6, 6, 3))
        self.head = nn.Linear(96, CLASSES)
        self.reentrant = reentrant
        self.to(dtype)

    def forward(self, x):
        x = self.stem(x)
        x = self.block(x) if self.reentrant is None else checkpoint(self.block, x, use_reentrant=self.reentrant)
        return self.head(x.flatten(1))


def data(rows, dtype, seed=1):
    drawn = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 3, 8, 8, generator=drawn, dtype=dtype), torch.randint(CLASSES, (rows,), generator=drawn)


def of_one_process(tree, x, first=0, seed=3):
    """The network and its mixer as one process would have them: it draws what the first of the ranks draws."""
    model = Net(x.dtype)
    return model, fm.attach(model, tree, example=x, generator=torch.Generator().manual_seed(derived(seed, first)))


def part_of(sizes, rank):
    first = sum(sizes[:rank])
    return slice(first, first + sizes[rank])


def loss_of(mix, output, target, criterion=F.cross_entropy):
    """The loss of a rank's rows; 0 of none, with a graph."""
    return mix.loss(criterion, output, target) if len(output) else output.sum() * 0


def gradients(model):
    return torch.cat([full(p.grad).flatten() for p in model.parameters()])


def full(t):
    return t.full_tensor() if hasattr(t, "full_tensor") else t
