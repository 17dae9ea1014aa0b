import copy
import random
from functools import partial

import numpy as np
import pytest
import torch
from kornia.constants import Resample
from torch import nn

from featmix.configuration.same import difference


class Thing:
    def __init__(self, **attributes):
        vars(self).update(attributes)

    def method(self):
        return None


def adder(n):
    return lambda x: x + n


def circle(value):
    held = Thing(value=value)
    held.own = held
    return held


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"a": [1, 2.0, None, "x"], "b": (True, {3})},
        lambda: torch.arange(3),
        lambda: np.arange(3.0),
        lambda: float("nan"),
        lambda: Resample.NEAREST,
        lambda: torch.float16,
        lambda: adder(1),
        lambda: partial(max, 1, key=abs),
        lambda: Thing(a=1).method,
        lambda: circle(1),
        lambda: nn.Sequential(nn.Dropout(0.5), nn.Flatten()),
        lambda: [np.random.default_rng(), random.Random(), torch.Generator()],  # where a stream is says nothing
    ],
)
def test_what_is_made_alike_is_the_same(make):
    assert difference(make(), make()) == ""


@pytest.mark.parametrize(
    ("first", "second", "way"),
    [
        ({"a": 1}, {"a": 1.0}, "a"),
        ({"a": 1}, {"a": True}, "a"),
        ({"a": 0.0}, {"a": -0.0}, "a"),
        ({"a": 1}, {"b": 1}, "kind"),
        ({"a": (1, 2)}, {"a": [1, 2]}, "a"),
        ({"a": (1, 2)}, {"a": (1, 3)}, "a.1"),
        ({"a": (1, 2)}, {"a": (1, 2, 3)}, "a"),
        ({"a": torch.ones(2)}, {"a": torch.ones(2).double()}, "a"),
        ({"a": torch.ones(2)}, {"a": torch.ones(2, requires_grad=True)}, "a"),
        ({"a": torch.ones(2)}, {"a": torch.ones(3)}, "a"),
        ({"a": np.ones(2)}, {"a": np.zeros(2)}, "a"),
        ({"a": Resample.NEAREST}, {"a": Resample.BILINEAR}, "a"),
        ({"a": adder(1)}, {"a": adder(2)}, "a.0"),
        ({"a": adder(1)}, {"a": lambda x: x}, "a"),
        ({"a": partial(max, 1)}, {"a": partial(max, 2)}, "a.1.0"),
        ({"a": len}, {"a": max}, "a"),
        ({"a": Thing(b=1)}, {"a": Thing(b=2)}, "a.b"),
        ({"a": Thing(b=1).method}, {"a": Thing(b=2).method}, "a.b"),
        ({"a": circle(1)}, {"a": circle(2)}, "a.value"),
        (nn.Dropout(0.5), nn.Dropout(0.6), "p"),
        (nn.Dropout(0.5), nn.Dropout(0.5).eval(), "training"),
    ],
)
def test_a_difference_is_found_and_named(first, second, way):
    assert difference(first, second) == way
    assert difference(second, first) == way


def test_what_is_to_be_ignored_is():
    assert difference(Thing(a=1, b=2), Thing(a=1, b=3), frozenset({"b"})) == ""


def test_hooks_count():
    plain, hooked = nn.Dropout(0.5), nn.Dropout(0.5)
    hooked.register_forward_hook(lambda *_: None)
    assert difference(plain, copy.deepcopy(plain)) == ""
    assert difference(plain, hooked) == "_forward_hooks"
