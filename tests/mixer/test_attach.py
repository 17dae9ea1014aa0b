"""What an attached model computes, and what attaching refuses."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from tests.attaching import images, labels, moex, net, seen_by


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


def test_other_forwards_may_come_between_the_mixed_one_and_its_loss():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()})
    mix = mixer.draw(x)
    output = model(x)
    model(x)
    model.eval()(x)
    mix.loss(F.cross_entropy, output, labels()).backward()


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


def test_a_part_of_an_attached_model_takes_no_second_mixer():
    model = nn.Sequential(net(), nn.Identity())
    with fm.attach(model[0], {"stem": moex()}), pytest.raises(fm.FeatmixError, match="part of it"):
        fm.attach(model, {"input": fm.Mixup()})
