"""Parts of a row replaced by a partner's: times, tokens, channels, boxes; labels are the share that was replaced."""

from dataclasses import dataclass

import numpy as np
import torch

from featmix.strategies.base import Strategy
from featmix.strategies.params import Params
from featmix.strategies.tags import Tags
from tests.correct.right import right


@dataclass(frozen=True, eq=False)
class Taken(Params):
    """``taken``: bool, broadcastable to the features: what is the partner's."""

    taken: torch.Tensor


class Paste(Strategy[Taken]):
    """Replaces what ``taken_of`` says, and counts it for the labels."""

    tags = Tags(mixes_labels=True, paper="none", masks=False)

    @property
    def needs_shape(self):
        return True

    def taken_of(self, shape, random):
        raise NotImplementedError

    def decide(self, shape, draw):
        taken = self.taken_of(shape, draw.random)
        kept = 1 - taken.reshape(len(draw), -1).mean(1) if len(draw) else np.ones(0)
        return Taken.of(draw, kept, taken=taken)

    def act(self, x, params):
        return torch.where(params.taken, x[params.partner], x)


@right("one dimension only: a stretch of time", layout="bct", attached=True)
class StretchOfTime(Paste):
    def taken_of(self, shape, random):
        batch, _, time = shape
        at, length = random.integers(time, size=(batch, 1)), random.integers(1, time + 1, size=(batch, 1))
        steps = np.arange(time)
        return ((steps >= at) & (steps < at + length))[:, None]


@right("tokens only, behind a class token", layout="bnc", num_prefix_tokens=1)
class SomeTokens(Paste):
    def taken_of(self, shape, random):
        return random.random((shape[0], shape[1], 1)) < 0.4


@right("points, which are no grid, with their channels first", layout="bcn")
class SomePoints(Paste):
    def taken_of(self, shape, random):
        return random.random((shape[0], 1, shape[2])) < 0.4


@right("vectors, which have no positions", layout="bc")
class SomeEntries(Paste):
    def taken_of(self, shape, random):
        return random.random(shape) < 0.5


@right("eight channels, of which a fixed table says which are the partner's")
class EveryOtherChannel(Paste):
    tags = Tags(mixes_labels=True, paper="none", masks=False, channels=8)
    table = np.array([0, 1, 0, 1, 1, 0, 0, 0], dtype=bool)

    def taken_of(self, shape, random):
        return np.tile(self.table[None, :, None, None], (shape[0], 1, 1, 1))


@right("copies bytes as well as floats, and needs no gradient of its own")
class Bytes(Paste):
    tags = Tags(mixes_labels=True, paper="none", masks=False, needs_float=False)

    def taken_of(self, shape, random):
        return np.tile(random.random((shape[0], 1, *shape[2:])) < 0.3, (1, 1, *[1] * (len(shape) - 2)))

    def act(self, x, params):
        y = x.clone()
        other = x[params.partner]
        taken = params.taken.expand_as(x)
        y[taken] = other[taken]
        return y

    traceable = False  # what is taken is another number of values each time


@right("images of two sizes only, with channels last", layout="bhwc")
class Halves(Paste):
    tags = Tags(mixes_labels=True, paper="none", masks=False, spatial=True, shapes=((6, 8, 3), (8, 6, 3)))

    def taken_of(self, shape, random):
        batch, height, width, _ = shape
        left = np.arange(width) < width // 2
        across = np.tile(left[None, None, :, None], (batch, height, 1, 1))
        return across ^ (random.random((batch, 1, 1, 1)) < 0.5)


@right("one box for the batch, cut by slices")
class OneBox(Paste):
    tags = Tags(mixes_labels=True, paper="none", masks=False, spatial=True)

    def taken_of(self, shape, random):
        batch, _, height, width = shape
        taken = np.zeros((batch, 1, height, width), dtype=bool)
        top, left = random.integers(height), random.integers(width)
        taken[:, :, top : top + 1 + height // 2, left : left + 1 + width // 3] = True
        return taken
