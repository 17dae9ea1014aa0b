"""Blends of a row and its partner, labels with them: the same thing in a dozen ways of writing it."""

import numpy as np
import torch
from torch.autograd.function import once_differentiable
from torch.func import vmap

from featmix.sampling import draws
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params
from featmix.strategies.tags import Tags
from tests.correct.right import right


class Blend(Strategy[Params]):
    """Draws a share from a uniform distribution; how it blends is for others to say."""

    tags = Tags(mixes_labels=True, paper="none")

    def decide(self, shape, draw):
        return Params.of(draw, draw.random.uniform(0.1, 0.9, draw.count("sample")))


def wide(x):
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def column(values, x):
    return values.reshape(-1, *[1] * (x.ndim - 1))


@right("einsum over the pair")
class ByEinsum(Blend):
    def act(self, x, params):
        x = wide(x)
        shares = torch.stack([params.lam, 1 - params.lam]).to(x.dtype)
        return torch.einsum("kb,kb...->b...", shares, torch.stack([x, x[params.partner]]))


@right("features mixed by the labels' own matrix", attached=True)
class ThroughTheMixture(Blend):
    def act(self, x, params):
        x, mixture = wide(x), params.mixture
        lent = x[mixture.index]  # (B, K, ...)
        return (mixture.weight.to(x.dtype).reshape(*mixture.weight.shape, *[1] * (x.ndim - 1)) * lent).sum(1)


@right("the complement of the share in float32, whatever the features are")
class ComplementInFloat32(Blend):
    def act(self, x, params):
        lam, other = column(params.lam, x), column(1 - params.lam, x)
        return lam * wide(x) + other * wide(x[params.partner])

    def oracle(self, x, params):
        y = x.copy()
        for i, (j, lam) in enumerate(zip(params.partner.tolist(), params.lam.tolist(), strict=True)):
            y[i] = lam * x[i] + (1 - lam) * x[j]
        return y


@right("all in float64 inside")
class InFloat64(Blend):
    def act(self, x, params):
        lam = column(params.lam, x).double()
        return x.double() * lam + x[params.partner].double() * (1 - lam)


@right("in place, on a clone")
class InPlaceOnAClone(Blend):
    def act(self, x, params):
        lam = column(params.lam, x)
        y = wide(x).clone()
        y.mul_(lam)
        y.add_(wide(x)[params.partner] * (1 - lam))
        return y


class _InNumPy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, partner, lam):
        ctx.save_for_backward(partner, lam)
        values, share = x.detach().numpy(), lam.numpy().reshape(-1, *[1] * (x.ndim - 1))
        return torch.from_numpy(share * values + (1 - share) * values[partner.numpy()]).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        partner, lam = ctx.saved_tensors
        share, given = lam.numpy().reshape(-1, *[1] * (gradient.ndim - 1)), gradient.numpy()
        back = share * given
        np.add.at(back, partner.numpy(), (1 - share) * given)
        return torch.from_numpy(back).to(gradient.dtype), None, None


@right("NumPy, forward and backward", attached=True)
class InNumPy(Blend):
    traceable = False  # no compiler follows it

    def act(self, x, params):
        return _InNumPy.apply(wide(x), params.partner, params.lam)


@right("vmap over the rows")
class ByVmap(Blend):
    def act(self, x, params):
        x = wide(x)
        if not len(x):
            return x
        return vmap(lambda own, other, lam: own * lam + other * (1 - lam))(x, x[params.partner], params.lam.to(x.dtype))


@right("index_select and addcmul")
class ByIndexSelect(Blend):
    def act(self, x, params):
        x = wide(x)
        other = torch.index_select(x, 0, params.partner)
        return torch.addcmul(x, column(1 - params.lam, x).to(x.dtype), other - x)


@right("gather along the batch")
class ByGather(Blend):
    def act(self, x, params):
        x = wide(x)
        index = column(params.partner, x).expand(x.shape)
        return x.gather(0, index).lerp(x, column(params.lam, x).to(x.dtype))


@right("a Python loop over the rows")
class RowByRow(Blend):
    traceable = False  # it reads partners

    def act(self, x, params):
        if not len(x):
            return x
        pairs = zip(params.partner.tolist(), params.lam.tolist(), strict=True)
        return torch.stack([lam * wide(x[i]) + (1 - lam) * wide(x[j]) for i, (j, lam) in enumerate(pairs)])


@right("strengths from a table of eight", attached=True)
class FromATable(Blend):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.register_buffer("strengths", torch.linspace(0.2, 0.9, 8))

    def decide(self, shape, draw):
        return Params.of(draw, self.strengths.numpy()[draw.random.integers(8, size=draw.count("sample"))])

    def act(self, x, params):
        return torch.lerp(wide(x)[params.partner], wide(x), params.strength(wide(x)))


@right("a row takes from two others: labels are of three", per="sample", p=0.6)
class FromTwo(Blend):
    tags = Tags(mixes_labels=True, paper="none", batch_coupled=True, masks=False)

    def decide(self, shape, draw):
        import torch

        from featmix.labels.mixture import Mixture

        n = len(draw)
        third = np.where(draw.active, draws.partners(draw.random, n), np.arange(n))
        index = torch.from_numpy(np.stack([np.arange(n), draw.partner, third], 1))
        weight = torch.tensor([0.5, 0.3, 0.2]).repeat(n, 1)
        weight[~torch.from_numpy(draw.active)] = torch.tensor([1.0, 0, 0])
        return Params.of(draw, np.full(n, 0.5), mixture=Mixture(index, weight))

    def act(self, x, params):
        x = wide(x)
        weight = params.mixture.weight.to(x.dtype).reshape(-1, 3, *[1] * (x.ndim - 1))
        return sum(weight[:, k] * x[params.mixture.index[:, k]] for k in range(3))


@right("its gate and its strength are drawn a sample", per="sample", p=0.25)
class Seldom(Blend):
    def act(self, x, params):
        lam = params.strength(wide(x))
        return wide(x) - (1 - lam) * (wide(x) - wide(x)[params.partner])


@right("plain permutations, where a row may be its own partner", partner="permutation", num_classes=7)
class PlainPermutation(Blend):
    def act(self, x, params):
        return torch.lerp(wide(x)[params.partner], wide(x), params.strength(wide(x)))
