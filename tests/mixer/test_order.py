"""Sites in the order of the forward pass: learned from an example, checked in every forward, with labels composed in it."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from tests.attaching import images, labels, moex, net, seen_by


def test_labels_of_all_sites_compose_in_forward_order():
    model, x = net(), images()
    mixer = fm.attach(model, {"input": fm.CutMix(), "stem": moex(lam=0.7)})
    mix = mixer.draw(x)
    expected = mix.params["input"].mixture.then(mix.params["stem"].mixture)
    assert torch.allclose(mix.mixture.matrix(), expected.matrix())
    loss = mix.loss(F.cross_entropy, model(x), labels())
    assert torch.allclose(loss, expected.loss(F.cross_entropy, model(x), labels()), atol=0.5)


def test_an_example_puts_sites_in_forward_order_however_they_are_listed():
    model, x = net(), images()
    mixer = fm.attach(model, {"layer1": moex(lam=0.7), "stem": moex(lam=0.6)}, example=x)
    mix = mixer.draw(x)
    expected = mix.params["stem"].mixture.then(mix.params["layer1"].mixture)
    assert torch.allclose(mix.mixture.matrix(), expected.matrix())
    model(x)


def test_without_an_example_a_wrong_order_is_refused():
    model, x = net(), images()
    mixer = fm.attach(model, {"layer1": moex(), "stem": moex()})
    mixer.draw(x)
    with pytest.raises(fm.FeatmixError, match="stem, layer1"):
        model(x)


def test_labels_equal_measured_content_when_input_and_hidden_layers_mix():
    batch = 6
    model = nn.Sequential(nn.Identity(), nn.Identity())
    x = torch.zeros(batch, batch, 8, 8)
    x[range(batch), range(batch)] = 1
    tree = fm.Compose([fm.At("input", fm.CutMix()), fm.At("0", fm.Mixup()), fm.At("1", fm.Mixup(lam_per="sample"))])
    mixer = fm.attach(model, tree, example=x, seed=0)
    for _ in range(20):
        mix = mixer.draw(x)
        assert torch.allclose(model(x).mean((2, 3)), mix.mixture.matrix(), atol=1e-5)


def test_a_site_that_does_not_fire_is_refused():
    model, x = net(), images()
    model.skip = True
    mixer = fm.attach(model, {"layer1": moex()})
    mixer.draw(x)
    with pytest.raises(fm.FeatmixError, match="layer1: expected a module that the forward pass calls"):
        model(x)
    with pytest.raises(fm.FeatmixError, match="no call of it"):
        fm.attach(copy.deepcopy(model), {"layer1": moex()}, example=x)


def test_a_shared_layer_is_refused_unless_a_call_is_named():
    model, x = net(), images()
    mixer = fm.attach(model, {"relu": moex()})
    mixer.draw(x)
    with pytest.raises(fm.FeatmixError, match="call=0"):
        model(x)
    mixer.remove()
    seen = seen_by(model.layer1)
    for call, mixed in ((0, True), (1, False)):
        with fm.attach(model, fm.At("relu", moex(), call=call)) as mixer:
            mixer.draw(x)
            model(x)
        assert torch.equal(seen.pop(), F.relu(model.stem(x))) != mixed


def test_spatial_strategy_in_a_hidden_layer_needs_an_example_and_uses_its_resolution():
    model, x = net(), images()
    with fm.attach(model, {"stem": fm.CutMix()}) as mixer, pytest.raises(fm.FeatmixError, match="example=images"):
        mixer.draw(x)
    model.stem.stride = (2, 2)
    with fm.attach(model, {"stem": fm.CutMix()}, example=x) as mixer:
        assert mixer.draw(x).params["stem"].sizes == (4, 4)
        with pytest.raises(fm.FeatmixError, match=r"positions \(8, 8\)"):
            model(images(size=16))


def test_learning_shapes_leaves_the_model_and_the_generator_alone():
    model = net()
    model.layer1[1].eval()
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    state = torch.get_rng_state()
    fm.attach(model, {"stem": moex()}, example=images(), seed=0)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert modes == [m.training for m in model.modules()]
    assert torch.equal(state, torch.get_rng_state())


def test_a_map_without_moments_of_its_own_needs_an_example():
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
    x = images()
    with fm.attach(model, {"0": moex(norm="in")}) as mixer:
        mixer.draw(x)
        with pytest.raises(fm.FeatmixError, match="example=images"):
            model(x)
    with fm.attach(model, {"0": moex(norm="in")}, example=x) as mixer:
        assert torch.equal(mixer.draw(x).mixture.matrix(), torch.eye(6))


def test_the_input_comes_first_wherever_it_is_listed():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex(lam=0.7), "input": fm.Mixup(lam_per="sample")}, seed=1)
    mix = mixer.draw(x)
    mix.loss(F.cross_entropy, model(x), labels())
    expected = mix.params["input"].mixture.then(mix.params["stem"].mixture)
    assert torch.allclose(mix.mixture.matrix(), expected.matrix())


@pytest.mark.parametrize("call", [2, 5])
def test_a_call_that_never_comes_is_refused(call):
    model, x = net(), images()
    with fm.attach(model, fm.At("relu", moex(), call=call)) as mixer:
        mixer.draw(x)
        with pytest.raises(fm.FeatmixError, match="past the last call"):
            model(x)
    with pytest.raises(fm.FeatmixError, match=rf"relu \(call {call}\)"):
        fm.attach(model, fm.At("relu", moex(), call=call), example=x)


@pytest.mark.parametrize("listed", [["relu 1", "layer1", "relu 0"], ["layer1", "relu 0", "relu 1"]])
def test_an_example_orders_the_calls_of_a_shared_layer(listed):
    leaves = {"relu 0": fm.At("relu", moex(lam=0.7), call=0), "relu 1": fm.At("relu", moex(lam=0.6), call=1)}
    leaves["layer1"] = fm.At("layer1", moex(lam=0.8))
    model, x = net(), images()
    mixer = fm.attach(model, fm.Compose([leaves[name] for name in listed]), example=x, seed=0)
    mix = mixer.draw(x)
    by_lam = {round(float(p.lam[0]), 1): p.mixture for p in mix.params.values()}
    expected = by_lam[0.7].then(by_lam[0.8]).then(by_lam[0.6])
    mix.loss(F.cross_entropy, model(x), labels())
    assert torch.allclose(mix.mixture.matrix(), expected.matrix())


def test_calls_listed_in_the_wrong_order_are_refused_without_an_example():
    model, x = net(), images()
    mixer = fm.attach(model, fm.Compose([fm.At("relu", moex(), call=1), fm.At("relu", moex(), call=0)]))
    mixer.draw(x)
    with pytest.raises(fm.FeatmixError, match=r"relu \(call 0\), relu \(call 1\)"):
        model(x)


def test_a_map_smaller_than_the_example_showed_is_refused():
    model = nn.Sequential(nn.AvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
    mixer = fm.attach(model, {"0": moex(norm="in")}, example=images(size=16))
    x = images(size=4)
    mixer.draw(x)
    with pytest.raises(fm.FeatmixError, match="images of this size"):
        model(x)
