"""No adapter acts in evaluation, in any container that a library offers: containers are found, and put into each other."""

import inspect

import pytest
import torch
from kornia import augmentation as K
from torch import Generator, nn

import featmix as fm
from featmix.interop.kornia import to_kornia
from featmix.interop.torchvision import to_torchvision
from featmix.pipeline.origin import parts_of
from tests.interop.real_torchvision import torchvision_or_skip

v2 = torchvision_or_skip("torchvision.transforms.v2")

X = torch.rand(6, 3, 8, 8, generator=Generator().manual_seed(0))
Y = torch.arange(6)


class InList(nn.Module):
    """A container of a user's, with a list that torch knows nothing of."""

    def __init__(self, *held):
        super().__init__()
        self.held = [*held]

    def forward(self, *inputs):
        for each in self.held:
            inputs = each(*inputs)
            inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        return inputs if len(inputs) > 1 else inputs[0]


def made(cls, held):
    """An object of a class that holds a transform, if its constructor takes one, alone, in a list or in keywords."""
    for given in (lambda: cls(held), lambda: cls([held]), lambda: cls(held, p=1.0), lambda: cls([held], p=1.0)):
        try:
            one = given()
        except Exception:
            continue
        if callable(one) and isinstance(one, nn.Module) and any(part is held for part in parts_of(one)):
            yield one


def acts(container, *inputs):
    """Whether any of several calls changes images; ``None`` where it cannot be called so."""
    torch.manual_seed(0)
    try:
        outcomes = [container(*inputs) for _ in range(6)]
    except Exception:
        return None
    first = [outcome[0] if isinstance(outcome, tuple | list) else outcome for outcome in outcomes]
    if not all(isinstance(x, torch.Tensor) and x.shape == X.shape for x in first):
        return None
    return any(not torch.equal(x.as_subclass(torch.Tensor), X) for x in first)


def containers(module, adapter, *inputs):
    """Names of a library's classes with a function that makes one around a transform; what acts is what it holds."""
    found = {}
    for name, cls in inspect.getmembers(module, inspect.isclass):
        for number, (one, idle) in enumerate(zip(made(cls, adapter()), made(cls, adapter(p=0.0)), strict=False)):
            if acts(one.train(), *inputs) and acts(idle.train(), *inputs) is False:
                found.setdefault(name, lambda held, cls=cls, number=number: list(made(cls, held))[number])
    return found


TORCHVISION = {
    "to_torchvision": lambda p=1.0: to_torchvision(fm.CutMix(num_classes=6, p=p)),
    "a strategy": lambda p=1.0: fm.Mixup(num_classes=6, p=p),
    "to_torchvision, labels kept": lambda p=1.0: to_torchvision(fm.MixStyle(p=p), num_classes=6),
}
KORNIA = {
    "to_kornia": lambda p=1.0: to_kornia(fm.CutMix(num_classes=6, p=p)),
    "a strategy": lambda p=1.0: fm.MixStyle(p=p),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_of_torchvision(name):
    adapter = TORCHVISION[name]
    found = {**containers(v2, adapter, X, Y), "InList": InList}
    assert {"Compose", "RandomApply", "RandomChoice", "RandomOrder"} <= set(found)
    check(found, adapter, (X, Y))


@pytest.mark.parametrize("name", KORNIA)
def test_of_kornia(name):
    adapter = KORNIA[name]
    found = {**containers(K, adapter, X), "Sequential": nn.Sequential, "InList": InList}
    assert {"ImageSequential", "AugmentationSequential"} <= set(found)
    check(found, adapter, (X,))


def check(found, adapter, inputs):
    for name, make in found.items():
        assert acts(make(adapter()).train(), *inputs), name
        assert acts(make(adapter()).eval(), *inputs) is False, f"{name}: it mixes in evaluation"
        for outer, around in found.items():
            try:
                nested = around(make(adapter()))
            except Exception:  # what does not go into the other
                continue
            if acts(nested.train(), *inputs):
                assert acts(nested.eval(), *inputs) is False, f"{name} in {outer}: it mixes in evaluation"


def test_labels_have_the_same_form_in_evaluation():
    mix = to_torchvision(fm.CutMix(num_classes=6))
    images, soft = v2.Compose([v2.RandomHorizontalFlip(p=1.0), mix]).eval()(X, Y)
    assert torch.equal(images, X.flip(-1))
    assert torch.equal(soft, nn.functional.one_hot(Y, 6).float())
    assert mix.training  # nobody told it


def test_a_part_of_a_model_that_is_set_to_training_by_itself_acts():
    inner = fm.MixStyle(p=1.0)
    model = nn.Sequential(nn.Identity(), inner).eval()
    inner.train()
    assert not torch.equal(model(X), X)


def test_a_compiled_container_does_not_mix_in_evaluation():
    compiled = torch.compile(v2.Compose([to_torchvision(fm.Mixup(num_classes=6))]).eval(), backend="eager")
    assert torch.equal(compiled(X, Y)[0], X)
    torch.compiler.reset()
