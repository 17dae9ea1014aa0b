"""What people write by mistake: each line with what its message must say, which is where, what was expected, and what to write.

A table is a list of ``(code, what the message must contain)``; the names that the code may use are those of ``scene``.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm

Mistake = tuple[str, tuple[str, ...]]


def network() -> nn.Module:
    """Four named layers, five classes."""
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()),
            layer1=nn.Conv2d(4, 5, 3, padding=1),
            pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            head=nn.Linear(5, 5),
        )
    )


def scene() -> dict[str, object]:
    """The names that a mistake may use: a model, a mixer attached to it, and a batch of six."""
    model = network()
    return {
        "F": F,
        "fm": fm,
        "images": torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)),
        "labels": torch.tensor([0, 1, 2, 3, 4, 0]),
        "mixer": fm.attach(model, {"stem": fm.MoEx(lam=0.75)}, seed=0),
        "model": model,
        "network": network,
        "nn": nn,
        "np": np,
        "torch": torch,
    }
