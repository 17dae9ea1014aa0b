import re

import pytest
import torch

import featmix as fm
from featmix import schedule
from featmix.strategies import registry
from featmix.testing.instances import every_strategy
from tests.attaching import moex


def decided(strategy, seed=0):
    """What a strategy decides and gives for one batch, from one seed."""
    shape = [6, *[4] * (len(strategy.layout or "bchw") - 1)]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    target = torch.arange(6) % 3
    params = strategy.make_params(shape, generator=torch.Generator().manual_seed(seed), target=target)
    return [params.partner, params.active, params.mixture.matrix(), strategy.transform(x, params)]


def described(strategy):
    return strategy.name + ", ".join(f" {k}={v}" for k, v in strategy.settings().items() if v is not None)


@pytest.mark.parametrize("strategy", list(every_strategy()), ids=described)
def test_every_strategy_comes_back_in_every_setting(strategy, tmp_path):
    fm.save(strategy, tmp_path / "one.yaml")
    again = fm.load(tmp_path / "one.yaml")
    assert type(again) is type(strategy)
    assert again.settings() == strategy.settings()
    assert all(torch.equal(a, b) for a, b in zip(decided(strategy), decided(again), strict=True))


def test_all_settings_are_written():
    for name in fm.list_strategies():
        written = fm.to_dict(fm.create(name))["strategy"]
        assert set(written) == {"name", *fm.strategy_class(name).setting_names()}


def test_a_schedule_may_stand_where_a_number_could():
    strategy = moex(p=schedule.switch_off(schedule.linear(0, 0.5), at=0.9), lam=schedule.cosine(0.5, 1))
    assert fm.from_dict(fm.to_dict(strategy)).settings() == strategy.settings()


def test_settings_that_are_not_there_have_their_defaults():
    assert fm.from_dict({"strategy": {"name": "MoEx"}}).settings() == moex().settings()


def test_a_normalizer_given_as_one_is_written_by_its_settings():
    strategy = fm.MoEx(fm.normalizer("gn2", layout="bhwc", eps=1e-3, unbiased=False, positive_only=True))
    assert fm.from_dict(fm.to_dict(strategy)).normalizer == strategy.normalizer


def test_what_its_settings_do_not_make_again_is_refused():
    class Mine(type(fm.normalizer("in"))):
        pass

    with pytest.raises(fm.FeatmixError, match=r"a MoEx that can be made again .* got one with another normalizer"):
        fm.to_dict(fm.MoEx(Mine()))


def test_a_class_that_is_not_in_the_registry_is_refused():
    class Mine(fm.MoEx):
        pass

    with pytest.raises(fm.FeatmixError, match=r"strategy: expected a strategy that is in the registry, got .*Mine"):
        fm.to_dict(Mine())


@pytest.mark.parametrize("setting", ["lists", "tuples"])
def test_sequences_among_the_settings_come_back_as_they_were(monkeypatch, setting):
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))

    @fm.register("ranged")
    class Ranged(fm.MoEx):
        def __init__(self, *, scale=(0.1, 0.2), **common):
            super().__init__(**common)
            self.scale = scale

    scale = [0.3, 0.4] if setting == "lists" else (0.3, 0.4)
    again = fm.from_dict(fm.to_dict(Ranged(scale=scale)))
    assert again.scale == scale


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ("moex", "strategy", "expected a strategy: {name: ..., and its settings}, got 'moex'"),
        ({"lam": 1}, "strategy", "expected the name of a strategy"),
        ({"name": 3}, "strategy.name", "the name of a strategy, got 3"),
        ({"name": "mox"}, "strategy.name", r"Did you mean 'moex'"),
        ({"name": "x" * 10_000}, "strategy.name", "expected text of at most"),
        ({"name": "moex", "nrm": "in"}, "strategy.nrm", "Did you mean 'norm'"),
        ({"name": "moex", "norm": "pomo"}, "strategy.norm", "Did you mean 'pono'"),
        ({"name": "moex", "norm": "bn"}, "strategy.norm", "an intra-instance normalizer"),
        ({"name": "moex", "norm": ["in"]}, "strategy.norm", "a normalizer"),
        ({"name": "moex", "norm": {"linear": {"start": 0, "end": 1}}}, "strategy.norm", "a normalizer"),
        ({"name": "moex", "lam": 2}, "strategy.lam", r"a number in \[0, 1\]"),
        ({"name": "moex", "lam": "0.5"}, "strategy.lam", r"a number in \[0, 1\]"),
        ({"name": "moex", "lam": True}, "strategy.lam", r"a number in \[0, 1\]"),
        ({"name": "moex", "p": {"linear": {"start": 0, "end": 2}}}, "strategy.p", r"a schedule that stays in \[0, 1\]"),
        ({"name": "moex", "p": {"linear": {"start": 0, "end": []}}}, "strategy.p.linear.end", "a finite number"),
        ({"name": "moex", "memory": 0}, "strategy.memory", "a whole number from 1 up"),
        ({"name": "moex", "layout": "bxyz"}, "strategy.layout", ""),
        ({"name": "moex", "layout": {"a": 1}}, "strategy.layout", ""),
        ({"name": "moex", "self": 1}, "strategy.self", "a setting of MoEx"),
        ({"name": "moex", "__class__": 1}, "strategy.__class__", "a setting of MoEx"),
        ({"name": "from_nowhere"}, "strategy.name", "expected a strategy"),
    ],
)
def test_refusals(value, path, message):
    with pytest.raises(fm.FeatmixError) as caught:
        fm.from_dict({"strategy": value})
    assert caught.value.argument == path
    assert re.search(message, str(caught.value))
