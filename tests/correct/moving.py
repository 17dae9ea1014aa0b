"""Moments and values moved without featmix's normalizers, or beside them."""

import torch

import featmix as fm
from featmix.normalizers.moments import Moments
from featmix.strategies.moments import MomentStrategy
from featmix.strategies.params import Params
from featmix.strategies.tags import Tags
from tests.correct.blending import Blend, wide
from tests.correct.right import right


@right("var_mean in place of a normalizer", attached=True)
class ByVarMean(MomentStrategy[Params]):
    tags = Tags(mixes_labels=False, paper="none", moments="in", masks=False)

    def __init__(self, *, p=1.0):
        super().__init__("in", eps=1e-3, detach=False, p=p, unbiased=False)

    def decide(self, shape, draw):
        return Params.of(draw)

    def new_moments(self, own, partner, params):
        return partner

    def act(self, x, params):
        x = wide(x)
        var, mean = torch.var_mean(x, tuple(range(2, x.ndim)), correction=0, keepdim=True)
        std = (var + 1e-3).sqrt()
        return (x - mean) / std * std[params.partner] + mean[params.partner]


@right("moments blended on the logarithm of the standard deviation")
class GeometricMean(MomentStrategy[Params]):
    tags = Tags(mixes_labels=False, paper="none", moments="in")

    def __init__(self, *, p=1.0):
        super().__init__("in", eps=1e-5, detach=False, p=p)

    def decide(self, shape, draw):
        return Params.of(draw, draw.random.uniform(0, 1, draw.count("sample")))

    def new_moments(self, own, partner, params):
        lam = params.strength(own.mean)
        log = lam * own.std.log() + (1 - lam) * partner.std.log()
        return Moments(lam * own.mean + (1 - lam) * partner.mean, log.exp())


@right("moments that are constants in backward")
class Detached(fm.MixStyle):
    def __init__(self, *, lam_per="sample"):
        super().__init__(p=1.0, detach=True, lam_per=lam_per)


@right("values sorted and handed to ranks: the partner's distribution")
class ByRank(Blend):
    tags = Tags(mixes_labels=False, paper="none", masks=False)

    @property
    def exact_gradient(self):
        return False  # ranks are constants in backward

    def act(self, x, params):
        x = wide(x)
        flat = x.flatten(2)
        values, order = flat.sort(dim=2, stable=True)
        return flat.scatter(2, order, values[params.partner]).view(x.shape)


@right("a factor a row that keeps the row's own direction")
class PartnersLength(Blend):
    tags = Tags(mixes_labels=False, paper="none", masks=False)

    def act(self, x, params):
        x = wide(x)
        length = (x.square().flatten(1).mean(1) + 1e-6).sqrt()
        return x * (length[params.partner] / length).view(-1, *[1] * (x.ndim - 1))


@right("noise alone: no partner, and a row by itself changes")
class Jitter(Blend):
    tags = Tags(mixes_labels=False, paper="none", partnered=False)

    @property
    def self_is_identity(self):
        return False

    def act(self, x, params):
        return wide(x) * (2 - params.strength(wide(x)))
