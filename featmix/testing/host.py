"""A small model to attach to, for features of any layout."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Generator, Tensor, nn
from torch.utils.checkpoint import checkpoint

from featmix.strategies.base import Strategy
from featmix.testing.needs import class_count, layout_name, sample_shape
from featmix.testing.seen import made_by

SITE = "body.mixed"


class Wave(nn.Module):
    """An elementwise layer with two parameters, whose gradient depends on its input."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.7))
        self.shift = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x``."""
        return x + self.gain * torch.sin(x + self.shift)


class Host(nn.Module):
    """``stem``, a ``body`` with the site ``mixed`` in its middle, and a linear head over the mean of all positions.

    Args:
        strategy: Gives the layout and the number of channels.
        reentrant: Checkpoint the body, with this kind of activation checkpointing; ``None`` does not.
    """

    def __init__(self, strategy: Strategy, reentrant: bool | None = None) -> None:
        super().__init__()
        self.channel = layout_name(strategy).index("c")
        self.reentrant = reentrant
        self.stem = Wave()
        self.body = nn.Sequential(OrderedDict(first=Wave(), mixed=Wave(), last=Wave()))
        self.head = nn.Linear(sample_shape(strategy)[self.channel - 1], class_count(strategy))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, classes)`` scores."""
        x = self.stem(x)
        x = self.body(x) if self.reentrant is None else checkpoint(self.body, x, use_reentrant=self.reentrant)
        pooled = torch.tanh(x)
        if x.ndim > 2:
            pooled = pooled.movedim(self.channel, 1).flatten(2).mean(2)
        scores: Tensor = self.head(pooled)
        return scores


def host(strategy: Strategy, *, reentrant: bool | None = None) -> Host:
    """A host with the same weights at every call, in training mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Host(strategy, reentrant).train()


def batch(strategy: Strategy, size: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features and class indices to train a host with."""
    generator = Generator().manual_seed(seed)
    x = torch.randn(size, *sample_shape(strategy), generator=generator)
    made_by(x, f"batch(subject, {size}, seed={seed})[0]")
    return x, torch.randint(class_count(strategy), (size,), generator=generator)


def gradients(model: nn.Module) -> Tensor:
    """All gradients of a model as one vector; absent ones count as 0."""
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in model.parameters()])
