"""Faults in the handling of tensors: what comes out, what is kept, and what is run again."""

import dataclasses

import torch

from featmix.normalizers.moments import upcast
from featmix.sampling.draws import stream
from featmix.strategies.mixup import Mixup
from featmix.strategies.moex import MoEx
from tests.broken.fault import fault, untied


def column(active, x):
    return active.view(-1, *[1] * (x.ndim - 1))


@fault("sends idle rows through the arithmetic: normalized and restored, not selected", refused_by="identity", norm="in", p=0.5)
class IdleRestored(MoEx):
    def transform(self, x, params):
        partner = torch.where(params.active, params.partner, torch.arange(len(x)))
        return self.act(x, dataclasses.replace(params, partner=partner)).to(x.dtype).clone()


@fault("mixes idle rows with strength 1: 0 * NaN is NaN", refused_by="isolation", p=0.5, per="sample")
class IdleByStrengthOne(Mixup):
    def transform(self, x, params):
        return self.act(x, untied(params)).to(x.dtype)


@fault("gates by multiplication with 0 and 1", refused_by="isolation", norm="in", p=0.5, per="sample")
class GatedByProduct(MoEx):
    def transform(self, x, params):
        active = column(params.active, x).to(x.dtype)
        return active * self.act(x, untied(params)).to(x.dtype) + (1 - active) * x


@fault(
    "selects the result, not the partner: NaN reaches the gradient of idle rows", refused_by="isolation", p=0.5, per="sample"
)
class NaNGradient(Mixup):
    def transform(self, x, params):
        wide, params = upcast(x), untied(params)
        mixed = self.act(wide, params) * (wide[params.partner] / wide[params.partner])
        return torch.where(column(params.active, x), mixed.to(x.dtype), x)


@fault("works in place on its input", refused_by="contract")
class InPlace(Mixup):
    def transform(self, x, params):
        mixed = super().transform(x, params)
        with torch.no_grad():
            x.copy_(mixed)
        return mixed


@fault("returns the input itself where no row is active", refused_by="contract", p=0.5)
class ReturnsInput(Mixup):
    def transform(self, x, params):
        return super().transform(x, params) if bool(params.active.any()) else x


@fault("pools along the width and returns an expanded view", refused_by="contract")
class ExpandedView(Mixup):
    def transform(self, x, params):
        mixed = super().transform(x, params)
        return mixed.mean(3, keepdim=True).expand_as(mixed)


@fault("forgets to cast back", refused_by="contract", dtype=torch.bfloat16)
class ForgetsToCast(Mixup):
    def transform(self, x, params):
        return super().transform(upcast(x), params)


@fault("makes channels_last contiguous", refused_by="contract")
class LosesChannelsLast(Mixup):
    def transform(self, x, params):
        return super().transform(x, params).contiguous()


@fault("drops the last row of an odd batch", refused_by="contract")
class EvenBatches(Mixup):
    def transform(self, x, params):
        return super().transform(x, params)[: max(len(x) - len(x) % 2, 1)]


class _Saving(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0]


@fault("saves its result for backward, and the next layer overwrites it", refused_by="inplace_safe", crashes=True)
class SavesItsResult(Mixup):
    def transform(self, x, params):
        return _Saving.apply(super().transform(x, params))


@fault("its backward reads the result, which the next layer overwrites, behind autograd's back", refused_by="inplace_safe")
class SharedMemory(Mixup):
    def transform(self, x, params):
        mixed = super().transform(x, params)
        kept = mixed.detach()
        mixed.register_hook(lambda gradient: gradient - kept.mean())
        return mixed


@fault("flattens by view(), which strided input cannot answer", refused_by="layout", crashes=True)
class ViewForReshape(Mixup):
    def act(self, x, params):
        return super().act(x.view(len(x), -1), params).view(x.shape)


@fault("reads values in the order in which memory holds them", refused_by="layout")
class StorageOrder(Mixup):
    def act(self, x, params):
        contiguous = torch.empty(x.shape, device="meta").stride()
        return super().act(x.as_strided(x.shape, contiguous), params)


@fault("returns a copy of the input", refused_by="does_something")
class DoesNothing(Mixup):
    def transform(self, x, params):
        return x.clone(memory_format=torch.preserve_format)


@fault("its gate never opens: the wrong mask is negated", refused_by="does_something", norm="in")
class GateNeverOpens(MoEx):
    def transform(self, x, params):
        return super().transform(x, dataclasses.replace(params, active=params.active & ~params.active))


@fault("draws its strength inside transform, from the global generator", refused_by="replay")
class DrawsWhenActing(Mixup):
    def act(self, x, params):
        return super().act(x, dataclasses.replace(params, lam=torch.rand(len(x))))


@fault("ignores the generator that it is given", refused_by="replay")
class IgnoresGenerator(Mixup):
    def decide(self, shape, draw):
        return super().decide(shape, dataclasses.replace(draw, random=stream()))


@fault("seeds the global generator to be reproducible", refused_by="replay")
class SeedsEverything(Mixup):
    def act(self, x, params):
        torch.manual_seed(0)
        return super().act(x, params)


@fault("keeps running moments between calls", refused_by="replay", norm="in")
class RunningMoments(MoEx):
    running = 0.0

    def act(self, x, params):
        self.running = 0.9 * self.running + 0.1 * float(x.detach().float().nan_to_num(0, 0, 0).mean())
        return super().act(x, params) + self.running


@fault("exchanges with the moments of the last batch", refused_by="replay", norm="in")
class LastBatch(MoEx):
    last = None

    def act(self, x, params):
        own = self.normalizer.moments(x)
        new = own if self.last is None or self.last.mean.shape != own.mean.shape else self.last
        self.last = own.detach()
        return (upcast(x) - own.mean) / own.std * new.std + new.mean


@fault("writes rows into its input before others have taken from them", refused_by="in_place", inplace=True)
class WritesTooEarly(Mixup):
    def gated(self, x, params):
        if not self.inplace or params.lam is None:
            return super().gated(x, params)
        with torch.no_grad():
            for i, j in enumerate(params.partner.tolist()):
                x[i] = params.lam[i] * x[i] + (1 - params.lam[i]) * x[j]
        return x


@fault("says that it works in place, and gives new memory", refused_by="in_place", inplace=True)
class GivesNewMemory(Mixup):
    def transform(self, x, params, mask=None):
        return super().transform(x.clone(), params, mask)
