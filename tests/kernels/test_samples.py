"""Mixup and CutMix sample by sample against the formula, which stays the reference."""

import dataclasses
import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import featmix as fm
from featmix.kernels import blocks, mixing, samples
from featmix.strategies.base import Strategy
from featmix.testing import every_strategy, parametrize_with_checks

FAST = (fm.Mixup, fm.CutMix, fm.FMix, fm.PatchUp, fm.ResizeMix)
MIXERS = [s for s in every_strategy() if isinstance(s, FAST) and not s.inplace]
PLAIN = [s for s in MIXERS if s.layout is None]
SIZES = {"b": 5, "c": 4, "h": 6, "w": 7, "n": 9, "t": 9, "d": 3}
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@pytest.fixture(autouse=True)
def _every_tensor(monkeypatch):
    monkeypatch.setattr(samples, "BLENDED", 0)
    monkeypatch.setattr(samples, "PASTED", 0)
    monkeypatch.setattr(samples, "SHRUNK", 0)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 400)


@pytest.fixture
def taken(monkeypatch):
    """How often the fast path was taken."""
    seen, mix = [], mixing.mix
    monkeypatch.setattr("featmix.strategies.content.mix", lambda *a, **k: seen.append(a) or mix(*a, **k))
    return seen


def case(strategy, dtype=torch.float64):
    shape = [SIZES[letter] for letter in strategy.layout or "bchw"]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    params = strategy.make_params(shape, generator=torch.Generator().manual_seed(2))
    return x, dataclasses.replace(params, active=params.active & torch.tensor([True, True, False, True, True]))


def by_formula(strategy, x, params):
    return Strategy.gated(strategy, x, params.tied())


def gradient(function, x):
    leaf = x.clone().requires_grad_()
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).half().to(x.dtype)
    (function(leaf) * weight).sum().backward()
    return leaf.grad


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("strategy", MIXERS, ids=lambda s: f"{s.name}-{s.settings()}")
def test_result_and_gradient_are_as_near_to_float64_as_the_formula(strategy, dtype, taken):
    x, params = case(strategy, dtype)

    def fast(z):
        return strategy.transform(z, params)

    def formula(z):
        return by_formula(strategy, z, params)

    assert fast(x).dtype == dtype
    published = getattr(params, "step", None) is not None  # positions that the fast path does not know
    assert taken or strategy.num_prefix_tokens or strategy.layout == "bc" or published
    assert torch.equal(fast(x)[~params.active], x[~params.active])
    for measure in (lambda function, z: function(z), gradient):
        exact = measure(formula, x.double())
        off, allowed = (measure(function, x).double().sub(exact).abs().max() for function in (fast, formula))
        floor = 1e-9 if dtype == torch.float64 else 4 * torch.finfo(dtype).eps
        assert off <= 2 * allowed + floor * exact.abs().max()


@pytest.mark.parametrize("strategy", PLAIN, ids=lambda s: f"{s.name}-{s.settings()}")
def test_first_and_second_derivatives(strategy):
    x, params = case(strategy)
    x = x[:, :2, :3, :3].clone().requires_grad_()
    params = strategy.make_params(x.shape, generator=torch.Generator().manual_seed(2))
    assert torch.autograd.gradcheck(lambda z: strategy.transform(z, params), (x,))
    assert torch.autograd.gradgradcheck(lambda z: strategy.transform(z, params), (x,))


@parametrize_with_checks(
    [fm.Mixup(lam_per="sample"), fm.CutMix(lam_per="sample"), fm.Mixup(p=0.5, per="sample"), fm.CutMix(p=0.5, per="sample")],
    examples=12,
    dtypes=(torch.float32,),
    kinds=("strategy",),
    where=lambda _, law: not law.of_draws,
)
def test_every_law_holds_sample_by_sample(check):
    check()


@pytest.mark.parametrize("strategy", [fm.Mixup(lam_per="sample"), fm.CutMix(lam_per="sample")], ids=lambda s: s.name)
def test_a_partner_of_many_gets_the_gradient_of_all(strategy):
    x = torch.randn(5, 2, 6, 6, dtype=torch.float64)
    params = strategy.make_params(x.shape, partner=torch.tensor([3, 3, 3, 3, 3]))
    fast = gradient(lambda z: strategy.transform(z, params), x)
    torch.testing.assert_close(fast, gradient(lambda z: by_formula(strategy, z, params), x))


@pytest.mark.parametrize("strategy", [fm.Mixup(), fm.CutMix()], ids=lambda s: s.name)
def test_channels_last_stays_and_agrees(strategy, taken):
    x, params = case(strategy)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    y = strategy.transform(x, params)
    assert taken
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(y, by_formula(strategy, x, params))
    y.sum().backward()
    assert x.grad.is_contiguous(memory_format=torch.channels_last)


CIRCLE_AND_TREE = [1, 2, 0, 0, 3]  # three rows in a circle, and two that hang on it
PARTNERS = [[1, 0, 3, 4, 2], CIRCLE_AND_TREE, [3, 3, 3, 3, 3], [0, 1, 2, 3, 4], [1, 2, 3, 4, 4]]


@pytest.mark.parametrize("partner", PARTNERS, ids=str)
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_in_place_gives_what_comes_out_of_place(name, partner, taken):
    strategy, within = (fm.create(name, lam_per="sample", inplace=inplace) for inplace in (False, True))
    x = torch.randn(5, 3, 8, 8)
    params = strategy.make_params(x.shape, partner=torch.tensor(partner))
    expected = strategy.transform(x, params)
    assert within.transform(x, params) is x
    assert torch.equal(x, expected)
    assert len(taken) == 2


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_in_place_can_be_differentiated_and_a_leaf_is_refused(name):
    strategy, within = (fm.create(name, inplace=inplace) for inplace in (False, True))
    x, params = case(strategy)
    expected = gradient(lambda z: strategy.transform(z, params), x)
    assert torch.equal(gradient(lambda z: within.transform(z * 1.0, params), x), expected)
    with pytest.raises(RuntimeError, match="leaf Variable"):
        within.transform(x.clone().requires_grad_(), params)


@settings(max_examples=200)
@given(st.integers(1, 12).flatmap(lambda n: st.lists(st.integers(0, n - 1), min_size=n, max_size=n)))
def test_each_row_is_written_after_those_that_take_from_it(partner):
    order = list(samples.takers_first(partner))
    written = [i for i, _ in order]
    assert sorted(written) == [i for i, j in enumerate(partner) if i != j]
    when, kept = {i: n for n, i in enumerate(written)}, {i for i, starts in order if starts}
    for i in written:
        j = partner[i]
        assert j not in when or when[i] < when[j] or j in kept
        if j in kept and when[i] > when[j]:  # what was kept is still the last that was
            assert not any(k in kept and when[j] < when[k] < when[i] for k in written)


@pytest.mark.parametrize("strategy", [fm.Mixup(), fm.CutMix()], ids=lambda s: s.name)
def test_nothing_of_the_features_is_kept_for_backward(strategy, taken):
    x, params = case(strategy)
    features = x.clone().requires_grad_() * 1.0
    alive = weakref.ref(features)
    y = strategy.transform(features, params)
    del features
    taken.clear()  # it holds what it saw
    gc.collect()
    assert alive() is None
    y.sum().backward()


def test_integers_are_pasted_too(taken):
    cutmix, x = fm.CutMix(), torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8)
    params = cutmix.make_params(x.shape)
    assert torch.equal(cutmix.transform(x, params), by_formula(cutmix, x, params))
    assert taken


@pytest.mark.parametrize("strategy", [fm.Mixup(), fm.CutMix()], ids=lambda s: s.name)
@pytest.mark.parametrize("spoil", ["sliced", "functorch", "forward mode"])
def test_what_the_fast_path_does_not_take_goes_by_the_formula(strategy, spoil, taken):
    x, params = case(strategy)
    expected = by_formula(strategy, x, params)
    if spoil == "sliced":
        result = strategy.transform(torch.cat([x, x], dim=-1)[..., : x.shape[-1]], params)
    elif spoil == "functorch":
        result, _ = torch.func.vjp(lambda z: strategy.transform(z, params), x)
    else:
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
            result, tangent = torch.autograd.forward_ad.unpack_dual(strategy.transform(dual, params))
        assert tangent is not None
    assert torch.allclose(result, expected)
    assert not taken


@pytest.mark.parametrize("strategy", [fm.CutMix(lam_per="sample"), fm.ResizeMix()], ids=lambda s: s.name)
def test_small_samples_in_different_boxes_go_by_the_formula(strategy, monkeypatch, taken):
    monkeypatch.setattr(samples, "PASTED", 10**6)
    monkeypatch.setattr(samples, "SHRUNK", 10**6)
    x, params = case(strategy)
    assert torch.equal(strategy.transform(x, params), by_formula(strategy, x, params))
    assert not taken


@pytest.mark.parametrize("partner", PARTNERS, ids=str)
@pytest.mark.parametrize("layout", ["bchw", "bhwc", "btc", "bcdhw"])
def test_small_samples_with_one_box_are_pasted_together(layout, partner, monkeypatch, taken):
    monkeypatch.setattr(samples, "PASTED", 10**6)
    strategy, within = (fm.CutMix(layout=layout, inplace=inplace) for inplace in (False, True))
    x = torch.randn([SIZES[letter] for letter in layout], dtype=torch.float64)
    params = strategy.make_params(x.shape, partner=torch.tensor(partner), generator=torch.Generator().manual_seed(4))
    expected = by_formula(strategy, x, params)
    assert torch.equal(strategy.transform(x, params), expected)
    found = gradient(lambda z: strategy.transform(z, params), x)
    torch.testing.assert_close(found, gradient(lambda z: by_formula(strategy, z, params), x))
    assert within.transform(x, params) is x
    assert torch.equal(x, expected)
    assert len(taken) == 3


def test_a_strategy_that_acts_in_its_own_way_is_left_alone():
    class Louder(fm.CutMix):
        def act(self, x, params):
            return 2 * super().act(x, params)

    x, params = case(fm.CutMix())
    expected = 2 * fm.CutMix().transform(x, params)[params.active]
    assert torch.equal(Louder().transform(x, params)[params.active], expected)
