"""Taking off a mixer whose handle is lost."""

import copy
import pickle

import pytest
import torch
from torch import nn

import featmix as fm
from tests.attaching import images, moex, net

WRAPPED = {
    "model": lambda model: model,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "data parallel": nn.DataParallel,
    "within a trainer": lambda model: nn.ModuleDict({"net": model}),
    "a part": lambda model: model.layer1,
    "compiled data parallel": lambda model: torch.compile(nn.DataParallel(model), backend="eager"),
}


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_it_is_found_and_taken_off(wrapped):
    model = net()
    called = WRAPPED[wrapped](model)
    before = pickle.dumps(model)
    fm.attach(model, {"input": fm.Mixup(), "stem": moex(), "layer1.0": fm.CutMix()}, example=images())
    fm.detach(called)
    assert pickle.dumps(model) == before
    assert type(model) is type(net())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    fm.attach(model, {"stem": moex()}).remove()


def test_its_handle_says_so():
    model = net()
    mixer = fm.attach(model, {"stem": moex()})
    mixer.draw(images())
    fm.detach(model)
    with pytest.raises(fm.FeatmixError, match="removed"):
        mixer.draw(images())
    mixer.remove()


def test_several_in_one_wrapper_all_go():
    both = nn.ModuleList([net(), net()])
    for model in both:
        fm.attach(model, {"stem": moex()})
    fm.detach(both)
    with pytest.raises(fm.FeatmixError, match="got none"):
        fm.detach(both)


def test_where_nothing_is_attached_it_says_so():
    model = net()
    with pytest.raises(fm.FeatmixError, match="something is attached to, got none"):
        fm.detach(model)
    fm.attach(model, {"stem": moex()})
    with pytest.raises(fm.FeatmixError, match="a copy"):
        fm.detach(copy.deepcopy(model))
    with pytest.raises(fm.FeatmixError, match="Module"):
        fm.detach("model")
