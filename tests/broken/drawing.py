"""Faults of what is drawn: gates, partners and strengths."""

import dataclasses

import torch

from featmix.labels.mixture import Mixture
from featmix.sampling import draws as sampling
from featmix.strategies.mixup import Mixup
from featmix.strategies.params import Params
from tests.broken.fault import fault


class Gated(Mixup):
    """Mixup with a gate of its own."""

    def decide(self, shape, partner, active, generator):
        return super().decide(shape, partner, self.gate(len(partner), generator), generator)


@fault("applies p twice", refused_by="probability")
class PTwice(Mixup):
    def decide(self, shape, partner, active, generator):
        return super().decide(
            shape, partner, active & sampling.gate(len(partner), self.p, per="batch", generator=generator), generator
        )


@fault("fires with probability 1 - p", refused_by="probability")
class POfTheOthers(Gated):
    def gate(self, n, generator):
        return sampling.gate(n, 1 - self.p, per="batch", generator=generator)


@fault("gates the batch where each sample is asked for", refused_by="probability", per="sample")
class GatesTheBatch(Gated):
    def gate(self, n, generator):
        return sampling.gate(n, self.p, per="batch", generator=generator)


@fault("gates each sample where the batch is asked for", refused_by="probability")
class GatesEachSample(Gated):
    def gate(self, n, generator):
        return sampling.gate(n, self.p, per="sample", generator=generator)


@fault("compares with <=, so that p = 0 can fire", survives="it fires at p = 0 once in 2^53 draws; none of 2,000 shows it")
class AtMost(Gated):
    def gate(self, n, generator):
        return (sampling.uniform(1, generator) <= self.p).expand(n).clone()


@fault("a derangement from randperm, fixed points and all", refused_by="sampler")
class FixedPoints(Mixup):
    def decide(self, shape, partner, active, generator):
        return super().decide(shape, torch.randperm(len(partner), generator=generator), active, generator)


@fault("counts partners from 1", refused_by="sampler", partner="permutation")
class PartnerPastTheEnd(Mixup):
    def decide(self, shape, partner, active, generator):
        return dataclasses.replace(super().decide(shape, partner, active, generator), partner=partner + 1)


class Strength(Mixup):
    """Mixup with a strength of its own."""

    def decide(self, shape, partner, active, generator):
        lam = torch.where(active, self.strength(generator), 1.0).float()
        return Params(partner, active, lam, Mixture.pair(partner, lam.clamp(0, 1)))


@fault("Beta from the ratio of two gammas that underflow at a small alpha", refused_by="sampler")
class UnderflowingGammas(Strength):
    def strength(self, generator):
        first, second = torch._standard_gamma(torch.full((2,), self.alpha), generator).clamp(
            min=torch.finfo(torch.float32).tiny
        )
        return first / (first + second)


@fault("draws uniform strengths, whatever alpha says", refused_by="sampler")
class AlphaIgnored(Strength):
    def strength(self, generator):
        return torch.rand((), generator=generator)


@fault("draws from Beta(alpha + 1, alpha + 1)", refused_by="sampler")
class AlphaOffByOne(Strength):
    def strength(self, generator):
        return sampling.beta(1, self.alpha + 1, per="batch", generator=generator)


@fault("draws a strength past 1", refused_by="sampler")
class StrengthPastOne(Strength):
    def strength(self, generator):
        return 1.2 * sampling.beta(1, self.alpha, per="batch", generator=generator)
