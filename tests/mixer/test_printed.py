"""``repr`` says what is attached where, what was drawn, and the labels' shares; it never fails and reads no device."""

import copy

import pytest
import torch
from torch.nn import functional as F

import featmix as fm
from featmix.mixer.by_site import NoSuchSiteError
from featmix.mixer.mix import Mix
from featmix.mixer.printed import mix_in_words
from tests.attaching import images, labels, moex, net


def test_a_mixer_says_what_is_attached_where():
    model = net()
    mixer = fm.attach(model, {"input": fm.CutMix(p=0.5), "stem": moex()}, example=images(), seed=3)
    mixer.draw(images())
    assert repr(mixer).splitlines() == [
        "Mixer(Net, seed 3, 1 draw, a decision waits for its forward,",
        "  At('input', CutMix(alpha=1.0, loss_weight=1.0, p=0.5))",
        "  At('stem', MoEx(norm='pono', lam=0.9, p=1.0)) on (8, 8, 8)",
        ")",
    ]
    mixer.discard()
    mixer.progress = 0.25
    mixer.remove()
    assert "1 draw, progress 0.25, removed," in repr(mixer)
    twin = copy.deepcopy(mixer)
    assert repr(twin).startswith("Mixer(Net, seed 3")
    whole = fm.attach(net(), fm.OneOf([fm.At(site, moex()) for site in ("input", "stem")]), generator=torch.Generator())
    assert "a generator of your own" in repr(whole)
    assert "OneOf([At(site, MoEx(norm='pono', lam=0.9, p=1.0)) for site in ('input', 'stem')])" in repr(whole)


def test_a_mix_says_what_was_drawn():
    model, x, y = net(), images(), labels()
    with fm.attach(model, {"stem": moex(lam=0.75), "layer1": fm.MixStyle(p=0.0)}, seed=0) as mixer:
        mix = mixer.draw(x, target=y)
        said = "Mix(6 rows; stem: MoEx mixed 6, lam 0.75; layer1: MixStyle mixed none; labels: own weight 0.75)"
        assert repr(mix) == said
        mixer.discard()
        model.eval()
        assert repr(mixer.draw(x)) == "Mix(6 rows; nothing is mixed: eval mode, or no draw)"
    with fm.attach(net(), {"stem": fm.MixStyle(p=1.0, alpha=1.0)}, seed=0) as mixer:
        assert repr(mixer.draw(x)).endswith("labels: as they were)")
    with fm.attach(net(), {"input": fm.Mixup(lam_per="sample")}, seed=0) as mixer:
        mix = mixer.draw(x)
        low, high = (f"{float(value):.2f}" for value in mix.own_weight.aminmax())
        assert f"own weight {low} to {high})" in repr(mix)


def test_to_print_a_mix_is_not_to_ask_it():
    model, x, y = net(), images(), labels()
    mixer = fm.attach(model, {"stem": moex()}, seed=0)
    mix = mixer.draw(x, target=y)
    F.cross_entropy(model(x), y).backward()
    assert repr(mix)
    assert mix.own_weight.mean() > 0
    with pytest.warns(fm.errors.FeatmixWarning, match="1 decision that mixed labels, and nobody who asked"):
        mixer.draw(x, target=y)


def test_nothing_is_read_off_a_device():
    """Tensors on ``meta`` have no values: reading one is an error."""
    strategy = fm.Mixup()
    params = strategy.make_params((4, 3)).to("meta")
    assert params.active.is_meta
    assert "input: Mixup mixed; labels: own weight" in mix_in_words(
        {"input": params}, params.mixture, {"input": strategy}, drawn=True
    )
    alone = fm.Mixture(params.mixture.index, params.mixture.weight)
    assert "labels: shares on meta" in mix_in_words({}, alone, {}, drawn=True)


def test_what_is_half_made_is_printed_too():
    for cls in (Mix, fm.Mixer):
        assert cls.__name__ in repr(object.__new__(cls))


def test_strategies_print_what_is_not_as_usual():
    assert repr(fm.MoEx()) == "MoEx()"
    assert repr(fm.MoEx("in", lam=0.5, per="sample")) == "MoEx(norm='in', lam=0.5, per='sample')"
    assert repr(fm.CutMix(p=fm.schedule.linear(0, 1), num_classes=5)) == "CutMix(p=linear(start=0, end=1), num_classes=5)"


@pytest.mark.parametrize("name", fm.list_strategies())
def test_what_a_strategy_prints_makes_the_same_again(name):
    strategy = fm.create(name, p=0.25, per="sample", num_classes=3)
    again = eval(repr(strategy), {type(strategy).__name__: type(strategy)})
    assert again.settings() == strategy.settings()


def test_a_site_that_is_not_there_is_a_key_error_in_words():
    with fm.attach(net(), {"stem": moex()}) as mixer:
        params = mixer.draw(images()).params
    with pytest.raises(KeyError) as refused:
        params["stm"]
    assert isinstance(refused.value, NoSuchSiteError)
    assert str(refused.value).endswith("got 'stm'. Did you mean 'stem'?")
    assert params.get("stm") is None
    assert list(params) == ["stem"]
    assert isinstance(copy.deepcopy(params)["stem"], fm.Params)


def test_targets_that_were_mixed_are_not_mixed_again():
    model, x, y = net(), images(), labels()
    with fm.attach(model, {"stem": moex(lam=0.75)}, seed=0) as mixer:
        mix, output = mixer.draw(x, target=y), model(x)
        soft = mix.dense(y, 5)
        with pytest.raises(fm.FeatmixError, match="mixed twice"):
            mix.loss(F.cross_entropy, output, soft)
        torch.testing.assert_close(mix.loss(F.cross_entropy, output, y), F.cross_entropy(output, soft))
        model.eval()
        still = mixer.draw(x, target=y)
        assert still.loss(F.cross_entropy, model(x), still.dense(y, 5)).isfinite()
