"""Faults of strategies that move moments."""

import dataclasses

import torch

from featmix.normalizers.kinds import IN
from featmix.normalizers.moments import Moments, upcast
from featmix.strategies.mixstyle import MixStyle
from featmix.strategies.moex import MoEx
from tests.broken.fault import fault

POSITIONS = (2, 3)
EPS = 1e-5


class Exchange(MoEx):
    """MoEx under instance norm, in pieces that can be wrong one at a time; it knows of no padding."""

    tags = dataclasses.replace(MoEx.tags, masks=False)

    def act(self, x, params):
        if self.passes_through(x.shape):
            return x
        own = self.own(x)
        return self.restore(upcast(x), own, own.take(params.partner))

    def own(self, x):
        return self.normalizer.moments(x)

    def restore(self, x, own, new):
        scale = new.std / own.std
        return x * scale + (new.mean - scale * own.mean)


def centred(x):
    mean = x.mean(POSITIONS, keepdim=True)
    return mean, x - mean


@fault("takes from the row that takes from it: the inverse permutation", refused_by="partner_direction", norm="in")
class InversePartner(MoEx):
    def act(self, x, params):
        return super().act(x, dataclasses.replace(params, partner=params.partner.argsort()))


@fault("gives its own moments to its partner's content", refused_by="moments", norm="in")
class ContentForMoments(Exchange):
    def act(self, x, params):
        if self.passes_through(x.shape):
            return x
        x = upcast(x)
        own = self.own(x)
        return self.restore(x.index_select(0, params.partner), own.take(params.partner), own)


@fault("exchanges the mean and forgets the standard deviation", refused_by="moments", norm="in")
class MeanOnly(Exchange):
    def restore(self, x, own, new):
        return x - own.mean + new.mean


@fault("scales by the partner's variance instead of its standard deviation", refused_by="moments", norm="in")
class VarianceForStd(Exchange):
    def restore(self, x, own, new):
        return (x - own.mean) / own.std * new.std.square() + new.mean


@fault("adds the new mean before it scales", refused_by="moments", norm="in")
class MeanScaledToo(Exchange):
    def restore(self, x, own, new):
        return ((x - own.mean) / own.std + new.mean) * new.std


@fault("counts eps twice on the side of the sample's own moments", refused_by="moments", norm="in")
class EpsTwice(Exchange):
    def restore(self, x, own, new):
        return (x - own.mean) / (own.std.square() + EPS).sqrt() * new.std + new.mean


@fault("divides by a biased standard deviation and multiplies by an unbiased one", refused_by="moments", norm="in")
class BiasedForUnbiased(Exchange):
    def restore(self, x, own, new):
        _, away = centred(x)
        biased = (away.square().mean(POSITIONS, keepdim=True) + EPS).sqrt()
        return (x - own.mean) / biased * new.std + new.mean


@fault("takes the mean absolute deviation for the standard deviation", refused_by="z_bound", norm="in")
class AbsoluteDeviation(Exchange):
    def restore(self, x, own, new):
        _, away = centred(x)
        return away / (away.abs().mean(POSITIONS, keepdim=True) + EPS) * new.std + new.mean


@fault("E[x^2] - E[x]^2 for a variance, in float32", refused_by="extreme_offset", norm="in")
class OnePass(Exchange):
    def own(self, x):
        mean = x.mean(POSITIONS, keepdim=True)
        return Moments(mean, (x.square().mean(POSITIONS, keepdim=True) - mean.square() + EPS).clamp(min=EPS).sqrt())


@fault("takes its statistics in half precision", refused_by="moments", dtype=torch.float16, norm="in")
class HalfStatistics(Exchange):
    def own(self, x):
        mean, away = centred(x)
        return Moments(mean.float(), (away.square().mean(POSITIONS, keepdim=True) + EPS).sqrt().float())


@fault("computes float64 features in float32", refused_by="oracle", norm="in")
class AlwaysFloat32(Exchange):
    def act(self, x, params):
        return super().act(x.float(), params)


class ByMatrixProduct(IN):
    def moments(self, x):
        flat = upcast(x).flatten(2)
        weight = torch.full((flat.shape[2], 1), 1 / flat.shape[2], dtype=flat.dtype)
        mean = (flat @ weight).unsqueeze(3)  # autocast runs this one in bfloat16
        return Moments(mean, (((flat.unsqueeze(3) - mean).square().squeeze(3) @ weight).unsqueeze(3) + self.eps).sqrt())


@fault("averages by a matrix product, which autocast runs in bfloat16", refused_by="autocast", norm=ByMatrixProduct())
class AutocastStatistics(MoEx):
    pass


@fault("adds eps outside the root", refused_by="constant_channel", norm="in")
class EpsOutside(Exchange):
    def own(self, x):
        mean, away = centred(upcast(x))
        return Moments(mean, away.square().mean(POSITIONS, keepdim=True).sqrt() + EPS**0.5)


@fault("clamps the standard deviation after the root: the gradient is 0 * inf", refused_by="constant_channel", norm="in")
class ClampedLate(Exchange):
    def own(self, x):
        mean, away = centred(upcast(x))
        return Moments(mean, away.square().mean(POSITIONS, keepdim=True).sqrt().clamp(min=EPS**0.5))


@fault("has no eps: a constant channel is 0 / 0", refused_by="constant_channel", norm="in")
class NoEps(Exchange):
    def restore(self, x, own, new):
        _, away = centred(x)
        return away / away.square().mean(POSITIONS, keepdim=True).sqrt() * new.std + new.mean


@fault("takes an unbiased variance of one element", refused_by="degenerate", norm="in")
class OneElement(Exchange):
    def passes_through(self, shape):
        return False

    def own(self, x):
        return Moments(x.mean(POSITIONS, keepdim=True), (x.var(POSITIONS, keepdim=True) + EPS).sqrt())


@fault("flattens by reshape(len(x), -1), which an empty batch cannot answer", refused_by="degenerate", crashes=True, norm="ln")
class EmptyReshape(Exchange):
    def own(self, x):
        flat = upcast(x).reshape(len(x), -1)
        mean, std = flat.mean(1), (flat.var(1) + EPS).sqrt()
        return Moments(mean.view(-1, 1, 1, 1), std.view(-1, 1, 1, 1))


@fault("counts axes as in bchw whatever the layout", refused_by="moments", norm="in", layout="bhwc")
class AlwaysChannelsFirst(Exchange):
    def own(self, x):
        mean, away = centred(upcast(x))
        return Moments(mean, (away.square().sum(POSITIONS, keepdim=True) / max(away[0, 0].numel() - 1, 1) + EPS).sqrt())


@fault("averages tokens over their channels where their positions are meant", refused_by="moments", norm="in", layout="bnc")
class TokensOverChannels(Exchange):
    def own(self, x):
        x = upcast(x)
        return Moments(x.mean(2, keepdim=True), (x.var(2, unbiased=False, keepdim=True) + EPS).sqrt())


@fault("averages over the batch as well", refused_by="isolation", norm="in")
class BatchStatistics(Exchange):
    def own(self, x):
        own = super().own(x)
        return Moments(own.mean, own.std.mean(0, keepdim=True).expand_as(own.std))


@fault("sends negative entries around the affine map", refused_by="oracle", norm="in", positive_only=True)
class PositiveEntriesOnly(Exchange):
    def restore(self, x, own, new):
        return torch.where(x > 0, super().restore(x, own, new), x)


@fault("divides by std + eps: a row that is its own partner shrinks", refused_by="identity", norm="in")
class SelfShrinks(Exchange):
    def restore(self, x, own, new):
        return (x - own.mean) / (own.std + EPS) * new.std + new.mean


@fault("stops the gradient at the partner's moments", refused_by="gradcheck", norm="in")
class PartnerDetached(Exchange):
    def restore(self, x, own, new):
        return super().restore(x, own, new.detach())


@fault("stops the gradient at its own standard deviation", refused_by="gradcheck", norm="in")
class StdDetached(Exchange):
    def restore(self, x, own, new):
        return super().restore(x, Moments(own.mean, own.std.detach()), new)


@fault("lets the gradient through moments that are published as constants", refused_by="gradcheck", p=1.0)
class NoStopGradient(MixStyle):
    def act(self, x, params):
        own = self.normalizer.moments(x)
        new = self.new_moments(own, own.take(params.partner), params)
        return (upcast(x) - own.mean) / own.std * new.std + new.mean


@fault("blends variances where standard deviations are meant", refused_by="oracle", p=1.0, alpha=1.0)
class BlendsVariances(MixStyle):
    def new_moments(self, own, partner, params):
        lam = params.strength(own.mean)
        variance = lam * own.std.square() + (1 - lam) * partner.std.square()
        return Moments(lam * own.mean + (1 - lam) * partner.mean, variance.sqrt())


@fault("lam weighs the partner's moments", refused_by="oracle", p=1.0, alpha=1.0)
class StyleOfThePartner(MixStyle):
    def new_moments(self, own, partner, params):
        return super().new_moments(partner, own, params)
