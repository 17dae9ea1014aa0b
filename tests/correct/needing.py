"""Strategies that take less than everything: labels, so many channels or classes, some dtypes, images of one size."""

import numpy as np
import torch
from torch.nn import functional as F

from featmix.labels.mixture import Mixture
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params
from featmix.strategies.tags import Tags
from tests.correct.blending import Blend, wide
from tests.correct.right import right


class ByLabel(Strategy[Params]):
    """A decision that is made anew in view of the labels, by whichever way it is asked for."""

    def decide(self, shape, draw):
        return Params.of(draw, draw.random.uniform(0.5, 1, draw.count("sample")))

    def make_params(self, shape, *, target=None, **given):
        return self.seen(super().make_params(shape, target=target, **given), target)

    def recall(self, params, shape, target, random):
        return self.seen(params, target)

    def seen(self, params, target):
        raise NotImplementedError

    def act(self, x, params):
        return torch.lerp(wide(x)[params.partner], wide(x), params.strength(wide(x)))


@right("rows of one class only take from each other", attached=True)
class WithinAClass(ByLabel):
    tags = Tags(mixes_labels=False, paper="none", needs_target=True)

    def seen(self, params, target):
        same = target == target[params.partner]
        active, rows = params.active & same, torch.arange(len(target))
        return params.replaced(
            partner=torch.where(active, params.partner, rows), active=active, lam=torch.where(active, params.lam, 1.0)
        )


@right("the share is that of a table of pairs of ten classes")
class ByPairOfClasses(ByLabel):
    tags = Tags(mixes_labels=True, paper="none", needs_target=True, classes=10, masks=False)
    table = 0.5 + 0.05 * torch.arange(10).view(-1, 1) - 0.02 * torch.arange(10)

    def seen(self, params, target):
        lam = torch.where(params.active, self.table[target, target[params.partner]], 1.0).float()
        return params.replaced(lam=lam, mixture=Mixture.pair(params.partner, lam))


@right("64 channels, each with a gate that is learnt", attached=True)
class LearnedGates(Strategy[Params]):
    tags = Tags(mixes_labels=False, paper="none", channels=64)

    def __init__(self, **settings):
        super().__init__(**settings)
        self.gate = torch.nn.Parameter(torch.linspace(-2, 2, 64))

    def decide(self, shape, draw):
        return Params.of(draw)

    def act(self, x, params):
        share = torch.sigmoid(self.gate).to(wide(x).dtype).view(-1, *[1] * (x.ndim - 2))
        return wide(x) + share * (wide(x)[params.partner] - wide(x))


class _Picky(Blend):
    def act(self, x, params):
        if x.dtype not in self.tags.dtypes:
            raise TypeError(f"a kernel for {self.tags.dtypes} alone, and {x.dtype} came")
        y = x.float()
        return torch.lerp(y[params.partner], y, params.strength(y)).to(x.dtype)


@right("half types only")
class HalfTypesOnly(_Picky):
    tags = Tags(mixes_labels=True, paper="none", dtypes=(torch.float16, torch.bfloat16))


@right("float32 only, as a kernel might be")
class Float32Only(_Picky):
    tags = Tags(mixes_labels=True, paper="none", dtypes=(torch.float32,))


@right("square images of one size, for it turns the partner", attached=True)
class QuarterTurn(Strategy[Params]):
    tags = Tags(mixes_labels=True, paper="none", masks=False, shapes=((3, 6, 6),))

    @property
    def self_is_identity(self):
        return False

    def decide(self, shape, draw):
        return Params.of(draw, 0.5)

    def act(self, x, params):
        lent = wide(x)[params.partner].rot90(1, (2, 3))
        return torch.lerp(lent, wide(x), params.strength(wide(x)))


@right("images only, any size: it turns the partner over")
class UpsideDown(QuarterTurn):
    tags = Tags(mixes_labels=True, paper="none", masks=False)

    def act(self, x, params):
        lent = wide(x)[params.partner].flip((2, 3))
        return torch.lerp(lent, wide(x), params.strength(wide(x)))


@right("convolution: low frequencies are exchanged")
class LowFrequencies(Strategy[Params]):
    tags = Tags(mixes_labels=False, paper="none", spatial=True, masks=False)

    def decide(self, shape, draw):
        return Params.of(draw)

    def act(self, x, params):
        x = wide(x)
        channels = x.shape[1]
        kernel = torch.full((channels, 1, 3, 3), 1 / 9, dtype=x.dtype)
        low = F.conv2d(x, kernel, padding=1, groups=channels)
        return x - low + low[params.partner]


@right("labels by decree: a spherical interpolation of the features")
class Slerp(Blend):
    tags = Tags(mixes_labels=True, paper="none", labels_by_decree=True, masks=False)

    def act(self, x, params):
        x = wide(x)
        flat = x.flatten(1)
        other = flat[params.partner]
        lam = params.lam.to(x.dtype).unsqueeze(1)
        length = flat.square().sum(1, keepdim=True).add(1e-12).sqrt()
        cosine = (flat / length * (other / length[params.partner])).sum(1, keepdim=True)
        near = cosine.abs() > 0.999
        angle = torch.where(near, 1.0, cosine.clamp(-0.999, 0.999).acos())
        round_ = (torch.sin(lam * angle) * flat + torch.sin((1 - lam) * angle) * other) / torch.sin(angle)
        return torch.where(near, torch.lerp(other, flat, lam), round_).view(x.shape)


@right("labels by decree: a step of the share")
class RoundedLabels(Blend):
    tags = Tags(mixes_labels=True, paper="none", labels_by_decree=True, masks=False)

    def decide(self, shape, draw):
        lam = draw.gated(draw.random.uniform(0, 1, draw.count("sample")).astype(np.float32), 1.0)
        rounded = torch.from_numpy((lam > 0.5).astype(np.float32))
        return Params.of(draw, lam, mixture=Mixture.pair(torch.from_numpy(draw.partner), rounded))

    def act(self, x, params):
        return torch.lerp(wide(x)[params.partner], wide(x), params.strength(wide(x)))
