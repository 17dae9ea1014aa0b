import copy
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field, fields
from typing import Any

import pytest
import torch
from torch import Tensor

from featmix.mixer.containers import first_tensor, replace, tensors


def replace_first(value, function):
    return replace(value, first_tensor(value), function)


Pair = namedtuple("Pair", ["features", "state"])


@dataclass
class Output:
    name: str
    features: Tensor
    rest: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    features: Tensor


class ModelOutput(OrderedDict):
    """The manner of large model libraries: a data class and an ordered dict whose keys and attributes are the same."""

    def __post_init__(self):
        for f in fields(self):
            if getattr(self, f.name) is not None:
                self[f.name] = getattr(self, f.name)

    def __getitem__(self, key):
        return dict(self.items())[key] if isinstance(key, str) else tuple(self.values())[key]

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        super().__setattr__(key, value)

    def __setattr__(self, name, value):
        if name in self.keys() and value is not None:
            super().__setitem__(name, value)
        super().__setattr__(name, value)

    def __reduce__(self):
        build, _, *rest = super().__reduce__()
        return build, tuple(getattr(self, f.name) for f in fields(self)), *rest


@dataclass
class Encoded(ModelOutput):
    last_hidden_state: Tensor | None = None
    pooled: Tensor | None = None
    hidden_states: Any = None


def one():
    return torch.ones(2, 3)


def two():
    return torch.full((2, 3), 2.0)


CONTAINERS = {
    "tensor": (one, lambda v: v),
    "tuple": (lambda: (one(), two()), lambda v: v[0]),
    "tuple behind None": (lambda: (None, "state", one()), lambda v: v[2]),
    "list": (lambda: [one(), two()], lambda v: v[0]),
    "namedtuple": (lambda: Pair(one(), two()), lambda v: v.features),
    "torch's named results": (lambda: torch.max(torch.ones(2, 3, 4), dim=2), lambda v: v.values),
    "dict": (lambda: {"a": one(), "b": two()}, lambda v: v["a"]),
    "OrderedDict": (lambda: OrderedDict(out=one(), aux=two()), lambda v: v["out"]),
    "defaultdict": (lambda: defaultdict(list, a=one()), lambda v: v["a"]),
    "data class": (lambda: Output("x", one(), [two()]), lambda v: v.features),
    "frozen data class": (lambda: Frozen(one()), lambda v: v.features),
    "model output": (lambda: Encoded(one(), two()), lambda v: v.last_hidden_state),
    "model output by key": (lambda: Encoded(one(), two()), lambda v: v["last_hidden_state"]),
    "model output by place": (lambda: Encoded(one(), two()), lambda v: v[0]),
    "nested": (lambda: ([], {"x": Pair((one(),), two())}, two()), lambda v: v[1]["x"].features[0]),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_rebuilt_with_the_first_tensor_changed(name):
    make, first = CONTAINERS[name]
    value = make()
    before = [t.clone() for t in tensors(value)]
    changed = replace_first(value, lambda x: x + 10)
    assert type(changed) is type(value)
    assert torch.equal(first(changed), torch.full((2, 3), 11.0))
    assert torch.equal(first(value), one())
    for old, now in zip(before, tensors(value), strict=True):
        assert torch.equal(old, now)
    for old, new in zip(before[1:], list(tensors(changed))[1:], strict=True):
        assert torch.equal(old, new)


@pytest.mark.parametrize("name", CONTAINERS)
def test_first_tensor(name):
    make, first = CONTAINERS[name]
    value = make()
    assert first_tensor(value) is first(value)


def test_what_stands_beside_stays():
    value = Output("x", one(), [two()])
    changed = replace_first(value, lambda x: x * 0)
    assert changed.name == "x"
    assert changed.rest is value.rest
    pair = replace_first((one(), "state", None), lambda x: x * 0)
    assert pair[1:] == ("state", None)


def test_model_output_keys_and_attributes_agree():
    value = Encoded(one(), None, (two(), two()))
    changed = replace_first(value, lambda x: x * 5)
    assert list(changed) == list(value) == ["last_hidden_state", "hidden_states"]
    assert changed.last_hidden_state is changed["last_hidden_state"] is changed[0]
    assert changed.pooled is None
    assert torch.equal(value.last_hidden_state, one())
    assert list(copy.deepcopy(changed)) == list(changed)


def test_defaultdict_keeps_its_factory():
    assert replace_first(defaultdict(list, a=one()), lambda x: x)["missing"] == []


@pytest.mark.parametrize("value", [None, "text", 3, (), [], {}, (None, {"a": [1.0]}), Output])
def test_without_a_tensor_nothing_happens(value):
    assert first_tensor(value) is None
    assert replace_first(value, lambda x: 1 / 0) is value


def test_tensors_are_listed_in_order_however_deep():
    value = {"a": [one(), (two(),)], "b": Output("x", one() * 3)}
    assert [float(t[0, 0]) for t in tensors(value)] == [1.0, 2.0, 3.0]
