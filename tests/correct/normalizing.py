"""Normalizers written elsewhere."""

import functools

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from featmix.normalizers.base import Normalizer
from featmix.normalizers.moments import Moments
from featmix.testing import from_torch_norm
from tests.correct.right import Right, right, rights


def wide(x):
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class Instance:
    """Moments by ``of``; the rest is the same for all."""

    eps, unbiased = 1e-5, False

    def moments(self, x):
        mean, var = self.of(wide(x))
        return mean, (var + self.eps).sqrt()

    def normalize(self, x):
        mean, std = self.moments(x)
        return ((wide(x) - mean) / std).to(x.dtype), (mean, std)

    def denormalize(self, xh, moments):
        mean, std = moments
        return (wide(xh) * std + mean).to(xh.dtype)


@right("var_mean", like="in")
class VarMean(Instance):
    def of(self, x):
        return torch.var_mean(x, (2, 3), correction=0, keepdim=True)[::-1]


@right("einsum", like="in")
class Einsum(Instance):
    def of(self, x):
        n, exact = x.shape[2] * x.shape[3], x.double()  # its sums run one after the other
        mean = torch.einsum("bchw->bc", exact)[..., None, None] / n
        var = torch.einsum("bchw,bchw->bc", exact - mean, exact - mean)[..., None, None] / n
        return mean.to(x.dtype), var.to(x.dtype)


@right("average pooling", like="in")
class Pooling(Instance):
    def of(self, x):
        mean = F.adaptive_avg_pool2d(x, 1)
        return mean, F.adaptive_avg_pool2d((x - mean).square(), 1)


@right("float64 inside, and float32 reported", like="ln")
class InFloat64(Instance):
    def of(self, x):
        exact = x.double()
        mean = exact.mean((1, 2, 3), keepdim=True)
        return mean.to(x.dtype), (exact - mean).square().mean((1, 2, 3), keepdim=True).to(x.dtype)


@right("groups of a view, in a module", like="gn2")
class Groups(Instance, nn.Module):
    def moments(self, x):
        grouped = wide(x).view(x.shape[0], 2, x.shape[1] // 2, *x.shape[2:])
        var, mean = torch.var_mean(grouped, (2, 3, 4), correction=0, keepdim=True)
        return mean, (var + self.eps).sqrt()

    def normalize(self, x):
        mean, std = self.moments(x)
        grouped = wide(x).view(x.shape[0], 2, x.shape[1] // 2, *x.shape[2:])
        return ((grouped - mean) / std).view(x.shape).to(x.dtype), (mean, std)

    def denormalize(self, xh, moments):
        mean, std = moments
        return (wide(xh).view(xh.shape[0], 2, xh.shape[1] // 2, *xh.shape[2:]) * std + mean).view(xh.shape).to(xh.dtype)


@right("16 channels, each with a weight that is learnt and taken back", channels=16)
class Weighted(Instance, nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((16,), 1.0))

    def of(self, x):
        return x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)

    def moments(self, x):
        mean, std = super().moments(x)
        return mean, std / self.weight.to(std.dtype).view(-1, 1, 1)


@right("tokens only", layout="bnc", like="pono")
class Tokens(Instance):
    def of(self, x):
        mean = x.mean(-1, keepdim=True)
        return mean, (x - mean).square().mean(-1, keepdim=True)


@right("float32 only", dtypes=(torch.float32,), like="in")
class Float32Only(VarMean):
    def of(self, x):
        assert x.dtype == torch.float32
        return super().of(x)


class _MeanInNumPy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.shape = x.shape
        return torch.from_numpy(np.asarray(x.detach().numpy().mean((2, 3), keepdims=True)))

    @staticmethod
    def backward(ctx, gradient):
        return gradient.expand(ctx.shape) / (ctx.shape[2] * ctx.shape[3])


@right("NumPy, forward and backward", like="in")
class InNumPy(Instance):
    def of(self, x):
        mean = _MeanInNumPy.apply(x)
        return mean, _MeanInNumPy.apply((x - mean).square())


@right("a Normalizer of featmix's with moments of its own, for samples of one shape")
class OneShape(Normalizer):
    kind = "one-shape"
    over_channels = over_positions = True
    shapes = ((3, 4, 5),)

    def moments(self, x):
        assert x.shape[1:] == (3, 4, 5)
        var, mean = torch.var_mean(wide(x), (1, 2, 3), keepdim=True)
        return Moments(mean, (var + self.eps).sqrt())


class ChannelsFirst(nn.LayerNorm):
    """As timm's and torchvision's ``LayerNorm2d``."""

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


for layer in (ChannelsFirst(6), nn.LayerNorm(4), nn.LayerNorm((4, 3, 3))):
    name = f"{type(layer).__name__}{len(layer.normalized_shape)}"
    rights.append(Right(name, "a layer of torch's, or derived from one", functools.partial(from_torch_norm, layer), False))
