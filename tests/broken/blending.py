"""Faults of strategies that mix content, and of their labels."""

import dataclasses
from math import prod

import torch

from featmix.labels.mixture import Mixture
from featmix.normalizers.moments import upcast
from featmix.sampling.boxes import area_of, boxes
from featmix.sampling.draws import beta
from featmix.strategies.cutmix import CutMix, CutMixParams
from featmix.strategies.mixup import Mixup
from featmix.strategies.moex import MoEx
from tests.broken.fault import fault, untied


class Relabelled(Mixup):
    """Mixup whose labels or features can be wrong."""

    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        return params.replaced(mixture=self.labels_of(params))

    def labels_of(self, params):
        return params.mixture


@fault("lam weighs the partner in the features and the sample in the labels", refused_by="labels_measure_content")
class LamOfThePartner(Mixup):
    def act(self, x, params):
        lam = params.strength(upcast(x))
        return (1 - lam) * x + lam * x[params.partner]


@fault("lam weighs the partner in the labels", refused_by="labels_measure_content")
class LabelOfThePartner(Relabelled):
    def labels_of(self, params):
        return Mixture.pair(params.partner, torch.where(params.active, 1 - params.lam, 1.0))


@fault("rounds the label shares to half precision", refused_by="labels_measure_content")
class SharesInHalf(Relabelled):
    def labels_of(self, params):
        return Mixture.pair(params.partner, params.lam.half())


@fault("leaves the labels as they were", refused_by="labels_measure_content")
class LabelsNotMixed(Relabelled):
    def labels_of(self, params):
        return Mixture.identity(len(params.partner))


@fault("mixes the labels of rows that stay", refused_by="labels", p=0.5, per="sample")
class IdleLabelsMixed(Relabelled):
    def labels_of(self, params):
        return Mixture.pair(untied(params).partner, torch.full_like(params.lam, 0.5))


@fault("takes the label from another row than the features", refused_by="labels")
class LabelsElsewhere(Relabelled):
    def labels_of(self, params):
        return Mixture.pair(params.partner.roll(1), params.lam)


class Unchecked(Mixture):
    """Shares of somebody's own making, which nothing refuses on creation."""

    def __post_init__(self):
        pass


@fault("gives both labels the share lam", refused_by="labels")
class SharesBeyondOne(Relabelled):
    def labels_of(self, params):
        return Unchecked(params.mixture.index, params.lam.unsqueeze(1).expand(-1, 2).clone())


@fault("sharpens the label shares until one is below 0", refused_by="labels")
class SharesBelowZero(Relabelled):
    def labels_of(self, params):
        own = torch.where(params.active, 2 * params.lam - 0.5, 1.0)
        return Unchecked(params.mixture.index, torch.stack([own, 1 - own], dim=1))


@fault("mixes the labels although its tags say that it does not", refused_by="labels")
class LabelsMixedSilently(Relabelled):
    tags = dataclasses.replace(Mixup.tags, mixes_labels=False)

    def labels_of(self, params):
        return Mixture.pair(params.partner, params.lam)


@fault("uses the first row's lam for all rows", refused_by="batch_equivariance", lam_per="sample")
class FirstLamForAll(Mixup):
    def act(self, x, params):
        return super().act(x, dataclasses.replace(params, lam=params.lam[:1].expand_as(params.lam)))


@fault("multiplies (B,) strengths along the last axis", refused_by="oracle", crashes=True, lam_per="sample")
class LamAlongWidth(Mixup):
    def act(self, x, params):
        lam = params.lam.to(x.dtype)
        return lam * x + (1 - lam) * x[params.partner]


@fault("takes from the row before it, whoever is its partner", refused_by="labels_measure_content")
class Neighbour(Mixup):
    def act(self, x, params):
        return super().act(x, dataclasses.replace(params, partner=torch.arange(len(x)).roll(1)))


@fault("blends towards the mean of the batch", refused_by="isolation")
class TowardsTheBatch(Mixup):
    def act(self, x, params):
        lam = params.strength(upcast(x))
        return lam * x + (1 - lam) * upcast(x).mean(0, keepdim=True)


@fault("a row is the weaker the later it stands in the batch", refused_by="batch_equivariance")
class PlaceInTheBatch(Mixup):
    def act(self, x, params):
        place = torch.arange(len(x)) / max(len(x), 1)
        return super().act(x, dataclasses.replace(params, lam=params.lam + (1 - params.lam) * place))


@fault("blends half types without going to float32", refused_by="half_types", dtype=torch.float16)
class BlendsInHalf(Mixup):
    def act(self, x, params):
        lam = params.strength(x)
        return lam * x + (1 - lam) * x[params.partner]


@fault("shares the label by the box as drawn, before it is clipped", refused_by="labels_measure_content")
class AreaBeforeClipping(CutMix):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        wide = (params.box[..., 1] - params.box[..., 0]).amax(1) / max(params.sizes)
        lam = (1 - wide.square()).float()
        return params.replaced(lam=lam, mixture=Mixture.pair(params.partner, lam))


@fault("divides the area by H * H", refused_by="labels_measure_content")
class SquareAssumed(CutMix):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        area = (params.box[..., 1] - params.box[..., 0]).prod(1) / max(params.sizes[0] ** 2, 1)
        lam = (1 - area).clamp(min=0).float()
        return params.replaced(lam=lam, mixture=Mixture.pair(params.partner, lam))


@fault("pastes the box with height and width swapped", refused_by="oracle")
class TransposedBox(CutMix):
    def act(self, x, params):
        return super().act(x, dataclasses.replace(params, box=params.box.flip(1)))


@fault("pastes the box of the row before", refused_by="batch_equivariance", lam_per="sample")
class BoxOfAnotherRow(CutMix):
    def act(self, x, params):
        return super().act(x, dataclasses.replace(params, box=params.box.roll(1, 0)))


@fault("counts the far edge of the box as inside", refused_by="labels_measure_content")
class EdgeIncluded(CutMix):
    def act(self, x, params):
        return super().act(x, dataclasses.replace(params, box=params.box + torch.tensor([0, 1])))


@fault("pastes from the mirrored place of the partner", refused_by="oracle")
class MirroredPatch(CutMix):
    def act(self, x, params):
        pasted = super().act(torch.cat([x, x.flip(3)]), _doubled(params))
        return pasted[: len(x)]


def _doubled(params):
    twice = {name: torch.cat([getattr(params, name)] * 2) for name in ("active", "lam", "box")}
    return dataclasses.replace(params, partner=torch.cat([params.partner + len(params.partner)] * 2), **twice)


@fault(
    "side S * (1 - lam) of the box, without the root",
    survives="the label says what was pasted; no law fixes how large boxes are",
)
class BoxWithoutRoot(CutMix):
    def decide(self, shape, draw):
        sizes = self.layout_of(shape).spatial_shape(shape)
        drawn = beta(draw.random, draw.count(self.lam_per), self.alpha, self.alpha)
        box = boxes(draw.random, sizes, 1 - (1 - drawn) ** len(sizes))
        lam, kept = 1 - area_of(box) / max(prod(sizes), 1), draw.gated(box, 0)
        return CutMixParams.of(draw, lam, loss_weight=self.loss_weight, box=kept, sizes=sizes)


@fault("says that it mixes content, and moves moments", refused_by="labels_measure_content", lam=0.5)
class MomentsAsContent(MoEx):
    tags = dataclasses.replace(MoEx.tags, moments="")
