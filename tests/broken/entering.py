"""Faults of ways in: right where they are usually called, and wrong in a mode, an argument or an axis."""

import dataclasses

import numpy as np
import torch
from torch import Generator
from torch.nn import functional as F

from featmix.normalizers.moments import upcast
from featmix.sampling import draws as sampling
from featmix.schedule import Schedule
from featmix.strategies.base import Strategy
from featmix.strategies.mixup import Mixup
from featmix.strategies.moex import MoEx
from featmix.strategies.params import Params
from featmix.strategies.tags import Tags
from tests.broken.fault import fault, regated


@fault("draws once for the features and once more for the labels", refused_by="called")
class DrawsTwice(Mixup):
    def forward(self, x, target=None, *, num_classes=None, generator=None, **_):
        if not self.training:
            return super().forward(x, target, num_classes=num_classes)
        y = self.transform(x, self.make_params(x.shape, generator=generator))
        if target is None:
            return y
        return y, self.make_params(x.shape, generator=generator).mixture.dense(target, num_classes)


@fault("takes the generator, and draws from the global one", refused_by="called")
class LosesTheGenerator(Mixup):
    def forward(self, x, target=None, *, generator=None, **settings):
        return super().forward(x, target, **settings)


@fault("draws from a copy of the generator: every step decides the same", refused_by="called")
class DrawsFromACopy(Mixup):
    def forward(self, x, target=None, *, generator=None, **settings):
        copied = None if generator is None else Generator()
        if copied is not None:
            copied.set_state(generator.get_state())
        return super().forward(x, target, generator=copied, **settings)


@fault("takes soft labels for the classes of their largest entries", refused_by="called")
class HardensSoftLabels(Mixup):
    def forward(self, x, target=None, **settings):
        if target is not None and target.ndim == 2 and target.is_floating_point():
            target = F.one_hot(target.argmax(1), target.shape[1]).float()
        return super().forward(x, target, **settings)


@fault("returns soft labels in half precision", refused_by="called")
class HalfLabels(Mixup):
    def forward(self, x, target=None, **settings):
        result = super().forward(x, target, **settings)
        return result if target is None else (result[0], result[1].half())


@fault("mixes the features and returns the labels as they were", refused_by="called", norm="in")
class ForgetsTheLabels(MoEx):
    def forward(self, x, target=None, *, num_classes=None, **settings):
        y = super().forward(x, **settings)
        if target is None:
            return y
        whole = target.ndim == 1 and not target.is_floating_point()
        return y, F.one_hot(target.long(), num_classes).float() if whole else target


@fault("mixes in eval mode as well", refused_by="eval_mode")
class MixesInEval(Mixup):
    def forward(self, x, target=None, **settings):
        was = self.training
        result = self.train()._mixed(x, target, settings)
        self.train(was)
        return result

    def _mixed(self, x, target, settings):
        return super().forward(x, target, **settings)


@fault("draws in eval mode, and throws it away", refused_by="eval_mode")
class DrawsInEval(Mixup):
    def forward(self, x, target=None, *, generator=None, **settings):
        if not self.training:
            self.make_params(x.shape, generator=generator)
        return super().forward(x, target, generator=generator, **settings)


@fault("never comes back from eval mode", refused_by="eval_mode")
class StaysInEval(Mixup):
    frozen = False

    def train(self, mode=True):
        self.frozen = self.frozen or not mode
        return super().train(mode and not self.frozen)


@fault("reads the version of its input, which inference tensors do not have", refused_by="inference_mode", crashes=True)
class ReadsVersions(Mixup):
    def act(self, x, params):
        before = x._version
        mixed = super().act(x, params)
        assert x._version == before
        return mixed


@fault("takes the absence of gradients for evaluation", refused_by="inference_mode")
class NoGradientNoMixing(Mixup):
    def transform(self, x, params, mask=None):
        return super().transform(x, params, mask) if torch.is_grad_enabled() else x.clone()


@fault("returns what autocast computes in", refused_by="autocast_for_all")
class FollowsAutocast(Mixup):
    def transform(self, x, params, mask=None):
        y = super().transform(x, params, mask)
        return y.to(torch.get_autocast_dtype("cpu")) if torch.is_autocast_enabled("cpu") else y


@fault("squares in float16 under autocast, which ends at 65,504", refused_by="autocast_for_all", norm="in")
class SquaresInHalf(MoEx):
    def act(self, x, params):
        if not torch.is_autocast_enabled("cpu"):
            return super().act(x, params)
        x = x.half()
        mean = x.mean((2, 3), keepdim=True)
        std = (x.square().mean((2, 3), keepdim=True) - mean.square() + 1e-5).sqrt()
        return (x - mean) / std * std[params.partner] + mean[params.partner]


@fault("scales by one over the largest value, which overflows where that is denormal", refused_by="denormals")
class ScalesByTheLargest(Mixup):
    def act(self, x, params):
        wide = upcast(x)
        largest = wide.detach().abs().nan_to_num(0, 0, 0).flatten(1)
        largest = largest.amax(1) if largest.shape[1] else largest.sum(1)
        largest = torch.where(largest > 0, largest, 1.0).view(-1, *[1] * (x.ndim - 1))
        return super().act(wide, params) * (1 / largest) * largest


@fault("gates rows anew: rows= is forgotten", refused_by="given")
class GatesAnew(Mixup):
    def decide(self, shape, draw):
        return super().decide(shape, regated(draw, sampling.gate(draw.random, len(draw), self.at(0.0).p, per=self.per)))


@fault("chooses partners without looking at domains", refused_by="given")
class ForgetsDomains(Mixup):
    def _partners(self, batch, random, domain, partner):
        return super()._partners(batch, random, None, partner)


@fault("takes from the row after it, whatever partners are given", refused_by="given")
class AlwaysTheNext(Mixup):
    def _partners(self, batch, random, domain, partner):
        return np.roll(np.arange(batch), -1)


@fault("reads its schedule when it is made", refused_by="progress")
class ReadsTheScheduleOnce(Mixup):
    def __init__(self, *, alpha=1.0, **settings):
        super().__init__(alpha=alpha, **settings)
        self.start = alpha(0.0) if isinstance(alpha, Schedule) else alpha

    def at(self, progress):
        now = super().at(progress)
        now.alpha = self.start
        return now


@fault("loses progress= on the way to the draw", refused_by="progress")
class LosesProgress(Mixup):
    def make_params(self, shape, *, progress=None, **given):
        return super().make_params(shape, **given)


@fault("squares progress, for a slower start that nobody asked for", refused_by="progress")
class SquaresProgress(MoEx):
    def at(self, progress):
        return super().at(progress**2)


class SwapsChannels(Strategy[Params]):
    """Takes the first half of the channels from the partner."""

    tags = Tags(mixes_labels=True, paper="")

    def decide(self, shape, draw):
        channels = shape[self.axis(shape)] if len(shape) > 1 else 2
        return Params.of(draw, 1 - (channels // 2) / channels)

    def axis(self, shape):
        return self.layout_of(shape).channel

    def act(self, x, params):
        axis = self.axis(x.shape)
        half = x.shape[axis] // 2
        lent = x.index_select(0, params.partner)
        return torch.cat([lent.narrow(axis, 0, half), x.narrow(axis, half, x.shape[axis] - half)], dim=axis)


@fault("looks for the channels on axis 1, whatever the number of axes, unless a layout is named", refused_by="unnamed_layout")
class ChannelsOnAxisOne(SwapsChannels):
    def axis(self, shape):
        return 1 if self.layout is None else super().axis(shape)


@fault("leaves features of two axes alone, unless their layout is named", refused_by="unnamed_layout")
class LeavesVectors(Mixup):
    def act(self, x, params):
        return x if x.ndim == 2 and self.layout is None else super().act(x, params)


@fault("puts the prefix back in float32", refused_by="one_prefix_token", dtype=torch.float16)
class WidePrefix(Mixup):
    def transform(self, x, params, mask=None):
        y = super().transform(x, params, mask)
        if not self.num_prefix_tokens:
            return y
        axis, count = self.layout_of(x.shape).positions[0], self.num_prefix_tokens
        return torch.cat([x.narrow(axis, 0, count).float(), y.narrow(axis, count, y.shape[axis] - count)], dim=axis)


@fault("sends the prefix through bfloat16, where everything is", refused_by="one_prefix_token", dtype=torch.float16)
class PrefixThroughBfloat16(Mixup):
    def transform(self, x, params, mask=None):
        y = super().transform(x, params, mask)
        if self.num_prefix_tokens and x.dtype == torch.float16:
            axis = self.layout_of(x.shape).positions[0]
            prefix = y.narrow(axis, 0, self.num_prefix_tokens)
            prefix.copy_(prefix.bfloat16())
        return y


@fault("takes one prefix token for none", refused_by="one_prefix_token")
class OneIsNone(Mixup):
    def __init__(self, **settings):
        super().__init__(**settings)
        if self.num_prefix_tokens == 1:
            self._axes = dataclasses.replace(self._axes, num_prefix_tokens=0)


@fault("inverts a mask twice with ~, which of integers makes -1 and -2", refused_by="integer_mask", norm="in")
class InvertsTwice(MoEx):
    def make_params(self, shape, *, mask=None, **given):
        padding = None if mask is None else ~mask
        return super().make_params(shape, mask=None if mask is None else ~padding.bool(), **given)


@fault("takes a mask beside a decision, and does not use it", refused_by="mask_at_transform", norm="in")
class MaskNotUsed(MoEx):
    def transform(self, x, params, mask=None):
        return super().transform(x, params)


@fault("puts padding back, after it has counted it", refused_by="mask_at_transform", norm="in")
class PaddingPutBack(MoEx):
    def transform(self, x, params, mask=None):
        y = super().transform(x, params)
        return y if mask is None else torch.where(mask.bool().unsqueeze(1), y, x)


@fault("keeps the number of rows of the first batch that was traced", refused_by="compile_again")
class RowsOfTheFirstGraph(Mixup):
    traced = 0

    def act(self, x, params):
        if not torch.compiler.is_compiling():
            return super().act(x, params)
        if not self.traced:
            self.traced = x.shape[0]
        return super().act(x, dataclasses.replace(params, partner=params.partner % self.traced))


@fault("leaves half types as they are where a compiler will fuse it all", refused_by="compile_again")
class CompiledInHalf(Mixup):
    def gated(self, x, params):
        if not torch.compiler.is_compiling():
            return super().gated(x, params)
        lam = params.strength(x)
        mixed = lam * x + (1 - lam) * x[params.partner]
        return torch.where(params.active.view(-1, *[1] * (x.ndim - 1)), mixed, x)
