"""Faults of side effects: what else a step touches, and what it keeps."""

import functools
import os
import random

import numpy as np
import torch

from featmix.normalizers.kinds import IN, PONO
from featmix.strategies.mixup import Mixup
from featmix.strategies.moex import MoEx
from tests.broken.fault import fault


@fault("seeds NumPy, to be reproducible", refused_by="surroundings")
class SeedsNumPy(Mixup):
    def decide(self, shape, draw):
        np.random.seed(0)
        return super().decide(shape, draw)


@fault("seeds Python's generator when it acts", refused_by="surroundings")
class SeedsPython(Mixup):
    def act(self, x, params):
        random.seed(len(x))
        return super().act(x, params)


@fault("shuffles a list with Python's global generator and sorts it again", refused_by="surroundings")
class ShufflesForNothing(Mixup):
    def act(self, x, params):
        order = list(range(len(x)))
        random.shuffle(order)
        return super().act(x, params)[sorted(order)]


@fault("draws from NumPy's global generator where it goes backward", refused_by="surroundings")
class DrawsInBackward(Mixup):
    def act(self, x, params):
        mixed = super().act(x, params)
        if mixed.requires_grad:
            mixed.register_hook(lambda _: None if np.random.rand() < 1 else 0)
        return mixed


@fault("takes one thread, because its tensors are small", refused_by="surroundings")
class OneThread(Mixup):
    def act(self, x, params):
        torch.set_num_threads(1)
        return super().act(x, params)


@fault("makes float64 the default dtype while it computes, and for good", refused_by="surroundings")
class DoubleByDefault(Mixup):
    def decide(self, shape, draw):
        torch.set_default_dtype(torch.float64)
        return super().decide(shape, draw)


@fault("turns gradients on, whoever turned them off", refused_by="surroundings")
class GradientsOn(Mixup):
    def act(self, x, params):
        torch.set_grad_enabled(False)
        rows = x[params.partner].detach()
        torch.set_grad_enabled(True)
        return super().act(x, params) + 0 * rows.nan_to_num(0, 0, 0).mean()


@fault("asks for deterministic algorithms", refused_by="surroundings")
class Deterministic(Mixup):
    def act(self, x, params):
        torch.set_deterministic_debug_mode("warn")
        torch.backends.cudnn.benchmark = False
        return super().act(x, params)


@fault("lets cuDNN try which algorithm is fastest", refused_by="surroundings")
class TriesAlgorithms(Mixup):
    def transform(self, x, params, mask=None):
        torch.backends.cudnn.benchmark = True
        return super().transform(x, params, mask)


@fault("flushes denormal numbers to zero, in the whole process", refused_by="surroundings")
class FlushesDenormals(Mixup):
    def decide(self, shape, draw):
        torch.set_flush_denormal(True)
        return super().decide(shape, draw)


@fault("silences NumPy's warnings of divisions", refused_by="surroundings")
class SilencesNumPy(Mixup):
    def decide(self, shape, draw):
        np.seterr(divide="ignore", invalid="ignore")
        return super().decide(shape, draw)


@fault("lowers the precision of matrix products", refused_by="surroundings")
class FastProducts(MoEx):
    def new_moments(self, own, partner, params):
        torch.set_float32_matmul_precision("medium")
        return super().new_moments(own, partner, params)


@fault("sets a variable of the environment for its workers", refused_by="surroundings")
class SetsVariables(Mixup):
    def forward(self, x, *arguments, **settings):
        os.environ["OMP_NUM_THREADS"] = "1"
        return super().forward(x, *arguments, **settings)


@fault("asks its input for a gradient", refused_by="requires_grad")
class AsksItsInput(Mixup):
    def transform(self, x, params, mask=None):
        if torch.is_grad_enabled() and x.is_floating_point():
            x.requires_grad_(x.is_leaf or x.requires_grad)
        return super().transform(x, params, mask)


@fault("asks its result for a gradient, so that a hook can be added", refused_by="requires_grad")
class AsksItsResult(MoEx):
    def transform(self, x, params, mask=None):
        y = super().transform(x, params, mask)
        return y if y.requires_grad or y.is_inference() else y.requires_grad_()


@fault("its strengths ask for a gradient that nobody steps by", refused_by="requires_grad")
class StrengthsLearnt(Mixup):
    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        params.lam.requires_grad_()
        return params


@fault("keeps the last batch, to look at it later", refused_by="lets_go")
class KeepsTheBatch(Mixup):
    def act(self, x, params):
        self.shown = x.detach()[:1]
        return super().act(x, params)


@fault("collects a term for the loss, and with it the graph", refused_by="lets_go")
class KeepsTheGraph(Mixup):
    def __init__(self, **settings):
        super().__init__(**settings)
        self.terms = []

    def act(self, x, params):
        mixed = super().act(x, params)
        self.terms.append(mixed.square().mean())
        return mixed


@functools.lru_cache(maxsize=4)
def _largest(x):
    return float(x.detach().abs().nan_to_num(0, 0, 0).max()) if x.numel() else 0.0


@fault("remembers the largest value of a batch in a cache that holds the batch", refused_by="lets_go")
class CachedByTensor(Mixup):
    def act(self, x, params):
        return super().act(x, params) if _largest(x) >= 0 else x


@fault("keeps the labels of every step", refused_by="lets_go")
class KeepsLabels(Mixup):
    history: list = []  # noqa: RUF012 - that it is shared, and grows, is the fault

    def forward(self, x, target=None, **settings):
        self.history.append(target)
        return super().forward(x, target, **settings)


@fault("smooths the labels it is given, in place", refused_by="arguments_untouched")
class SmoothsInPlace(Mixup):
    def forward(self, x, target=None, **settings):
        if target is not None and target.is_floating_point() and target.ndim == 2:
            target.mul_(0.9).add_(0.1 / target.shape[1])
        return super().forward(x, target, **settings)


@fault("smooths the label shares of the decision while it acts on it", refused_by="arguments_untouched")
class SmoothsTheDecision(MoEx):
    def new_moments(self, own, partner, params):
        params.mixture.weight.mul_(0.98).add_(0.01)
        return super().new_moments(own, partner, params)


@fault(
    "marks the first position of each sample as real, in the mask of the caller", refused_by="arguments_untouched", norm="in"
)
class WritesTheMask(MoEx):
    def with_mask(self, params, mask):
        mask.flatten(1)[:, :1] = True
        return super().with_mask(params, mask)


@fault("sorts the domains that it is given, in place", refused_by="arguments_untouched")
class SortsDomains(Mixup):
    def forward(self, x, target=None, *, domain=None, **settings):
        if domain is not None:
            domain.copy_(domain.sort().values)
        return super().forward(x, target, domain=domain, **settings)


@fault("keeps what it normalized last", refused_by="normalizer_side_effects")
class KeepsNormalized(IN):
    last: list = [None]  # noqa: RUF012 - that it is shared is the fault

    def normalize(self, x, mask=None):
        xh, m = super().normalize(x, mask)
        self.last[0] = xh
        return xh, m


@fault("takes one thread for its sums", refused_by="normalizer_side_effects")
class SumsInOneThread(PONO):
    def moments(self, x, mask=None):
        torch.set_num_threads(1)
        return super().moments(x, mask)


@fault("normalized features ask for a gradient", refused_by="normalizer_side_effects")
class AsksWhenNormalizing(IN):
    def normalize(self, x, mask=None):
        xh, m = super().normalize(x, mask)
        return xh if xh.requires_grad else xh.requires_grad_(), m
