"""Faults of label shares and label maps: two places that say how much, and say different things."""

import dataclasses

import torch
from torch.nn import functional as F

from featmix.labels.mixture import Mixture
from featmix.strategies.base import Strategy
from featmix.strategies.cutmix import CutMix
from featmix.strategies.fmix import FMix
from featmix.strategies.mixup import Mixup
from featmix.strategies.moex import MoEx
from featmix.strategies.params import Params
from featmix.strategies.tags import Tags
from featmix.testing.adapters.mixers import MixerStrategy
from tests.broken.fault import fault


@fault("lam is the partner's share, in the features and in no label", refused_by="lam_is_the_share")
class LamIsThePartners(Strategy[Params]):
    tags = Tags(mixes_labels=True, paper="")

    def decide(self, shape, draw):
        lam = draw.random.random(1)
        own = Params.of(draw, 1 - lam)
        return Params.of(draw, lam, mixture=own.mixture)

    def act(self, x, params):
        wide = x.float() if x.dtype.itemsize < 4 else x
        return wide.lerp(wide[params.partner], params.strength(wide))


@fault("lam is the share that was drawn, and the labels have the one that was pasted", refused_by="lam_is_the_share")
class LamAsDrawn(CutMix):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        return params.replaced(lam=torch.where(params.active, params.lam.sqrt(), 1.0))


@fault("lam of a row that is not mixed is that of the others", refused_by="lam_is_the_share", norm="in")
class LamOfIdleRows(MoEx):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        return params.replaced(lam=torch.full_like(params.lam, float(self.lam)))


@fault("has a loss_weight, and does not weigh by it", refused_by="loss_weight")
class WeightForgotten(CutMix):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        return params.replaced(mixture=Mixture(params.mixture.index, params.mixture.weight))


@fault("weighs the loss of rows that are not mixed as well", refused_by="loss_weight")
class WeighsIdleRows(CutMix):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        scale = torch.full((len(draw),), float(self.loss_weight))
        return params.replaced(mixture=Mixture(params.mixture.index, params.mixture.weight, scale=scale))


@fault("loses the loss_weight of padded batches", refused_by="loss_weight")
class WeightLostInPadding(CutMix):
    def with_mask(self, params, mask):
        padded = super().with_mask(params, mask)
        return padded.replaced(mixture=Mixture(padded.mixture.index, padded.mixture.weight))


class Foreign(Mixup):
    """Mixup with a mixture of somebody's own making."""

    kind = Mixture

    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        return params.replaced(mixture=self.kind(params.mixture.index, params.mixture.weight))


class HardLabels(Mixture):
    def dense(self, target, num_classes=None):
        return (
            self._rounded().dense(target, num_classes)
            if target.ndim == 1 and num_classes
            else super().dense(target, num_classes)
        )

    def _rounded(self):
        return Mixture(self.index, (self.weight >= 0.5).float() / (self.weight >= 0.5).sum(1, keepdim=True))


@fault("gives each row the label of its larger share", refused_by="mixture_is_its_matrix")
class LargerLabelOnly(Foreign):
    kind = HardLabels


class FirstRowsWeight(Mixture):
    def loss(self, criterion, output, target):
        lam = float(self.weight[0, 0])
        return lam * criterion(output, target) + (1 - lam) * criterion(output, target[self.index[:, 1]])


@fault("weighs the losses of all rows as those of the first", refused_by="mixture_is_its_matrix")
class LossOfTheFirst(Foreign):
    kind = FirstRowsWeight


class OwnLabelCounts(Mixture):
    def accuracy(self, output, target, *, top_k=1, threshold=None):
        return (output.argmax(1) == target).float().mean()


@fault("counts the sample's own label as the right answer", refused_by="mixture_is_its_matrix")
class AccuracyOfOwn(Foreign):
    kind = OwnLabelCounts


class Backwards(Mixture):
    def then(self, other):
        return other.then(Mixture(self.index, self.weight))


@fault("applies a second mix before the first", refused_by="mixture_is_its_matrix")
class WrongOrder(Foreign):
    kind = Backwards


class TwoOfThem(Mixture):
    def then(self, other):
        whole = super().then(other)
        index, weight = whole.index[:, :2], whole.weight[:, :2]
        return Mixture(index, weight / weight.sum(1, keepdim=True).clamp(min=1e-6))


@fault("keeps two of four labels when a second mix follows", refused_by="mixture_is_its_matrix")
class DropsLabels(Foreign):
    kind = TwoOfThem


class Duck:
    """Quacks like a mixture."""

    scale = None

    def __init__(self, partner, lam):
        self.partner, self.lam = partner, lam
        self.index = torch.stack([torch.arange(len(lam)), partner], dim=1)
        self.weight = torch.stack([lam, 1 - lam], dim=1)

    def __len__(self):
        return len(self.lam)

    def matrix(self):
        return torch.diag(self.lam).index_put((torch.arange(len(self)), self.partner), 1 - self.lam, accumulate=True)

    def dense(self, target, num_classes=None):
        vectors = F.one_hot(target.long(), num_classes) if num_classes else target
        return torch.einsum("ij,j...->i...", self.matrix().double(), vectors.double()).to(
            target.dtype if target.is_floating_point() else torch.float32
        )

    def loss(self, criterion, output, target):
        return criterion(output, self.dense(target, output.shape[1] if target.ndim == 1 else None))

    def accuracy(self, output, target):
        hit = output.argmax(1, keepdim=True) == target
        return (self.matrix() * hit).sum(1).mean()

    def then(self, other):
        index, weight = torch.arange(len(self)).expand(len(self), -1), other.matrix() @ self.matrix()
        return Mixture(index.contiguous(), weight)


@fault("mixes targets for every loss, also for one that is not linear in them", refused_by="mixture_is_its_matrix")
class LossOfTheMean(Mixup):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        return params.replaced(mixture=Duck(params.partner, params.lam))


class Box(MixerStrategy):
    """A black box."""

    def __init__(self):
        super().__init__(type(self).mix, layout="bchw", called=type(self).__name__, needs_float=True, p=1.0)

    @staticmethod
    def mix(x, labels):
        lam, order = torch.rand(()), torch.randperm(len(x))
        return blend(lam, x, order), blend(lam, labels, order)


def blend(lam, x, order):
    wide = x.float() if x.dtype.itemsize < 4 else x
    return (lam * wide + (1 - lam) * wide[order]).to(x.dtype)


@fault("takes soft labels for class indices", refused_by="soft_labels")
class HardBox(Box):
    @staticmethod
    def mix(x, labels):
        return Box.mix(x, F.one_hot(labels.argmax(1), labels.shape[1]).float() if len(x) else labels)


@fault("mixes the labels that it is given in place", refused_by="soft_labels")
class WritesItsLabels(Box):
    @staticmethod
    def mix(x, labels):
        y, soft = Box.mix(x, labels)
        return y, labels.copy_(soft)


@fault("shares labels by how bright the samples are", refused_by="soft_labels")
class LabelsByBrightness(Box):
    @staticmethod
    def mix(x, labels):
        lam, order = torch.rand(()), torch.randperm(len(x))
        bright = x.detach().double().abs().flatten(1).sum(1).nan_to_num(0, 0, 0)
        own, other = lam * bright, (1 - lam) * bright[order]
        share = torch.where(own + other > 0, own / (own + other).clamp(min=1e-300), lam).float().unsqueeze(1)
        return blend(lam, x, order), share * labels + (1 - share) * labels[order]


@fault("mixes label maps in float16, which counts to 2,048", refused_by="many_classes")
class MapsInHalf(CutMix):
    def dense_targets(self, target_map, params):
        if target_map.is_floating_point():
            return super().dense_targets(target_map, params)
        return super().dense_targets(target_map.half(), params).nan_to_num(0, 0, 0).to(target_map.dtype)


@fault("blends label maps in float32, which counts to 16,777,216", refused_by="many_classes")
class MapsInFloat(CutMix):
    def dense_targets(self, target_map, params):
        if target_map.is_floating_point():
            return super().dense_targets(target_map, params)
        return super().dense_targets(target_map.float(), params).to(target_map.dtype)


@fault("keeps 255, for what is ignored, where the partner has been pasted", refused_by="many_classes")
class IgnoredStays(CutMix):
    def dense_targets(self, target_map, params):
        return torch.where(target_map == 255, target_map, super().dense_targets(target_map, params))


@fault("blends class numbers, and rounds them to other classes", refused_by="many_classes", max_soft=0.3)
class BlendsClassNumbers(FMix):
    def dense_targets(self, target_map, params):
        if target_map.is_floating_point():
            return super().dense_targets(target_map, params)
        return super().dense_targets(target_map.double(), params).round().to(target_map.dtype)


@fault("shifts coarse maps by a position", refused_by="coarse_maps")
class CoarseShifted(CutMix):
    def dense_targets(self, target_map, params):
        mixed = super().dense_targets(target_map, params)
        return mixed.roll(-1, -1) if mixed.shape[-1] < params.sizes[-1] else mixed


@fault("pastes the box of the features' own size into a coarse map", refused_by="coarse_maps")
class BoxNotScaled(CutMix):
    def dense_targets(self, target_map, params):
        sizes = tuple(target_map.shape[-len(params.sizes) :])
        small = all(size < whole for size, whole in zip(sizes, params.sizes, strict=True))
        return super().dense_targets(target_map, dataclasses.replace(params, sizes=sizes) if small else params)
