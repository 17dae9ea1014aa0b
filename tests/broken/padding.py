"""Faults of padding and prefix tokens."""

import dataclasses
from typing import ClassVar

import torch

from featmix.normalizers.moments import Moments
from featmix.strategies.axes import Axes
from featmix.strategies.mixstyle import MixStyle
from featmix.strategies.mixup import Mixup
from featmix.strategies.moex import MoEx
from tests.broken.fault import fault


@fault("sees the padding, and multiplies it away: a NaN in it survives", refused_by="padding", norm="in")
class MaskedByZero(MoEx):
    def transform(self, x, params, mask=None):
        params = params if mask is None else params.replaced(mask=mask)
        if params.mask is None:
            return super().transform(x, params)
        mixed = self.gated(x * params.mask.unsqueeze(1), params)
        return torch.where(self.reach(params, params.mask).unsqueeze(1), mixed, x)


@fault("writes into the padding", refused_by="padding", norm="in")
class PaddingRestyled(MixStyle):
    def reach(self, params, mask):
        return torch.ones_like(mask)


@fault("exchanges positions with the padding of the partner", refused_by="padding", norm="pono")
class PaddingOfThePartner(MoEx):
    def reach(self, params, mask):
        return mask


@fault("divides the variance of real positions by n", refused_by="full_mask", norm="in")
class BiasedUnderMask(MoEx):
    def moments_of(self, x, params):
        if params.mask is None:
            return super().moments_of(x, params)
        return dataclasses.replace(self.normalizer, unbiased=False).moments(x, params.mask)


@fault("counts padding as zeros", refused_by="padded_as_short", norm="in")
class PaddingAsZeros(MoEx):
    def moments_of(self, x, params):
        if params.mask is None:
            return super().moments_of(x, params)
        return self.normalizer.moments(torch.where(params.mask.unsqueeze(1), x, 0))


@fault("divides by one position too many", refused_by="padded_as_short", norm="in")
class OffByOne(MoEx):
    def moments_of(self, x, params):
        own = super().moments_of(x, params)
        if params.mask is None or bool(params.mask.all()):
            return own
        n = params.mask.flatten(1).sum(1).view(-1, 1, 1, 1)
        return Moments(own.mean * n / (n + 1), own.std)


@fault("label shares of all positions under a mask", refused_by="padded_labels_measure_content")
class SharesOfPadding(Mixup):
    def with_mask(self, params, mask):
        return params.replaced(mask=mask)


@fault("takes what is padding in the partner for content", refused_by="padded_labels_measure_content")
class PaddingAsContent(Mixup):
    def with_mask(self, params, mask):
        return super().with_mask(params, torch.ones_like(mask)).replaced(mask=mask)


class OtherAxes(Mixup):
    """Mixup with a prefix of its own making."""

    axes_class: ClassVar[type[Axes]] = Axes

    def __init__(self, **settings):
        super().__init__(**settings)
        self._axes = self.axes_class(type(self).__name__, self.layout, self.num_prefix_tokens or 0)


class NoPrefix(Axes):
    def body_of(self, x):
        return x

    def with_prefix_of(self, x, body):
        return body


@fault("mixes prefix tokens like any other", refused_by="prefix")
class PrefixMixed(OtherAxes):
    axes_class = NoPrefix


class Shifted(Axes):
    def with_prefix_of(self, x, body):
        return super().with_prefix_of(x, body.flip(1)) if self.num_prefix_tokens else body


@fault("draws the same, and shifts the rest by the prefix", refused_by="prefix")
class PrefixShifted(OtherAxes):
    axes_class = Shifted
