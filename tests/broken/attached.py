"""Faults that show in a model: state, Python numbers, and seeds."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator

from featmix.labels.mixture import Mixture
from featmix.sampling.draws import stream
from featmix.strategies.cutmix import CutMix
from featmix.strategies.mixup import Mixup
from featmix.strategies.params import Params
from tests.broken.fault import fault


@fault("mixes every second call only", refused_by="fires")
class EverySecondCall(Mixup):
    calls = 0

    def act(self, x, params):
        self.calls += 1
        return super().act(x, params) if self.calls % 2 else x


@fault("counts calls and fades out", refused_by="fires")
class FadesOut(Mixup):
    strength = 1.0

    def act(self, x, params):
        self.strength *= 0.9
        return x + self.strength * (super().act(x, params) - x)


@dataclass(frozen=True, eq=False)
class NumberParams(Params):
    """A decision with a Python number in it."""

    strength_number: float


@fault("decides a strength as a Python number: a graph for each", refused_by="compile")
class PythonNumber(Mixup):
    def decide(self, shape, draw):
        number = round(draw.random.random(), 3)
        return NumberParams.of(draw, number, strength_number=number)

    def act(self, x, params):
        if params.strength_number > 0.5:
            return params.strength_number * x + (1 - params.strength_number) * x[params.partner]
        return x[params.partner] - params.strength_number * (x[params.partner] - x)


@fault("reads its strength off the tensor with item(), which breaks the graph", refused_by="compile", crashes=True)
class ReadsItem(Mixup):
    def act(self, x, params):
        lam = params.lam[0].item()
        return x if lam == 1 else lam * x + (1 - lam) * x[params.partner]


@fault("counts its steps in a Python number: a graph for each", refused_by="compile", crashes=True)
class CountsSteps(Mixup):
    steps = 0

    def act(self, x, params):
        self.steps += 1
        return super().act(x, params) if self.steps % 7 else super().act(x, params).clone()


@fault("pastes Python slices: a graph for each box", refused_by="compile", crashes=True)
class PythonSlices(CutMix):
    def act(self, x, params):
        (top, bottom), (left, right) = params.box[0].tolist()
        y = x.clone()
        y[:, :, top:bottom, left:right] = x[params.partner][:, :, top:bottom, left:right]
        return y


@fault("draws noise from a generator of its own when it acts: other noise when it is run again", refused_by="checkpoint")
class OwnNoise(Mixup):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.noise = Generator().manual_seed(0)

    def act(self, x, params):
        return super().act(x, params) * (1 + 0.1 * torch.randn(x.shape, generator=self.noise))


@fault("acts on the first call after a decision only", refused_by="checkpoint", crashes=True)
class OncePerDecision(Mixup):
    done = None

    def act(self, x, params):
        if self.done is params.mixture:
            return x
        self.done = params.mixture
        return super().act(x, params)


@fault("keeps its decision in a buffer and acts on that: by then another may have been made", refused_by="checkpoint")
class DecisionInBuffer(Mixup):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.register_buffer("decided", torch.ones(0))

    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        self.decided = params.lam
        return params

    def act(self, x, params):
        return super().act(x, dataclasses.replace(params, lam=self.decided))


@fault("decides with a generator of its own: a resumed run decides otherwise", refused_by="lifecycle")
class OwnGenerator(Mixup):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.own = np.random.default_rng(0)

    def decide(self, shape, draw):
        return super().decide(shape, dataclasses.replace(draw, random=self.own))


@fault("grows stronger with every batch: a resumed run starts again", refused_by="lifecycle")
class WarmsUp(Mixup):
    decided = 0

    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        self.decided += 1
        lam = params.lam ** (self.decided / 10)
        return params.replaced(lam=lam, mixture=Mixture.pair(params.partner, lam))


@fault("seeds every decision alike: all ranks draw the same", refused_by="ddp")
class OneSeed(Mixup):
    def drawn(self, shape, random, **given):
        return super().drawn(shape, stream(Generator().manual_seed(0)), **given)


@fault("scales by a count of its own calls: a wrapped model and a plain one differ", refused_by="ddp")
class CountsCalls(Mixup):
    calls = 0

    def act(self, x, params):
        self.calls += 1
        return super().act(x, params) * (1 + 0.1 * self.calls)
