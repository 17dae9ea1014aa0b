"""Faults of what is drawn: gates, partners and strengths."""

import dataclasses

import numpy as np
import torch

from featmix.labels.mixture import Mixture
from featmix.sampling import draws as sampling
from featmix.strategies.mixup import Mixup
from tests.broken.fault import fault, regated


class Gated(Mixup):
    """Mixup with a gate of its own, and partners for those rows that the strategy's gate left out."""

    def decide(self, shape, draw):
        active = self.gate(len(draw), draw.random)
        others = sampling.partners(draw.random, len(draw))
        return super().decide(shape, regated(draw, active, np.where(draw.active, draw.partner, others)))


@fault("applies p twice", refused_by="probability")
class PTwice(Mixup):
    def decide(self, shape, draw):
        again = sampling.gate(draw.random, len(draw), self.p, per="batch")
        return super().decide(shape, regated(draw, draw.active & again))


@fault("fires with probability 1 - p", refused_by="probability")
class POfTheOthers(Gated):
    def gate(self, n, random):
        return sampling.gate(random, n, 1 - self.p, per="batch")


@fault("gates the batch where each sample is asked for", refused_by="probability", per="sample")
class GatesTheBatch(Gated):
    def gate(self, n, random):
        return sampling.gate(random, n, self.p, per="batch")


@fault("gates each sample where the batch is asked for", refused_by="probability")
class GatesEachSample(Gated):
    def gate(self, n, random):
        return sampling.gate(random, n, self.p, per="sample")


@fault("compares with <=, so that p = 0 can fire", survives="it fires at p = 0 once in 2^53 draws; none of 2,000 shows it")
class AtMost(Mixup):
    def decide(self, shape, draw):
        fires = self.p == 0 and draw.random.random() <= self.p
        return super().decide(shape, regated(draw, draw.active | fires))


@fault("a derangement from a permutation, fixed points and all", refused_by="sampler")
class FixedPoints(Mixup):
    def decide(self, shape, draw):
        return super().decide(shape, regated(draw, draw.active, draw.random.permutation(len(draw))))


@fault("counts partners from 1", refused_by="sampler", partner="permutation")
class PartnerPastTheEnd(Mixup):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        return dataclasses.replace(params, partner=params.partner + 1)


class Strength(Mixup):
    """Mixup with a strength of its own."""

    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        lam = torch.where(params.active, float(self.strength(draw.random)), 1.0).float()
        return params.replaced(lam=lam, mixture=Mixture.pair(params.partner, lam.clamp(0, 1)))


@fault("Beta from the ratio of two gammas that underflow at a small alpha", refused_by="sampler")
class UnderflowingGammas(Strength):
    def strength(self, random):
        first, second = random.standard_gamma(self.alpha, 2, dtype=np.float32).clip(min=np.finfo(np.float32).tiny)
        return first / (first + second)


@fault("draws uniform strengths, whatever alpha says", refused_by="sampler")
class AlphaIgnored(Strength):
    def strength(self, random):
        return random.random()


@fault("draws from Beta(alpha + 1, alpha + 1)", refused_by="sampler")
class AlphaOffByOne(Strength):
    def strength(self, random):
        return sampling.beta(random, 1, self.alpha + 1, self.alpha + 1)[0]


@fault("draws a strength past 1", refused_by="sampler")
class StrengthPastOne(Strength):
    def strength(self, random):
        return 1.2 * sampling.beta(random, 1, self.alpha, self.alpha)[0]
