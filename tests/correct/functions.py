"""Plain functions and modules, which nobody wrote for featmix."""

import functools

import numpy as np
import torch
from torch import nn

from featmix.testing import from_mixer
from tests.correct.right import Right, right, rights


def wide(x):
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


@right("a function, as it is")
def fade(x, partner):
    return (0.75 * wide(x) + 0.25 * wide(x)[partner]).to(x.dtype)


@right("a function with labels", label_share=0.75)
def fade_labels(x, partner):
    return torch.lerp(wide(x)[partner], wide(x), 0.75).to(x.dtype)


@right("a function of single positions, which padding cannot mislead", masks=True, layout="bnc")
def fade_tokens(x, partner):
    return (wide(x) - 0.5 * (wide(x) - wide(x)[partner])).to(x.dtype)


@right("a function that pools over positions, and is told of no padding", layout="bnc")
def exchange_means(x, partner):
    mean = wide(x).mean(1, keepdim=True)
    return (wide(x) - mean + mean[partner]).to(x.dtype)


@right("a function that pools over the positions of a mask", layout="bnc", attached=True)
def exchange_real_means(x, partner, mask=None):
    real = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
    weight = real.unsqueeze(2).to(wide(x).dtype)
    mean = torch.where(real.unsqueeze(2), wide(x), 0).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)
    return (wide(x) - mean + mean[partner]).to(x.dtype)


@right("a function that claims moments, by var_mean", norm="in")
def exchange(x, partner):
    var, mean = torch.var_mean(wide(x), (2, 3), keepdim=True, correction=int(x.shape[2] * x.shape[3] > 1))
    std = (var + 1e-5).sqrt()
    return ((wide(x) - mean) / std * std[partner] + mean[partner]).to(x.dtype)


@right("a function whose statistics are constants", stops_gradient=True)
def recentre(x, partner):
    mean = wide(x).detach().mean((2, 3), keepdim=True)
    return (wide(x) + (mean[partner] - mean)).to(x.dtype)


@right("a function for float64 and float32, which knows of no other", dtypes=(torch.float64, torch.float32))
def plainly(x, partner):
    return 0.9 * x + 0.1 * x[partner]


@right("a function for half types", dtypes=(torch.bfloat16, torch.float16), label_share=0.5)
def in_half(x, partner):
    assert x.dtype.itemsize == 2
    return ((x.float() + x.float()[partner]) / 2).to(x.dtype)


@right("a function of the whole batch", batch_coupled=True)
def pull_to_the_middle(x, partner):
    middle = wide(x).mean(0, keepdim=True)
    pulled = 0.9 * wide(x) + 0.1 * middle + 0 * wide(x)[partner]
    return pulled.to(x.dtype)


@right("a module with parameters", attached=True)
class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.tensor(0.3))

    def forward(self, x, partner):
        share = torch.sigmoid(self.gate).to(wide(x).dtype)
        return (share * wide(x) + (1 - share) * wide(x)[partner]).to(x.dtype)


@right("a module for twelve channels, by a 1x1 convolution", channels=12)
class Mixed1x1(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(12).roll(1, 0).view(12, 12, 1, 1))

    def forward(self, x, partner):
        weight = self.weight.to(wide(x).dtype)
        turned = torch.conv2d(wide(x), weight)
        return (wide(x) + 0.5 * (turned[partner] - turned)).to(x.dtype)


def blended(x, partner, share):
    return (share * wide(x) + (1 - share) * wide(x)[partner]).to(x.dtype)


half_blend = functools.partial(blended, share=0.5)
rights.append(Right("half_blend", "a partial of a function", lambda: half_blend, False))


def box(x, labels):
    lam, order = np.random.beta(2, 2), np.random.permutation(len(x))
    y = lam * wide(x) + (1 - lam) * wide(x)[torch.from_numpy(order)]
    return y.to(x.dtype), lam * labels + (1 - lam) * labels[torch.from_numpy(order)]


rights.append(Right("box", "a black box that draws with NumPy", lambda: from_mixer(box), False))
