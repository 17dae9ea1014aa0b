"""What holds for every strategy that moves style by noise; they are found, not listed."""

import dataclasses

import numpy as np
import pytest
import torch

import featmix as fm
from featmix.mixer.tree import Request
from featmix.sampling.draws import gate, stream
from featmix.strategies.noise import StyleNoise
from featmix.strategies.params import Draw

NOISY = [name for name in fm.list_strategies() if issubclass(fm.strategy_class(name), StyleNoise)]
pytestmark = pytest.mark.parametrize("name", NOISY)


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def decision(strategy, x, seed=0, **more):
    return strategy.make_params(x.shape, generator=torch.Generator().manual_seed(seed), **more)


def changed(strategy, x, params):
    return (strategy.transform(x, params) != x).flatten(1).any(1).tolist()


def test_each_row_is_its_own_whatever_partners_are_shared(name):
    strategy = fm.create(name, p=1.0)
    for given in ({}, {"partner": torch.tensor([1, 2, 3, 0])}):
        assert decision(strategy, draw(4, 3, 2, 2), **given).partner.tolist() == [0, 1, 2, 3]


def test_partners_are_not_drawn(name):
    strategy, shape = fm.create(name, p=0.0), (6, 3, 1, 1)
    random, gate_alone = (stream(torch.Generator().manual_seed(0)) for _ in range(2))
    strategy.drawn(shape, random)
    active = gate(gate_alone, 6, 0.0, per="batch")
    strategy.decide(shape, Draw(np.arange(6), active, gate_alone, mixes_labels=False))
    assert random.random() == gate_alone.random()


def test_it_shares_a_tree_with_strategies_that_choose_partners_otherwise(name):
    noise, moex = fm.At("a", fm.create(name)), fm.At("b", fm.MoEx(partner="permutation"))
    for members in ([noise, moex], [moex, noise], [noise, noise]):
        drawn = fm.Compose(members, share_partner=True).draw(Request(4, stream(), {"a": (3, 5, 5), "b": (3, 5, 5)}))
        assert len(drawn) == 2


def test_the_batch_alone_is_no_shape(name):
    with pytest.raises(fm.FeatmixError, match=r"shape: expected the shape of the features.*attach\(\.\.\., example=images\)"):
        fm.create(name).make_params((4,))


def test_a_row_without_content_takes_no_other_along(name):
    strategy, x = fm.create(name, p=1.0, layout="bnc"), draw(6, 5, 3)
    mask = torch.ones(6, 5, dtype=torch.bool)
    mask[0] = False
    for seed in range(5):
        params = decision(strategy, x, seed, mask=mask)
        assert params.active.tolist() == [False, True, True, True, True, True]
        assert changed(strategy, x, params) == params.active.tolist()


def test_the_only_row_with_content_passes_through(name):
    strategy, x = fm.create(name, p=1.0, layout="bnc"), draw(3, 5, 3)
    mask = torch.zeros(3, 5, dtype=torch.bool)
    mask[1] = True
    assert not decision(strategy, x, mask=mask).active.any()


@pytest.mark.parametrize(("norm", "enough"), [("in", False), ("ln", True), ("gn2", True), ("gn-d1", False)])
def test_a_row_with_one_real_position_counts_where_it_has_moments(name, norm, enough):
    strategy, x = fm.create(name, norm=norm, p=1.0, layout="bnc"), draw(3, 5, 4)
    x[2] *= 50
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[2, 1:] = False
    params = decision(strategy, x, mask=mask)
    assert params.active.tolist() == [True, True, enough]
    assert strategy.counted(strategy.moments_of(x, params), params).flatten().tolist() == [True, True, enough]
    assert changed(strategy, x, params) == [True, True, enough]
    other = x.clone()
    other[2, 0] = other[2, 0] ** 2
    spread = strategy.transform(other, params)[:2] != strategy.transform(x, params)[:2]
    assert bool(spread.any()) is enough


def test_a_full_mask_on_one_position_is_none(name):
    strategy, x = fm.create(name, norm="ln", p=1.0, layout="bnc"), draw(4, 1, 6)
    params = decision(strategy, x)
    full = dataclasses.replace(params, mask=torch.ones(4, 1, dtype=torch.bool))
    torch.testing.assert_close(strategy.transform(x, full), strategy.transform(x, params))


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("idle", [False, True])
def test_a_row_that_is_not_finite_leaves_the_others_as_if_it_were_not_there(name, bad, idle, fast, monkeypatch):
    monkeypatch.setenv("FEATMIX_KERNELS", "auto" if fast else "formula")
    strategy, x = fm.create(name, p=1.0), draw(5, 3, 4, 4)
    x[2, 1, 0, 0] = bad
    params = decision(strategy, x)
    params = dataclasses.replace(params, active=torch.tensor([True, False, not idle, True, True]))
    well = [0, 1, 3, 4]
    rows = {key: value[well] for key, value in params.per_row().items()}
    alone = dataclasses.replace(params, **{**rows, "partner": torch.arange(4)}, mixture=fm.Mixture.identity(4))
    spoilt, clean, weight = x.clone().requires_grad_(), x[well].clone().requires_grad_(), draw(4, 3, 4, 4, seed=5)
    y, expected = strategy.transform(spoilt, params)[well], strategy.transform(clean, alone)
    torch.testing.assert_close(y, expected)
    (y * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(spoilt.grad[well], clean.grad)


@pytest.mark.parametrize("channels", [1, 5])
def test_a_decision_for_other_features_is_refused_even_where_it_would_broadcast(name, channels):
    strategy = fm.create(name, p=1.0)
    with pytest.raises(fm.FeatmixError, match=r"params: expected noise of shape .*Draw with the shape of the tensor"):
        strategy.transform(draw(4, 3, 5, 5), decision(strategy, draw(4, channels, 5, 5)))


def test_the_decision_of_another_strategy_is_refused(name):
    with pytest.raises(fm.FeatmixError, match=r"params: expected a decision of this strategy, \w+Params, .*got Params"):
        fm.create(name, p=1.0).transform(draw(4, 3, 5, 5), fm.MixStyle(p=1.0).make_params((4, 3, 5, 5)))
