import copy
import importlib
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from tests.attaching import Net, images, labels, moex, net, seen_by


@pytest.mark.parametrize("site", ["input", "stem"])
def test_a_strategy_that_writes_into_its_input_is_refused(site):
    model = net()
    with pytest.raises(fm.FeatmixError, match="Mixup with inplace=True"):
        fm.attach(model, {site: fm.Mixup(inplace=True)})
    fm.attach(model, {site: fm.Mixup()}).remove()


def test_layer_output_is_the_transform_of_what_was_drawn():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()})
    seen = seen_by(model.relu)
    mix = mixer.draw(x)
    model(x)
    expected = moex().transform(model.stem.forward(x), mix.params["stem"])
    assert torch.equal(seen[0], expected)


def test_input_site_works_on_positional_and_keyword_arguments():
    model, x = net(), images()
    mixer = fm.attach(model, {"input": fm.Mixup()}, seed=0)
    seen = seen_by(model.stem)
    for call in (lambda: model(x), lambda: model(x=x)):
        mix = mixer.draw(x)
        call()
        assert torch.equal(seen.pop(), fm.Mixup().transform(x, mix.params["input"]))


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


def test_two_strategies_at_one_site_act_one_after_the_other():
    model, x = net(), images()
    tree = fm.Compose([fm.At("input", fm.Mixup()), fm.At("input", fm.CutMix())])
    mixer = fm.attach(model, tree)
    seen = seen_by(model.stem)
    mix = mixer.draw(x)
    model(x)
    first = fm.Mixup().transform(x, mix.params["input"])
    assert torch.equal(seen[0], fm.CutMix().transform(first, mix.params["input#2"]))


def test_decision_is_used_once():
    model, x = net(), images()
    plain = copy.deepcopy(model)
    mixer = fm.attach(model, {"stem": moex()})
    mixer.draw(x)
    model(x)
    plain(x)
    assert torch.equal(model(x), plain(x))


def test_eval_mode_neither_mixes_nor_takes_the_decision():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()})
    mix = mixer.draw(x)
    plain = copy.deepcopy(model).eval()
    assert torch.equal(model.eval()(x), plain(x))
    mix.loss(F.cross_entropy, model.train()(x), labels())


def test_drawing_in_eval_mode_decides_nothing():
    model, x = net().eval(), images()
    mixer = fm.attach(model, {"stem": moex()})
    for _ in range(2):
        mix = mixer.draw(x)
        assert torch.equal(mix.mixture.matrix(), torch.eye(6))
        mix.loss(F.cross_entropy, model(x), labels())


def test_a_second_draw_without_a_forward_is_refused_and_discard_allows_it():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()})
    mixer.draw(x)
    with pytest.raises(fm.FeatmixError, match="discard"):
        mixer.draw(x)
    mixer.discard()
    mixer.draw(x)


def test_an_exception_in_the_forward_leaves_no_decision_behind():
    model, x = net(), images()
    plain = copy.deepcopy(model)
    mixer = fm.attach(model, {"stem": moex()})
    mixer.draw(x)
    model.fails = True
    with pytest.raises(RuntimeError, match="on purpose"):
        model(x)
    model.fails = False
    assert torch.equal(model(x), plain(x))
    mixer.draw(x)
    model(x)


def test_an_exception_in_the_input_site_leaves_no_decision_behind():
    model, x = net(), images()
    plain = copy.deepcopy(model)
    mixer = fm.attach(model, {"input": fm.Mixup(), "stem": moex()})
    mixer.draw(x)
    with pytest.raises(fm.FeatmixError, match="4 rows"):
        model(x[:4])
    assert torch.equal(model(x), plain(x))


@pytest.mark.parametrize("site", ["input", "stem"])
def test_a_batch_of_another_size_is_refused(site):
    model, x = net(), images()
    mixer = fm.attach(model, {site: fm.Mixup()})
    mixer.draw(x)
    with pytest.raises(fm.FeatmixError, match="4 rows"):
        model(x[:4])


def test_loss_without_a_forward_is_refused():
    model, x = net(), images()
    output = model(x)
    mixer = fm.attach(model, {"stem": moex()})
    with pytest.raises(fm.FeatmixError, match="between draw and loss"):
        mixer.draw(x).loss(F.cross_entropy, output, labels())


@pytest.mark.parametrize(
    ("site", "meant"), [("layer2", "layer1"), ("stm", "stem"), ("layer1.2", "layer1.1"), ("inputs", "input")]
)
def test_a_misspelt_site_names_the_nearest(site, meant):
    model = net()
    with pytest.raises(fm.FeatmixError, match=f"'{meant}'"):
        fm.attach(model, {"stem": moex(), site: moex()})
    assert not model.stem._forward_hooks


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


def test_one_of_acts_at_the_chosen_site_only():
    model, x = net(), images()
    mixer = fm.attach(model, fm.OneOf([fm.At("input", fm.Mixup()), fm.At("stem", fm.Mixup())]), seed=0)
    chosen = set()
    for _ in range(12):
        mix = mixer.draw(x)
        active = [site for site, params in mix.params.items() if bool(params.active.any())]
        assert len(active) == 1
        chosen |= set(active)
        assert torch.allclose(mix.mixture.matrix(), mix.params[active[0]].mixture.matrix())
        mix.loss(F.cross_entropy, model(x), labels())
    assert chosen == {"input", "stem"}


def test_two_mixers_on_one_model_are_refused():
    model = net()
    mixer = fm.attach(model, {"stem": moex()})
    with pytest.raises(fm.FeatmixError, match="one tree"):
        fm.attach(model, {"layer1": moex()})
    mixer.remove()
    fm.attach(model, {"layer1": moex()})


def test_removal_leaves_the_model_as_it_was():
    model, x = net(), images()
    before = pickle.dumps(model)
    mixer = fm.attach(model, {"input": fm.Mixup(), "stem": moex()}, example=x)
    mixer.draw(x)
    mixer.remove()
    assert pickle.dumps(model) == before
    with pytest.raises(fm.FeatmixError, match="removed"):
        mixer.draw(x)


def test_seed_and_state_dict_reproduce_the_draws():
    x = images()

    def drawn(mixer: fm.Mixer, model: Net, steps: int) -> list[torch.Tensor]:
        found = []
        for _ in range(steps):
            found.append(mixer.draw(x).params["stem"].partner)
            model(x)
        return found

    first, second = net(), net()
    a, b = fm.attach(first, {"stem": moex()}, seed=3), fm.attach(second, {"stem": moex()}, seed=3)
    assert all(map(torch.equal, drawn(a, first, 3), drawn(b, second, 3)))
    state = pickle.loads(pickle.dumps(a.state_dict()))
    rest = drawn(a, first, 3)
    third = net()
    c = fm.attach(third, {"stem": moex()}, seed=99)
    c.load_state_dict(state)
    assert all(map(torch.equal, rest, drawn(c, third, 3)))
    with pytest.raises(fm.FeatmixError, match="seed, rank, progress, history and generator"):
        c.load_state_dict({"seed": 1})


def test_drawing_leaves_the_global_generator_alone():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()}, seed=0)
    state = torch.get_rng_state()
    mixer.draw(x)
    model(x)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("bad", [None, "stem", moex(), {}, [], {"stem": "moex"}, {"": moex()}])
def test_what_is_no_tree_is_refused(bad):
    with pytest.raises(fm.FeatmixError):
        fm.attach(net(), bad)


def test_what_is_no_model_or_no_batch_is_refused():
    with pytest.raises(fm.FeatmixError, match="Module"):
        fm.attach("model", {"stem": moex()})
    mixer = fm.attach(net(), {"stem": moex()})
    for batch in (None, [], torch.tensor(1.0)):
        with pytest.raises(fm.FeatmixError, match="a batch"):
            mixer.draw(batch)


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


def test_other_forwards_may_come_between_the_mixed_one_and_its_loss():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()})
    mix = mixer.draw(x)
    output = model(x)
    model(x)
    model.eval()(x)
    mix.loss(F.cross_entropy, output, labels()).backward()


def test_a_map_smaller_than_the_example_showed_is_refused():
    model = nn.Sequential(nn.AvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))
    mixer = fm.attach(model, {"0": moex(norm="in")}, example=images(size=16))
    x = images(size=4)
    mixer.draw(x)
    with pytest.raises(fm.FeatmixError, match="images of this size"):
        model(x)


class Masked(nn.Module):
    def forward(self, mask, pixel_values, labels=None):
        return pixel_values.mean((2, 3)) + 0 * mask.mean()


def test_the_input_site_finds_the_batch_among_other_arguments():
    model, x = Masked(), images()
    mask, classes = torch.rand(6, 10), labels()
    calls = [
        lambda: model(mask=mask, pixel_values=x),
        lambda: model(mask, x),
        lambda: model(mask, pixel_values=x, labels=classes),
    ]
    for call in calls:
        with fm.attach(model, {"input": fm.Mixup()}) as mixer:
            mix = mixer.draw(x)
            assert torch.allclose(call(), fm.Mixup().transform(x, mix.params["input"]).mean((2, 3)))
    with fm.attach(model, {"input": fm.Mixup()}) as mixer:
        mixer.draw(x)
        with pytest.raises(fm.FeatmixError, match="among the model's arguments"):
            model(mask, images(size=4))


def test_a_generator_given_leaves_the_global_one_alone():
    state = torch.get_rng_state()
    model = net()
    generator = torch.Generator().manual_seed(3)
    state = torch.get_rng_state()
    mixer = fm.attach(model, {"stem": moex()}, generator=generator)
    mixer.draw(images())
    assert torch.equal(state, torch.get_rng_state())


def test_params_are_there_in_eval_mode_and_idle():
    model = net().eval()
    mixer = fm.attach(model, {"stem": moex()}, seed=0)
    before = mixer.state_dict()["generator"]
    assert not mixer.draw(images()).params["stem"].active.any()
    assert torch.equal(before, mixer.state_dict()["generator"])


def test_a_part_of_an_attached_model_takes_no_second_mixer():
    model = nn.Sequential(net(), nn.Identity())
    with fm.attach(model[0], {"stem": moex()}), pytest.raises(fm.FeatmixError, match="part of it"):
        fm.attach(model, {"input": fm.Mixup()})


def test_a_checkpoint_of_another_rank_goes_on_in_a_stream_of_its_own(monkeypatch):
    first, second = net(), net()
    a, b = fm.attach(first, {"stem": moex()}, seed=0), fm.attach(second, {"stem": moex()}, seed=0)
    state = a.state_dict()
    monkeypatch.setattr(importlib.import_module("featmix.attach"), "rank", lambda: 1)
    b.load_state_dict(state)
    assert not torch.equal(a.draw(images()).params["stem"].partner, b.draw(images()).params["stem"].partner)


@pytest.mark.parametrize("bad", [{"seed": -1}, {"seed": 1.5}, {"seed": "a"}, {"generator": "a"}])
def test_bad_seeds_and_generators_are_refused(bad):
    with pytest.raises(fm.FeatmixError, match=next(iter(bad))):
        fm.attach(net(), {"stem": moex()}, **bad)


@pytest.mark.parametrize("state", [None, {"seed": 0}, {"seed": 0, "rank": 0, "generator": torch.zeros(3)}])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(fm.FeatmixError, match="load_state_dict"):
        fm.attach(net(), {"stem": moex()}).load_state_dict(state)
