"""The blocked path against the formula, which stays the reference."""

import dataclasses
import gc
import weakref

import pytest
import torch

import featmix as fm
from featmix.kernels import blocks, dispatch, exchange_cpu, native, pages
from featmix.normalizers.kinds import IN
from featmix.strategies.base import Strategy
from featmix.strategies.moments import MomentStrategy
from featmix.testing import every_strategy, parametrize_with_checks

MOVERS = [s for s in every_strategy() if isinstance(s, MomentStrategy)]
PLAIN = [s for s in MOVERS if s.layout is None and s.partner == "derangement"]
SMOOTH = [s for s in PLAIN if s.exact_gradient and not (s.detach or s.detach_partner)]
# One strategy for each of the tasks that the blocked path can be given: MoEx for the axes of a mean, every strategy for what it
# makes of moments. Other settings make no difference to it.
TASKS = list(
    {
        (s.name, s.name == "moex" and repr(s.normalizer), s.unbiased, s.detach, s.detach_partner): s
        for s in reversed(PLAIN)
        if not s.positive_only and not (isinstance(s, fm.CrossNorm) and s.needs_shape)
    }.values()
)
SIZES = {"b": 5, "c": 4, "h": 6, "w": 7, "n": 9, "t": 9, "d": 3}
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@pytest.fixture(autouse=True)
def _every_tensor_in_small_blocks(monkeypatch):
    monkeypatch.setattr(dispatch, "SMALLEST", 0)
    monkeypatch.setattr(exchange_cpu, "SMALL", 0)
    monkeypatch.setattr(native, "SMALLEST", 0)
    monkeypatch.setattr(native, "NARROWEST", 2)
    monkeypatch.setattr(native, "LONGEST", 8)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 400)
    monkeypatch.setattr(pages, "FRESH_BYTES", 0)


def case(strategy, dtype=torch.float64):
    shape = [SIZES[letter] for letter in strategy.layout or "bchw"]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    params = strategy.make_params(shape, generator=torch.Generator().manual_seed(2))
    active = params.active & torch.tensor([True, True, False, True, True])
    return x, dataclasses.replace(params, active=active)


def by_formula(strategy, x, params):
    rows = torch.arange(len(x))
    tied = dataclasses.replace(params, partner=torch.where(params.active, params.partner, rows))
    return Strategy.gated(strategy, x, tied)


def gradient(function, x):
    leaf = x.clone().requires_grad_()
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).half().to(x.dtype)  # the same in every dtype
    (function(leaf) * weight).sum().backward()
    return leaf.grad


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("strategy", MOVERS, ids=lambda s: repr(s.settings()))
def test_result_and_gradient_are_as_near_to_float64_as_the_formula(strategy, dtype):
    x, params = case(strategy, dtype)
    y = strategy.transform(x, params)
    assert y.dtype == dtype
    assert torch.equal(y[~params.active], x[~params.active])
    as_near_to_float64_as_the_formula(strategy, x, params)


def as_near_to_float64_as_the_formula(strategy, x, params, worst=torch.max):
    def fast(z):
        return strategy.transform(z, params)

    def formula(z):
        return by_formula(strategy, z, params)

    for measure in (lambda function, z: function(z), gradient):
        exact = measure(formula, x.double())
        off, allowed = (worst(measure(function, x).double().sub(exact).abs()) for function in (fast, formula))
        floor = 1e-9 if x.dtype == torch.float64 else 4 * torch.finfo(x.dtype).eps  # in float64 the formula is the measure
        assert off <= 2 * allowed + floor * exact.abs().max()


@pytest.mark.parametrize("strategy", SMOOTH, ids=lambda s: repr(s.settings()))
def test_first_and_second_derivatives(strategy):
    x = case(strategy)[0][:3, :, :2, :2]
    params = strategy.make_params(x.shape, generator=torch.Generator().manual_seed(2))
    params = dataclasses.replace(params, active=params.active & torch.tensor([True, True, False]))
    x = (x + 0.2 * x.sign()).requires_grad_()  # no entry changes sign under a finite difference
    assert torch.autograd.gradcheck(lambda z: strategy.transform(z.contiguous(), params), (x,))
    assert torch.autograd.gradgradcheck(lambda z: strategy.transform(z.contiguous(), params), (x,))


@parametrize_with_checks(
    TASKS, examples=12, dtypes=(torch.float32,), kinds=("strategy",), where=lambda _, law: not law.of_draws
)
def test_every_law_holds_on_the_blocked_path(check):
    check()


def test_channels_last_stays_and_agrees():
    x, params = case(fm.MoEx("in"))
    y = fm.MoEx("in").transform(x.contiguous(memory_format=torch.channels_last), params)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(y, by_formula(fm.MoEx("in"), x, params))


@pytest.mark.parametrize("spoil", ["sliced", "transposed", "functorch", "forward mode"])
def test_what_the_blocked_path_does_not_take_goes_by_the_formula(spoil):
    strategy = fm.MoEx("pono")
    x, params = case(strategy)
    expected = by_formula(strategy, x, params)
    if spoil == "sliced":
        result = strategy.transform(torch.cat([x, x], dim=-1)[..., : x.shape[-1]], params)
    elif spoil == "transposed":
        result = strategy.transform(x.transpose(0, 1).contiguous().transpose(0, 1), params)
    elif spoil == "functorch":
        result, _ = torch.func.vjp(lambda z: strategy.transform(z, params), x)
    else:
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
            result, tangent = torch.autograd.forward_ad.unpack_dual(strategy.transform(dual, params))
        assert tangent is not None
    assert torch.allclose(result, expected)


def test_backward_keeps_the_input_and_nothing_else_of_its_size():
    strategy = fm.MoEx("in")
    x, params = case(strategy)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda saved: kept.append(saved) or saved, lambda saved: saved):
        features = x.clone().requires_grad_()
        strategy.transform(features, params)
    assert [saved.data_ptr() for saved in kept if saved.numel() >= x.numel()] == [features.data_ptr()]


def test_constant_moments_keep_nothing_of_the_features_alive():
    strategy = fm.MixStyle(p=1.0)
    x, params = case(strategy)
    features = x.clone().requires_grad_() * 1.0
    alive = weakref.ref(features)
    y = strategy.transform(features, params)
    del features
    gc.collect()
    assert alive() is None
    y.sum().backward()


def test_changing_the_input_before_backward_is_noticed():
    strategy = fm.MoEx("in")
    x, params = case(strategy)
    features = x.clone().requires_grad_() * 1.0
    y = strategy.transform(features, params)
    features.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_strategy_that_acts_in_its_own_way_is_left_alone():
    class Louder(fm.MoEx):
        def act(self, x, params):
            return 2 * super().act(x, params)

    x, params = case(fm.MoEx("in"))
    expected = 2 * fm.MoEx("in").transform(x, params)[params.active]
    assert torch.allclose(Louder("in").transform(x, params)[params.active], expected)


def test_a_normalizer_with_moments_of_its_own_is_left_alone():
    class Shifted(IN):
        def moments(self, x):
            m = super().moments(x)
            return fm.Moments(m.mean + 1, m.std)

    strategy = fm.MoEx(Shifted())
    x, params = case(strategy)
    assert torch.allclose(strategy.transform(x, params), by_formula(strategy, x, params))


def test_other_new_moments_are_no_blend():
    class Doubled(fm.MoEx):
        def new_moments(self, own, partner, params):
            return fm.Moments(2 * partner.mean, partner.std)

    strategy, (x, params) = Doubled("in"), case(fm.MoEx("in"))
    assert strategy.blend(params) is None
    assert torch.allclose(strategy.transform(x, params), by_formula(strategy, x, params))


@pytest.mark.parametrize("eps_outside", [False, True])
def test_a_row_that_is_active_and_its_own_partner_goes_as_by_the_formula(eps_outside):
    strategy = fm.PAdaIN(p=1.0, eps=0.1, eps_outside=eps_outside)
    x = case(strategy)[0]
    params = strategy.make_params(x.shape, partner=torch.arange(5))
    assert torch.allclose(strategy.transform(x, params), by_formula(strategy, x, params))


@pytest.mark.parametrize("partner", [[3, 3, 3, 3, 3], [1, 0, 2, 3, 4], [4, 0, 1, 2, 3], [0, 0, 0, 3, 4]], ids=str)
@pytest.mark.parametrize("strategy", TASKS, ids=lambda s: repr(s.settings()))
def test_a_partner_of_many_and_a_partner_of_none(strategy, partner):
    x = case(strategy)[0]
    params = strategy.make_params(x.shape, partner=torch.tensor(partner), generator=torch.Generator().manual_seed(2))
    for measure in (lambda function, z: function(z), gradient):
        found = measure(lambda z: strategy.transform(z, params), x)
        torch.testing.assert_close(found, measure(lambda z: by_formula(strategy, z, params), x), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["moex", "mixstyle", "crossnorm"])
def test_small_features_in_a_few_steps(name, dtype, monkeypatch):
    monkeypatch.setattr(exchange_cpu, "SMALL", 1 << 20)
    strategy = fm.create(name, p=1.0)
    as_near_to_float64_as_the_formula(strategy, *case(strategy, dtype))


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("norm", ["pono", "in", "ln", "gn4", "gpono4"])
def test_features_as_large_as_in_training(norm, last, monkeypatch):
    monkeypatch.undo()
    strategy, x = fm.MoEx(norm), torch.randn(6, 16, 40, 40, generator=torch.Generator().manual_seed(1))
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    params = strategy.make_params(x.shape, generator=torch.Generator().manual_seed(2))
    assert strategy.transform(x, params).stride() == x.stride()
    assert gradient(lambda z: strategy.transform(z, params), x).stride() == x.stride()
    # Of thousands of groups a few are nearly flat: the largest error is theirs, and which way rounds better there is chance.
    as_near_to_float64_as_the_formula(strategy, x, params, worst=torch.mean)


@pytest.mark.parametrize("spread", ["expanded", "transposed"])
@pytest.mark.parametrize(
    "strategy", [fm.MoEx("in"), fm.MixStyle(p=1.0), fm.DSU(p=1.0), fm.Mixup(), fm.CutMix()], ids=lambda s: s.name
)
def test_gradients_of_any_strides(strategy, spread):
    x, params = case(strategy)
    g = (
        torch.ones(()).double().expand(x.shape)
        if spread == "expanded"
        else torch.randn(7, 6, 4, 5).double().permute(3, 2, 1, 0)
    )
    leaf, same = x.clone().requires_grad_(), x.clone().requires_grad_()
    strategy.transform(leaf, params).backward(g)
    by_formula(strategy, same, params).backward(g)
    torch.testing.assert_close(leaf.grad, same.grad, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    "strategy", [fm.MixStyle(p=1.0), fm.MoEx("in", detach=True), fm.DSU(p=1.0, detach=True), fm.PAdaIN(p=1.0)]
)
def test_differentiating_twice_through_constant_moments(strategy):
    x, params = case(strategy)

    def twice(function):
        leaf = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(function(leaf).pow(3).sum(), leaf, create_graph=True)
        return torch.autograd.grad(first.square().sum(), leaf)[0]

    found = twice(lambda z: strategy.transform(z, params))
    torch.testing.assert_close(found, twice(lambda z: by_formula(strategy, z, params)), rtol=1e-8, atol=1e-9)
