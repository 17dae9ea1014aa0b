"""Faults of gradients: wrong in one dtype, for partners that lend twice, for large cotangents, or when differentiated again."""

import dataclasses
from math import prod

import torch

from featmix.normalizers.kinds import IN, LN, PONO
from featmix.normalizers.moments import Moments, upcast
from featmix.strategies.base import Strategy
from featmix.strategies.cutmix import CutMix
from featmix.strategies.efdmix import EFDMix
from featmix.strategies.mixstyle import MixStyle
from featmix.strategies.mixup import Mixup
from featmix.strategies.moex import MoEx
from featmix.strategies.params import Params
from featmix.strategies.tags import Tags
from tests.broken.fault import fault


def altered(y, change):
    """The same values, with another gradient."""
    if y.requires_grad:
        y = y.clone()
        y.register_hook(lambda g: g if g is None else change(g))  # None where it is differentiated again and is not needed
    return y


# -- one dtype only ----------------------------------------------------------------------------------------------------


@fault("in float32 nothing reaches the partner in backward", refused_by="gradient_precision")
class NothingLentInFloat32(Mixup):
    def act(self, x, params):
        lent = x[params.partner]
        lent = lent.detach() if x.dtype == torch.float32 else lent
        return torch.lerp(upcast(lent), upcast(x), params.strength(upcast(x)))


@fault("in float32 the standard deviation is a constant in backward", refused_by="gradient_precision", norm="in")
class ConstantStdInFloat32(MoEx):
    def moments_of(self, x, params):
        m = super().moments_of(x, params)
        return Moments(m.mean, m.std.detach()) if x.dtype == torch.float32 else m


@fault("in bfloat16 gradients come back without the gain", refused_by="gradient_precision", norm="in", dtype=torch.bfloat16)
class NoGainInBfloat16(MixStyle):
    def act(self, x, params):
        y = super().act(x, params)
        return y if x.dtype != torch.bfloat16 else x + (y - x).detach()


@fault("rounds the gradient to float16 on its way", refused_by="gradient_precision")
class HalfGradient(CutMix):
    def act(self, x, params):
        y = super().act(x, params)
        return altered(y, lambda g: g.half().to(g.dtype)) if y.dtype == torch.float32 else y


@fault("large features get a backward with constant moments", refused_by="gradient_precision", norm="in", dtype=torch.float64)
class LargeAreConstant(MoEx):
    def moments_of(self, x, params):
        m = super().moments_of(x, params)
        return m.detach() if x.numel() > 1 << 14 else m


# -- partners that lend twice ------------------------------------------------------------------------------------------


class _Gather(torch.autograd.Function):
    """Rows of others, and a backward that goes by the inverse of a permutation."""

    @staticmethod
    def forward(ctx, x, partner):
        ctx.partner = partner
        return x[partner]

    @staticmethod
    def backward(ctx, g):
        return g[ctx.partner.argsort()], None


@fault("backward goes by the inverse permutation, which partners that lend twice do not have", refused_by="repeated_partners")
class ByTheInverse(Mixup):
    def act(self, x, params):
        wide = upcast(x)
        return torch.lerp(_Gather.apply(wide, params.partner), wide, params.strength(wide))


class _Overwriting(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, partner):
        ctx.partner = partner
        return x.index_select(0, partner)

    @staticmethod
    def backward(ctx, g):
        back = torch.zeros_like(g)
        back[ctx.partner] = g
        return back, None


class Handwritten(Strategy[Params]):
    """A strategy of somebody who writes backward by hand."""

    tags = Tags(mixes_labels=False, paper="", masks=False)
    gather = _Overwriting

    def decide(self, shape, draw):
        return Params.of(draw, draw.random.uniform(0.1, 0.9, size=len(draw)))

    def act(self, x, params):
        other = self.gather.apply(upcast(x), params.partner)
        return other + params.strength(other) * (upcast(x) - other)


@fault("writes the gradients of rows that take from one over each other", refused_by="repeated_partners")
class LastOneWins(Handwritten):
    pass


@fault("the partner's gradient is averaged over those that took from it", refused_by="repeated_partners", norm="in")
class AveragedOverTakers(MoEx):
    def new_moments(self, own, partner, params):
        takers = torch.bincount(params.partner, minlength=len(params.partner)).to(partner.mean.dtype)
        share = (1 / takers[params.partner]).view(-1, *[1] * (partner.mean.ndim - 1))
        return Moments(*(share * m + (1 - share) * m.detach() for m in (partner.mean, partner.std)))


# -- cotangents --------------------------------------------------------------------------------------------------------


@fault("clips the gradient to [-100, 100]", refused_by="gradient_scales")
class ClipsTheGradient(Mixup):
    def act(self, x, params):
        return altered(super().act(x, params), lambda g: g.clamp(-100, 100))


@fault("scales a gradient down whose norm is above 1000", refused_by="gradient_scales", norm="in")
class ClipsTheNorm(MoEx):
    def act(self, x, params):
        return altered(super().act(x, params), lambda g: g / max(1.0, float(g.norm()) / 1000))


@fault("flushes gradients below 1e-5 to zero", refused_by="gradient_scales")
class FlushesSmallGradients(EFDMix):
    def act(self, x, params):
        return altered(super().act(x, params), lambda g: torch.where(g.abs() < 1e-5, 0, g))


@fault("replaces gradients past 1e4 by 0, as if they were NaN", refused_by="gradient_scales")
class LargeIsNaN(CutMix):
    def act(self, x, params):
        return altered(super().act(x, params), lambda g: g.masked_fill(g.abs() > 1e4, 0))


# -- once more ---------------------------------------------------------------------------------------------------------


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, own, other, lam):
        ctx.save_for_backward(lam)
        return other + lam * (own - other)

    @staticmethod
    def backward(ctx, g):
        (lam,) = ctx.saved_tensors
        with torch.no_grad():
            return lam * g, (1 - lam) * g.data, None


@fault("half of backward is not seen when it is differentiated", refused_by="second_derivative")
class BackwardUnseen(Mixup):
    def act(self, x, params):
        wide = upcast(x)
        return _Once.apply(wide, wide[params.partner], params.strength(wide))


class _TwiceWrong(torch.autograd.Function):
    """x times a positive scale, whose backward is right and whose backward's backward is not."""

    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x, scale)
        return x * scale

    @staticmethod
    def backward(ctx, g):
        x, scale = ctx.saved_tensors
        return g * scale.detach(), (g * x).sum_to_size(scale.shape)


@fault("backward treats its saved gain as a constant", refused_by="second_derivative", norm="in")
class GainConstantInBackward(MoEx):
    tags = dataclasses.replace(MoEx.tags, masks=False)

    def act(self, x, params):
        if self.passes_through(x.shape):
            return x
        own = self.normalizer.moments(x)
        new = own.take(params.partner)
        view = self.normalizer.view(upcast(x)) - own.mean
        return (_TwiceWrong.apply(view, new.std / own.std) + new.mean).reshape(x.shape)


@fault("backward stores no graph for large features, to save memory", refused_by="second_derivative")
class NoGraphWhenLarge(Mixup):
    def act(self, x, params):
        y = super().act(x, params)
        return altered(y, lambda g: g.detach() if g.numel() > 4096 else g)


class _Recomputed(torch.autograd.Function):
    """Runs a function again in backward, and detaches what it then gives."""

    @staticmethod
    def forward(ctx, x, function):
        ctx.function = function
        ctx.save_for_backward(x)
        return function(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            y = ctx.function(leaf)
        return torch.autograd.grad(y, leaf, g.detach())[0], None


@fault("computes itself again in backward, out of sight of a second one", refused_by="second_derivative", norm="pono")
class RecomputesUnseen(MoEx):
    traceable = False

    def act(self, x, params):
        return _Recomputed.apply(x, lambda z: MoEx.act(self, z, params))


# -- normalizers -------------------------------------------------------------------------------------------------------


class Apart(IN):
    """Instance norm whose normalize does not go by its moments()."""

    def normalize(self, x):
        m = IN.moments(self, x)
        return ((upcast(x) - m.mean) / m.std).to(x.dtype), m


@fault("moments() gives constants, and normalize takes others", refused_by="moments_gradient", dtype=torch.float64)
class ConstantMoments(Apart):
    def moments(self, x, mask=None):
        return super().moments(x, mask).detach()


@fault("the mean of moments() is taken under no_grad", refused_by="moments_gradient", dtype=torch.float64)
class MeanWithoutGradient(Apart):
    def moments(self, x, mask=None):
        m = super().moments(x, mask)
        return Moments(m.mean.detach(), m.std)


@fault("denormalize takes the moments for constants", refused_by="moments_gradient", dtype=torch.float64)
class RestoresWithConstants(PONO):
    def denormalize(self, xh, m):
        return super().denormalize(xh, Moments(m.mean.detach(), m.std.detach()))


@fault("denormalize differentiates the mean and not the scale", refused_by="moments_gradient", dtype=torch.float64)
class ScaleWithoutGradient(LN):
    def denormalize(self, xh, m):
        return (upcast(xh) * m.std.detach() + m.mean).to(xh.dtype)


@fault("denormalize forgets its features in backward", refused_by="moments_gradient", dtype=torch.float64)
class FeaturesWithoutGradient(IN):
    def denormalize(self, xh, m):
        y = super().denormalize(xh.detach(), m)
        return y if not xh.requires_grad else y + 0.5 * (xh - xh.detach())


@fault("float32 gradients of the standard deviation are halved", refused_by="moments_gradient")
class HalvedInFloat32(PONO):
    def moments(self, x, mask=None):
        m = super().moments(x, mask)
        if x.dtype != torch.float32:
            return m
        return Moments(m.mean, 0.5 * (m.std + m.std.detach()))


@fault("clips the gradient of normalized features", refused_by="moments_gradient")
class ClipsNormalized(IN):
    def normalize(self, x):
        xh, m = super().normalize(x)
        return altered(xh, lambda g: g.clamp(-1e3, 1e3)), m


@fault("moments of long groups are constants", refused_by="moments_gradient", dtype=torch.float64)
class LongGroupsConstant(IN):
    def moments(self, x, mask=None):
        m = super().moments(x, mask)
        return m.detach() if prod(x.shape[2:]) > 256 else m


@fault("the backward of the variance cannot be seen", refused_by="moments_second_derivative")
class VarianceUnseen(IN):
    def moments(self, x, mask=None):
        m = super().moments(x, mask)
        return Moments(m.mean, altered(m.std, lambda g: g.detach()))


class _Root(torch.autograd.Function):
    """A root whose backward uses a number."""

    @staticmethod
    def forward(ctx, x):
        y = x.sqrt()
        ctx.kept = y
        return y

    @staticmethod
    def backward(ctx, g):
        return g / (2 * ctx.kept.detach())


@fault("its root keeps the result as a constant for backward", refused_by="moments_second_derivative")
class ConstantRoot(LN):
    def moments(self, x, mask=None):
        m = super().moments(x, mask)
        return Moments(m.mean, _Root.apply(m.std.square()))
