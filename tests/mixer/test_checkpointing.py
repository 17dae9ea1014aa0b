"""Attached models whose parts run again in backward."""

import copy
from types import MappingProxyType, SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import featmix as fm
from featmix.mixer.containers import tensors
from featmix.testing.host import gradients
from tests.attaching import images, labels, moex, net


class Checkpointed(nn.Module):
    """The net with ``layer1`` run again in backward."""

    def __init__(self, reentrant):
        super().__init__()
        self.net, self.reentrant = net(), reentrant

    def forward(self, x):
        x = self.net.relu(self.net.stem(x))
        block = self.net.layer1
        x = block(x) if self.reentrant is None else checkpoint(block, x, use_reentrant=self.reentrant)
        return self.net.head(x.mean((2, 3)))


def _train(reentrant, disturb):
    model, x, y = Checkpointed(reentrant), images(), labels()
    mixer = fm.attach(model, {"net.layer1.0": moex(), "input": fm.Mixup()}, seed=2)
    for _ in range(3):
        loss = mixer.draw(x).loss(F.cross_entropy, model(x), y)
        disturb(model, mixer, x)
        loss.backward()
    return gradients(model)


DISTURBANCES = {
    "nothing": lambda model, mixer, x: None,
    "an eval forward": lambda model, mixer, x: model.eval()(x) if model.train(False) else None,
    "a clean training forward": lambda model, mixer, x: model(x),
    "the next draw": lambda model, mixer, x: (mixer.draw(x), mixer.discard()),
}


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_checkpointing_gives_the_plain_gradient_whatever_happens_before_backward(reentrant, disturbance):
    def disturb(model, mixer, x):
        DISTURBANCES[disturbance](model, mixer, x)
        model.train()

    plain, measured = _train(None, disturb), _train(reentrant, disturb)
    assert (measured - plain).norm() <= 1e-6 * plain.norm()


@pytest.mark.parametrize("reentrant", [True, False])
def test_two_forwards_before_one_backward_each_get_their_own_decision(reentrant):
    found = []
    for kind in (None, reentrant):
        model, x, y = Checkpointed(kind), images(), labels()
        mixer = fm.attach(model, {"net.layer1.0": moex()}, seed=2)
        first = mixer.draw(x).loss(F.cross_entropy, model(x), y)
        clean = F.cross_entropy(model(x), y)
        second = mixer.draw(x).loss(F.cross_entropy, model(x), y)
        (first + 2 * clean + 3 * second).backward()
        found.append(gradients(model))
    assert (found[1] - found[0]).norm() <= 1e-6 * found[0].norm()


def test_a_whole_model_under_checkpointing():
    found = []
    for run in (lambda m, x: m(x), lambda m, x: checkpoint(m, x, use_reentrant=False)):
        model, x = net(), images()
        mixer = fm.attach(model, {"input": fm.Mixup(), "stem": moex()}, seed=2)
        for _ in range(2):
            mix = mixer.draw(x)
            loss = mix.loss(F.cross_entropy, run(model, x), labels())
            mixer.draw(x)
            mixer.discard()
            loss.backward()
        found.append(gradients(model))
    assert (found[1] - found[0]).norm() <= 1e-6 * found[0].norm()


def test_a_whole_model_under_reentrant_checkpointing_is_refused():
    model, x = net(), images().requires_grad_()
    mixer = fm.attach(model, {"stem": moex()})
    output = checkpoint(model, x, use_reentrant=True)
    with pytest.raises(fm.FeatmixError, match="use_reentrant=False"):
        output.sum().backward()
    mix = mixer.draw(x)
    with pytest.raises(fm.FeatmixError, match="use_reentrant=False"):
        mix.loss(F.cross_entropy, checkpoint(model, x, use_reentrant=True), labels())


def test_a_call_index_under_checkpointing_is_refused():
    model, x = Checkpointed(False), images()
    mixer = fm.attach(model, fm.At("net.layer1.0", moex(), call=0))
    loss = mixer.draw(x).loss(F.cross_entropy, model(x), labels())
    with pytest.raises(fm.FeatmixError, match="more than once"):
        loss.backward()


def test_nothing_is_left_behind_after_backward():
    model, x = Checkpointed(False), images()
    mixer = fm.attach(model, {"net.layer1": moex()}, seed=0)
    mixer.draw(x).loss(F.cross_entropy, model(x), labels()).backward()
    inner = torch.randn(6, 8, 8, 8)
    assert torch.equal(model.net.layer1(inner), copy.deepcopy(model.net.layer1)(inner))


class Captured(Checkpointed):
    """Returns its scores in a form of choice, and keeps the features that the checkpointed layer made."""

    def __init__(self, reentrant, form):
        super().__init__(reentrant)
        self.form = form

    def forward(self, x):
        x = self.net.relu(self.net.stem(x))
        block = self.net.layer1
        self.features = block(x) if self.reentrant is None else checkpoint(block, x, use_reentrant=self.reentrant)
        return self.form(self.net.head(self.features.mean((2, 3))))


UNUSUAL = {"namespace": lambda h: SimpleNamespace(h=h), "mapping proxy": lambda h: MappingProxyType({"h": h})}


@pytest.mark.parametrize("form", UNUSUAL)
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_behind_unusual_outputs(reentrant, form):
    found = []
    for kind in (None, reentrant):
        model, x = Captured(kind, UNUSUAL[form]), images()
        mixer = fm.attach(model, {"net.layer1.0": moex()}, seed=2)
        mix = mixer.draw(x)
        mix.loss(F.cross_entropy, next(iter(tensors(model(x)))), labels()).backward()
        found.append(gradients(model))
    assert (found[1] - found[0]).norm() <= 1e-6 * found[0].norm()


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_loss_that_goes_round_the_output_is_refused_under_checkpointing(reentrant):
    model, x = Captured(reentrant, lambda h: h), images()
    mixer = fm.attach(model, {"net.layer1.0": moex()}, seed=2)
    mixer.draw(x)
    model(x)
    with pytest.raises(fm.FeatmixError, match="a tensor that the model returns"):
        model.features.square().mean().backward()
