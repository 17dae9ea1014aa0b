"""Ranks by one sort of whole numbers, and the matching that they are for."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import featmix as fm
from featmix.kernels import ranks
from featmix.strategies.base import Strategy

VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 3e38, float("inf"), -float("inf"), float("nan"), -float("nan")])


@given(st.integers(1, 9).flatmap(lambda n: st.lists(st.lists(VALUES, min_size=n, max_size=n), min_size=1, max_size=4)))
def test_the_order_is_that_of_a_stable_sort(rows):
    x = torch.tensor(rows)
    assert torch.equal(ranks.order(x), x.sort(dim=1, stable=True)[1])


def test_threads_share_a_sort(monkeypatch):
    monkeypatch.setattr(ranks, "THREADED", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    x = torch.randn(7, 50).relu()
    assert torch.equal(ranks.order(x), x.sort(dim=1, stable=True)[1])


def gradient(function, x):
    leaf = x.clone().requires_grad_()
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).to(x.dtype)
    (function(leaf) * weight).sum().backward()
    return leaf.grad


@pytest.mark.parametrize("partner", [None, [3, 3, 3, 3, 3], [1, 0, 2, 4, 3]], ids=str)
@pytest.mark.parametrize("kind", ["published", "exact"])
@pytest.mark.parametrize("layout", ["bchw", "bnc", "bct"])
def test_result_and_gradient_are_those_of_the_formula(layout, kind, partner):
    strategy = fm.EFDMix(p=1.0, gradient=kind, layout=layout)
    x = torch.randn([{"b": 5, "c": 4}.get(letter, 6) for letter in layout], generator=torch.Generator().manual_seed(1)).relu()
    params = strategy.make_params(x.shape, partner=None if partner is None else torch.tensor(partner))
    params = dataclasses.replace(params, active=torch.tensor([True, True, False, True, True])).tied()
    params = dataclasses.replace(params, lam=torch.where(params.active, params.lam, 1.0))
    for measure in (lambda function, z: function(z), gradient):
        found = measure(lambda z: strategy.gated(z, params), x)
        torch.testing.assert_close(found, measure(lambda z: Strategy.gated(strategy, z, params), x))
    assert torch.equal(strategy.gated(x, params)[2], x[2])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_types_are_ranked_as_they_are(dtype):
    strategy, x = fm.EFDMix(p=1.0), torch.randn(4, 3, 5, 5).to(dtype)
    params = strategy.make_params(x.shape)
    y = strategy.transform(x, params)
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), strategy.transform(x.double(), params), rtol=8e-3, atol=8e-3)


def test_differentiating_twice():
    strategy, x = fm.EFDMix(p=1.0, gradient="exact"), torch.randn(3, 2, 4, 4, requires_grad=True)
    params = strategy.make_params(x.shape)
    (first,) = torch.autograd.grad(strategy.transform(x, params).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    z = x.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(strategy.transform(z, params).square().sum(), z, create_graph=True)
    (expected,) = torch.autograd.grad(expected.square().sum(), z)
    torch.testing.assert_close(second.double(), expected, rtol=1e-4, atol=1e-4)
