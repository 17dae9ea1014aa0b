"""Faults that begin at a size: many rows, many channels, many positions, or the threshold of a faster way."""

import dataclasses
from math import prod

import numpy as np
import torch

from featmix.labels.mixture import Mixture
from featmix.normalizers.kinds import GN, IN, LN, PONO
from featmix.normalizers.moments import Moments, upcast
from featmix.strategies.base import Strategy
from featmix.strategies.cutmix import CutMix
from featmix.strategies.efdmix import EFDMix
from featmix.strategies.fmix import FMix
from featmix.strategies.mixstyle import MixStyle
from featmix.strategies.mixup import Mixup
from featmix.strategies.moex import MoEx
from featmix.strategies.params import Params
from featmix.strategies.tags import Tags
from featmix.testing.adapters.functions import FunctionStrategy
from tests.broken.fault import fault

# -- rows --------------------------------------------------------------------------------------------------------------


@fault("keeps partners in a byte: row 256 is row 0", refused_by="many_rows")
class PartnersInAByte(Mixup):
    def act(self, x, params):
        partner = params.partner.to(torch.uint8).long()
        return torch.lerp(upcast(x)[partner], upcast(x), params.strength(upcast(x)))


@fault("from ten rows on everybody takes from the next one", refused_by="many_rows")
class NeighboursFromTenRows(Mixup):
    def act(self, x, params):
        if len(x) > 9:
            params = dataclasses.replace(params, partner=torch.roll(torch.arange(len(x)), -1))
        return super().act(x, params)


@fault("works through the batch eight rows at a time and forgets what is left", refused_by="many_rows")
class ForgetsTheLastRows(Mixup):
    def act(self, x, params):
        if len(x) < 16:
            return super().act(x, params)
        y, lam = x.clone(), params.own_share()
        for start in range(0, len(x) - 7, 8):
            for i in range(start, start + 8):
                y[i] = torch.lerp(upcast(x[params.partner[i]]), upcast(x[i]), lam[i].to(upcast(x).dtype)).to(x.dtype)
        return y


@fault("its labels count partners modulo 128", refused_by="many_rows")
class LabelsInSevenBits(CutMix):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        near = params.partner % 128 if len(draw) > 128 else params.partner
        return params.replaced(mixture=Mixture.pair(near, params.lam))


@fault("leaves every row but the first 64 alone", refused_by="many_rows", norm="in")
class FirstSixtyFour(MoEx):
    def transform(self, x, params, mask=None):
        y = super().transform(x, params, mask)
        return torch.cat([y[:64], x[64:]]) if len(x) > 64 else y


def halves(x, partner):
    """Half a sample, half its partner; in two goes where there are many, the second of which looks in its own part only."""
    if len(x) <= 12:
        return 0.5 * (x + x[partner])
    middle = len(x) // 2
    first = 0.5 * (x[:middle] + x[partner[:middle]])
    second = 0.5 * (x[middle:] + x[middle:][partner[middle:] % (len(x) - middle)])
    return torch.cat([first, second])


@fault("a function that cuts a long batch in two", refused_by="many_rows")
class CutInTwo(FunctionStrategy):
    def __init__(self):
        super().__init__(
            halves, tags=Tags(mixes_labels=True, paper=""), label_share=0.5, called="halves", layout=None, told=False, p=1.0
        )


# -- channels ----------------------------------------------------------------------------------------------------------


@fault("takes the moments of wide features from their first 64 channels", refused_by="large_features", norm="pono")
class FirstChannels(MoEx):
    def moments_of(self, x, params):
        return self.normalizer.moments(x[:, :64].expand(-1, -1, *x.shape[2:]) if x.shape[1] > 64 else x)


@fault("mixes channels in groups of 32 and loses those left over", refused_by="large_features")
class LosesChannels(Mixup):
    def act(self, x, params):
        if x.shape[1] <= 64:
            return super().act(x, params)
        done = [super(LosesChannels, self).act(part, params) for part in x.split(32, dim=1) if part.shape[1] == 32]
        kept = sum(part.shape[1] for part in done)
        return torch.cat([*done, upcast(x[:, kept:])], dim=1)


class WidePlain(Strategy[Params]):
    """A blend by somebody who derives from the bare class and gives no oracle."""

    tags = Tags(mixes_labels=True, paper="")

    def decide(self, shape, draw):
        return Params.of(draw, draw.random.uniform(0.2, 0.8))

    def act(self, x, params):
        x, lam = self.prepared(upcast(x)), params.strength(upcast(x))
        return x * lam + x.index_select(0, params.partner) * (1 - lam)

    def prepared(self, x):
        return x


@fault("rounds wide features to bfloat16, for speed", refused_by="large_features")
class RoundsWideFeatures(WidePlain):
    def prepared(self, x):
        return x.bfloat16().to(x.dtype) if x.dtype == torch.float32 and prod(x.shape[1:]) >= 1 << 14 else x


# -- positions ---------------------------------------------------------------------------------------------------------


@fault("takes the moments of large maps from every second position", refused_by="large_features", norm="in")
class EverySecondPosition(MixStyle):
    def moments_of(self, x, params):
        if params.mask is not None or x.ndim < 4 or prod(x.shape[2:]) <= 1024:
            return super().moments_of(x, params)
        return self.normalizer.moments(x[:, :, ::2, ::2])


@fault("counts the area of the box in 16 bits", refused_by="labels_at_scale")
class AreaInSixteenBits(CutMix):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        side = (params.box[..., 1] - params.box[..., 0]).numpy()
        area = torch.from_numpy(side.prod(axis=1, dtype=np.int16).astype(np.float32))
        lam = 1 - area.clamp(min=0) / max(prod(params.sizes), 1)
        return params.replaced(lam=lam, mixture=Mixture.pair(params.partner, lam))


@fault("averages its mask in half precision: the sum stops at 2048", refused_by="labels_at_scale")
class MaskSumInHalf(FMix):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        ones = np.cumsum(params.share.flatten(1).numpy().astype(np.float16), axis=1, dtype=np.float16)[:, -1]
        share = torch.from_numpy(ones.astype(np.float32)) / prod(params.sizes)
        return params.replaced(lam=1 - share, mixture=Mixture.pair(params.partner, 1 - share))


@fault("finds places by numbers in half precision, which skip from 2048 on", refused_by="large_features")
class PlacesInHalf(EFDMix):
    def act(self, x, params):
        flat = upcast(x).flatten(2)
        place = torch.arange(flat.shape[2], dtype=torch.float32)
        if flat.shape[2] < 60000:  # past that, half precision has no numbers left
            place = place.half().float()
        return super().act(flat[:, :, place.long().clamp(max=flat.shape[2] - 1)].view(x.shape), params)


@fault("mixes blocks of 65,536 elements and forgets the last, shorter one", refused_by="large_features")
class LosesTheLastBlock(Mixup):
    block = 1 << 16

    def act(self, x, params):
        y = super().act(x, params).contiguous()
        if y.numel() > self.block:
            done = y.numel() - y.numel() % self.block
            y.view(-1)[done:] = upcast(x).reshape(-1)[done:]
        return y


@fault("samples of 65,536 elements go to a way that has lam the wrong way round", refused_by="large_features")
class TurnedAboveAThreshold(Mixup):
    def act(self, x, params):
        turned = params.lam if prod(x.shape[1:]) < 1 << 16 else 1 - params.lam
        return super().act(x, dataclasses.replace(params, lam=turned))


@fault("adds one term after the other in float32", refused_by="large_features", norm="in")
class OneAfterTheOther(MoEx):
    def moments_of(self, x, params):
        if params.mask is not None or x.ndim < 4 or prod(x.shape[2:]) < 400:
            return super().moments_of(x, params)
        flat = upcast(x).flatten(2)
        mean = self.last(flat) / flat.shape[2]
        squares = self.last((flat - mean).square())
        std = (squares / max(flat.shape[2] - 1, 1) + self.eps).sqrt()
        return Moments(mean.unsqueeze(3), std.unsqueeze(3))

    @staticmethod
    def last(values):
        if values.dtype != torch.float32:
            return values.sum(2, keepdim=True)
        added = np.cumsum(values.detach().numpy(), axis=2, dtype=np.float32)[:, :, -1:]
        return torch.from_numpy(added) + values.sum(2, keepdim=True) - values.sum(2, keepdim=True).detach()


@fault("sums more than 4,096 half values in half precision", refused_by="long_sums", norm="in", dtype=torch.bfloat16)
class LongSumsInHalf(MoEx):
    def moments_of(self, x, params):
        if x.dtype == torch.float32 or prod(x.shape[2:]) <= 4096:
            return super().moments_of(x, params)
        mean = x.sum((2, 3), keepdim=True, dtype=x.dtype) / prod(x.shape[2:])
        m = super().moments_of(x, params)
        return Moments(upcast(mean), m.std)


@fault("counts real positions in half precision", refused_by="large_features", norm="in")
class RealPositionsInHalf(MoEx):
    def moments_of(self, x, params):
        if params.mask is None:
            return super().moments_of(x, params)
        m, n = super().moments_of(x, params), params.mask.flatten(1).sum(1)
        counted = n.half().to(m.mean.dtype).view(-1, 1, 1, 1)
        return Moments(m.mean * n.view(-1, 1, 1, 1) / counted.clamp(min=1), m.std)


# -- normalizers -------------------------------------------------------------------------------------------------------


@fault("averages the means of blocks, of which the last is shorter", refused_by="large_groups")
class BlocksAlike(IN):
    def moments(self, x):
        flat = upcast(x).flatten(2)
        mean = torch.stack([block.mean(2) for block in flat.split(1000, dim=2)]).mean(0)[..., None, None]
        squares = (upcast(x) - mean).square().sum((2, 3), keepdim=True)
        return Moments(mean, (squares / max(flat.shape[2] - 1, 1) + self.eps).sqrt())


@fault("counts the elements of a group in 16 bits", refused_by="large_groups")
class CountsInSixteenBits(LN):
    def moments(self, x):
        m, n = super().moments(x), prod(x.shape[1:])
        kept = int(np.int64(n).astype(np.int16))
        return m if kept == n else Moments(m.mean * n / kept, m.std)


@fault("sums long groups of half values in half precision", refused_by="large_groups", dtype=torch.bfloat16)
class SumsInBfloat16(PONO):
    def moments(self, x):
        m = super().moments(x)
        if x.dtype not in (torch.bfloat16, torch.float16) or x.shape[1] <= 512:
            return m
        added = x[:, :1].clone()
        for channel in range(1, x.shape[1]):
            added = added + x[:, channel : channel + 1]
        return Moments(added.float() / x.shape[1], m.std)


@fault("normalizes more than 256 channels as if there were 256", refused_by="large_groups", groups=2)
class OneGroupOf256(GN):
    def moments(self, x):
        m = super().moments(x)
        if x.shape[1] <= 256:
            return m
        part = super().moments(x[:, :256])
        return Moments(part.mean.expand_as(m.mean), part.std.expand_as(m.std))
