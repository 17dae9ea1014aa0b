"""Faults of distributions: strengths, partners, gates and places that are drawn, and drawn wrongly."""

import dataclasses

import numpy as np
import torch

from featmix.sampling import draws as sampling
from featmix.sampling.boxes import area_of
from featmix.strategies.crossnorm import CrossNorm
from featmix.strategies.cutmix import CutMix, CutMixParams
from featmix.strategies.efdmix import EFDMix
from featmix.strategies.fmix import FMix
from featmix.strategies.mixstyle import MixStyle
from featmix.strategies.mixup import Mixup
from featmix.strategies.params import Params
from featmix.strategies.resizemix import ResizeMix
from tests.broken.fault import fault, regated

# -- strengths ---------------------------------------------------------------------------------------------------------


class Strengths(Mixup):
    """Mixup that draws as it likes."""

    def decide(self, shape, draw):
        return Params.of(draw, self.drawn_strengths(draw.random, draw.count(self.lam_per), draw))

    def drawn_strengths(self, random, n, draw):
        return random.beta(self.alpha, self.alpha, n)


@fault("clips strengths to [0.05, 0.95], so that something always happens", refused_by="strengths")
class Clipped(Strengths):
    def drawn_strengths(self, random, n, draw):
        return super().drawn_strengths(random, n, draw).clip(0.05, 0.95)


@fault("the larger of lam and 1 - lam: the sample always prevails", refused_by="strengths")
class AlwaysTheLarger(Strengths):
    def drawn_strengths(self, random, n, draw):
        lam = super().drawn_strengths(random, n, draw)
        return np.maximum(lam, 1 - lam)


@fault("rounds strengths to hundredths", refused_by="strengths")
class Hundredths(Strengths):
    def drawn_strengths(self, random, n, draw):
        return super().drawn_strengths(random, n, draw).round(2)


@fault("draws strengths in half precision", refused_by="strengths", lam_per="sample")
class HalfStrengths(Strengths):
    def drawn_strengths(self, random, n, draw):
        return super().drawn_strengths(random, n, draw).astype(np.float16)


@fault("tilted: Beta(alpha, 1.3 alpha)", refused_by="strengths", lam_per="sample")
class Tilted(Strengths):
    def drawn_strengths(self, random, n, draw):
        return random.beta(self.alpha, 1.3 * self.alpha, n)


@fault("cuts the tails off: strengths below 0.001 are drawn as 0.001", refused_by="strengths", lam_per="sample", alpha=0.2)
class NoTails(Strengths):
    def drawn_strengths(self, random, n, draw):
        return np.maximum(super().drawn_strengths(random, n, draw), 1e-3)


@fault("sorts the strengths of a batch: first rows are changed most", refused_by="strengths", lam_per="sample")
class Sorted(Strengths):
    def drawn_strengths(self, random, n, draw):
        return np.sort(super().drawn_strengths(random, n, draw))


@fault("the rarer it mixes the harder: the smaller of two strengths where p is below 1", refused_by="strengths", p=0.5)
class HarderWhereRare(Strengths):
    def drawn_strengths(self, random, n, draw):
        first, second = (super(HarderWhereRare, self).drawn_strengths(random, n, draw) for _ in range(2))
        return np.minimum(first, second) if self.p < 1 else first


@fault("halves what is below 0.4, to be stronger", refused_by="strengths", norm="in", alpha=1.0)
class HalvedBelow(MixStyle):
    def decide(self, shape, draw):
        lam = sampling.beta(draw.random, draw.count(self.lam_per), self.alpha, self.alpha)
        return Params.of(draw, np.where(lam < 0.4, lam / 2, lam))


@fault("spreads what is not near one half evenly", refused_by="strengths", alpha=0.5)
class EvenTails(EFDMix):
    def decide(self, shape, draw):
        n = draw.count(self.lam_per)
        lam, even = sampling.beta(draw.random, n, self.alpha, self.alpha), 0.8 * draw.random.random(n)
        return Params.of(draw, np.where(np.abs(lam - 0.5) < 0.1, lam, np.where(even < 0.4, even, even + 0.2)))


@fault("alpha is forgotten in one of the two parameters of an FMix mask", refused_by="strengths", alpha=0.3)
class OneParameter(FMix):
    def decide(self, shape, draw):
        kept = self.alpha
        try:
            self.alpha = 1.0
            return super().decide(shape, draw)
        finally:
            self.alpha = kept


@fault("one strength for a small batch where each sample asks for its own", refused_by="strengths_apart", lam_per="sample")
class OneStrengthForAll(Strengths):
    def drawn_strengths(self, random, n, draw):
        lam = super().drawn_strengths(random, n, draw)
        return lam if n > 128 else lam[:1].repeat(n)


@fault("neighbours share a strength where each sample asks for its own", refused_by="strengths_apart", lam_per="sample")
class SharedByTwo(Strengths):
    def drawn_strengths(self, random, n, draw):
        return super().drawn_strengths(random, (n + 1) // 2, draw).repeat(2)[:n]


@fault("a strength for each sample where the batch is to share one", refused_by="strengths_apart")
class StrengthForEach(Strengths):
    def drawn_strengths(self, random, n, draw):
        return super().drawn_strengths(random, len(draw), draw)


@fault("the two of a pair get lam and 1 - lam", refused_by="strengths_apart", lam_per="sample")
class PairsAddUp(Strengths):
    def drawn_strengths(self, random, n, draw):
        lam = super().drawn_strengths(random, n, draw)
        lam[1::2] = 1 - lam[: n - n % 2 : 2]
        return lam


@fault("neighbours have nearly one strength: a thousandth apart", refused_by="strengths_apart", lam_per="sample", alpha=1.0)
class NearlyShared(MixStyle):
    def decide(self, shape, draw):
        n = draw.count(self.lam_per)
        lam = sampling.beta(draw.random, (n + 1) // 2, self.alpha, self.alpha).repeat(2)[:n]
        return Params.of(draw, (lam + 1e-3 * (np.arange(n) % 2) * (0.5 - lam)).clip(0, 1))


@fault("pastes one box into all samples where each asks for its own", refused_by="strengths_apart", lam_per="sample")
class OneBoxForAll(CutMix):
    def decide(self, shape, draw):
        self.lam_per = "batch"
        try:
            return super().decide(shape, draw)
        finally:
            self.lam_per = "sample"


# -- partners ----------------------------------------------------------------------------------------------------------


class Pairing(Mixup):
    """Mixup that chooses partners by itself."""

    def _partners(self, batch, random, domain, partner):
        given = partner is not None or domain is not None
        return super()._partners(batch, random, domain, partner) if given else self.pairs(batch, random)

    def pairs(self, n, random):
        raise NotImplementedError


@fault("the partner is always the next row", refused_by="partners")
class NextRow(Pairing):
    def pairs(self, n, random):
        return np.arange(1, n + 1) % max(n, 1)


@fault("all rows take from the first, which takes from the second", refused_by="partners")
class AllTheFirst(Pairing):
    def pairs(self, n, random):
        return np.minimum(np.arange(n) == 0, n - 1).astype(np.int64)


@fault("turns the batch around for partners", refused_by="partners", partner="permutation")
class Reversed(Pairing):
    def pairs(self, n, random):
        return np.arange(n)[::-1].copy()


@fault("shifts the batch by a random number of rows, and calls that a derangement", refused_by="partners")
class Shifted(Pairing):
    def pairs(self, n, random):
        return np.roll(np.arange(n), random.integers(1, n)) if n > 1 else np.arange(n)


@fault("exchanges in couples: who takes from whom gives to it", refused_by="partners")
class Couples(Pairing):
    def pairs(self, n, random):
        order = random.permutation(n)
        found = np.roll(np.arange(n), 1)
        if n % 2 == 0:
            found[order[::2]], found[order[1::2]] = order[1::2], order[::2]
        return found


@fault("a permutation without fixed points", refused_by="partners", partner="permutation")
class DerangedPermutation(Pairing):
    def pairs(self, n, random):
        return sampling.partners(random, n, "derangement")


@fault("each row chooses by itself: two may take from one", refused_by="partners")
class WithReplacement(Pairing):
    def pairs(self, n, random):
        return (np.arange(n) + random.integers(1, max(n, 2), n)) % max(n, 1)


@fault("shuffles within neighbourhoods of eight rows", refused_by="partners")
class Neighbourhoods(Pairing):
    def pairs(self, n, random):
        if n <= 9:
            return sampling.partners(random, n, "derangement")
        found = np.arange(n)
        for start in range(0, n, 8):
            length = min(8, n - start)
            found[start : start + length] = start + np.roll(np.arange(length), 1 + random.integers(max(length - 1, 1)))
        return found


@fault("exchanges the halves in order, unshuffled", refused_by="partners", partner="crossdomain")
class HalvesInOrder(Pairing):
    def pairs(self, n, random):
        return np.roll(np.arange(n), n // 2)


# -- gates -------------------------------------------------------------------------------------------------------------


class Gates(Mixup):
    """Mixup with gates of its own, and its own partners for rows that the strategy's gate left out."""

    def decide(self, shape, draw):
        own = draw.partner != np.arange(len(draw))
        others = np.where(own, draw.partner, np.arange(len(draw)) ^ 1) % max(len(draw), 1)
        return super().decide(shape, regated(draw, self.open(len(draw), draw.random), others))


@fault("mixes a fixed share of each batch, whichever rows", refused_by="gates", per="sample")
class FixedShare(Gates):
    def open(self, n, random):
        count = int(self.p * n + random.random())
        return random.permutation(n) < count


@fault("opens the gate of a row for the one half a batch further on too", refused_by="gates", per="sample")
class GatesInPairs(Gates):
    def open(self, n, random):
        return np.resize(random.random(max(n // 2, 2)) < self.p, n)


# -- places ------------------------------------------------------------------------------------------------------------


def boxed(draw, sizes, middle, share, corner=False):
    """A decision of CutMix's kind: one box, of this share of the map, around a place."""
    half = [int(size * (share ** (1 / len(sizes)))) // 2 for size in sizes]
    if corner:
        box = np.array([[[0, 2 * h] for h in half]], dtype=np.int64).reshape(1, len(sizes), 2)
    else:
        ends = zip(middle, half, sizes, strict=True)
        box = np.array([[[max(m - h, 0), min(m + h, size)] for m, h, size in ends]], dtype=np.int64).reshape(1, len(sizes), 2)
    lam = 1 - area_of(box) / max(np.prod(sizes), 1)
    return CutMixParams.of(draw, lam, box=draw.gated(box, 0), sizes=tuple(sizes))


class Boxes(CutMix):
    """CutMix that puts its boxes where it likes."""

    def decide(self, shape, draw):
        sizes = self.layout_of(shape).spatial_shape(shape)
        return self.box(draw, sizes, draw.random.beta(self.alpha, self.alpha))


@fault("the same box each step, in the middle of the map", refused_by="places")
class SameBox(Boxes):
    def box(self, draw, sizes, share):
        return boxed(draw, sizes, [size // 2 for size in sizes], 0.3)


@fault("boxes of any size, always around the middle", refused_by="places")
class AroundTheMiddle(Boxes):
    def box(self, draw, sizes, share):
        return boxed(draw, sizes, [size // 2 for size in sizes], share)


@fault("boxes begin in the first corner", refused_by="places")
class FirstCorner(Boxes):
    def box(self, draw, sizes, share):
        return boxed(draw, sizes, None, share, corner=True)


@fault("one random number for the height and the width: boxes lie on the diagonal", refused_by="places")
class OnTheDiagonal(Boxes):
    def box(self, draw, sizes, share):
        place = draw.random.random()
        return boxed(draw, sizes, [int(size * place) for size in sizes], share)


@fault("draws the place in [0, H / 2) where [0, H) is meant", refused_by="places")
class UpperHalf(Boxes):
    def box(self, draw, sizes, share):
        return boxed(draw, sizes, [int(size * draw.random.random() / 2) for size in sizes], 0.25 * share)


@fault("shrinks the partner into the last corner", refused_by="places")
class LastCorner(ResizeMix):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        room = torch.tensor(params.sizes) - params.box[..., 1]
        return params.replaced(box=params.box + room.unsqueeze(-1))


@fault("the noise of its masks is the same at each step", refused_by="places")
class FrozenNoise(FMix):
    def decide(self, shape, draw):
        frozen = np.random.default_rng(7)
        return super().decide(shape, dataclasses.replace(draw, random=_Mixed(draw.random, frozen)))


class _Mixed:
    """One generator for strengths, another one for noise."""

    def __init__(self, strengths, noise):
        self.strengths, self.noise = strengths, noise

    def __getattr__(self, name):
        return getattr(self.noise if name == "standard_normal" else self.strengths, name)


@fault("restyles the same crop at each step", refused_by="places", crop="content")
class SameCrop(CrossNorm):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        ends = [[0, max(2, size // 2)] for size in params.sizes]
        return params.replaced(content_box=torch.tensor(ends).expand_as(params.content_box).clone())


@fault("seeds a generator of its own with one of 300 numbers", refused_by="strengths")
class FewSeeds(Strengths):
    def drawn_strengths(self, random, n, draw):
        return np.random.default_rng(int(random.integers(300))).beta(self.alpha, self.alpha, n)
