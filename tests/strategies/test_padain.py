import dataclasses

import pytest
import torch
from torch.autograd import gradcheck

import featmix as fm

EPS = 1e-5
CYCLE = torch.tensor([2, 0, 1])


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 + 0.5


def decision(padain, x, partner=CYCLE):
    return padain.make_params(x.shape, partner=torch.as_tensor(partner))


def by_hand(x, style, extra=0.0):
    """The formula, with ``extra`` on the content's standard deviation; ``style`` holds each row's partner."""
    mean, std = x.mean((2, 3), keepdim=True), (x.var((2, 3), keepdim=True) + EPS).sqrt() + extra
    return (x - mean) / std * (style.var((2, 3), keepdim=True) + EPS).sqrt() + style.mean((2, 3), keepdim=True)


@pytest.mark.parametrize(("settings", "extra"), [({}, 0.0), ({"eps_outside": True}, EPS)])
def test_formula_and_its_published_form(settings, extra):
    x, padain = 0.01 * draw(3, 8, 4, 5), fm.PAdaIN(p=1, **settings)
    y = padain.transform(x, decision(padain, x))
    torch.testing.assert_close(y, by_hand(x, x[CYCLE], extra), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("settings", "extra"), [({}, 0.0), ({"eps_outside": True}, EPS)])
def test_moments_of_the_result(settings, extra):
    x, padain = draw(3, 8, 4, 5), fm.PAdaIN(p=1, **settings)
    y = padain.transform(x, decision(padain, x))
    std, partner_std = x.std((2, 3)), (x.var((2, 3)) + EPS).sqrt()[CYCLE]
    torch.testing.assert_close(y.mean((2, 3)), x.mean((2, 3))[CYCLE], rtol=0, atol=1e-9)
    expected = partner_std * std / ((std.square() + EPS).sqrt() + extra)
    torch.testing.assert_close(y.std((2, 3)), expected, rtol=0, atol=1e-9)


def test_ones_own_partner_is_the_identity_but_in_the_published_form():
    x = draw(3, 8, 4, 5)
    x[0] *= 1e-6  # flat, so that its std is the root of eps
    x[0] -= x[0].mean((1, 2), keepdim=True)
    ours, published = fm.PAdaIN(p=1), fm.PAdaIN(p=1, eps_outside=True)
    torch.testing.assert_close(ours.transform(x, decision(ours, x, (0, 1, 2))), x, rtol=0, atol=1e-12)
    scaled = published.transform(x, decision(published, x, (0, 1, 2)))
    torch.testing.assert_close(scaled[0], x[0] * EPS**0.5 / (EPS**0.5 + EPS), rtol=1e-6, atol=0)
    assert 0.9968 < float((scaled[0] / x[0]).mean()) < 0.9969
    assert ours.self_is_identity
    assert not published.self_is_identity


@pytest.mark.parametrize("settings", [{}, {"eps_outside": True}])
def test_gradient_is_that_with_the_style_held_constant(settings):
    padain, w = fm.PAdaIN(p=1, **settings), draw(3, 8, 4, 5, seed=1)
    x = draw(3, 8, 4, 5).requires_grad_()
    (got,) = torch.autograd.grad((padain.transform(x, decision(padain, x)) * w).sum(), x)
    y = by_hand(x, x.detach()[CYCLE], EPS if settings else 0.0)
    (expected,) = torch.autograd.grad((y * w).sum(), x)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-9)


def test_nothing_reaches_the_partner_unless_asked():
    x = draw(3, 8, 4, 5).requires_grad_()
    for settings, reached in (
        ({}, False),
        ({"detach_partner": False}, True),
        ({"detach": True, "detach_partner": False}, False),
    ):
        padain = fm.PAdaIN(p=1, **settings)
        (gradient,) = torch.autograd.grad(padain.transform(x, decision(padain, x))[0].square().sum(), x)
        assert bool(gradient[0].any())
        assert bool(gradient[2].any()) is reached
        assert not bool(gradient[1].any())


def test_gradcheck_with_nothing_detached():
    padain, x = fm.PAdaIN(p=1, detach_partner=False, eps_outside=True), draw(3, 2, 2, 3).requires_grad_()
    params = decision(padain, x)
    assert gradcheck(lambda x: padain.transform(x, params), x)


def test_large_maps_give_the_same_gradient():
    """They take the blocked path, whose backward has to do with a new mean that is a constant."""
    padain, x, w = fm.PAdaIN(p=1), draw(3, 16, 56, 56).requires_grad_(), draw(3, 16, 56, 56, seed=1)
    (got,) = torch.autograd.grad((padain.transform(x, decision(padain, x)) * w).sum(), x)
    (expected,) = torch.autograd.grad((by_hand(x, x.detach()[CYCLE]) * w).sum(), x)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-9)


def test_defaults_are_those_of_the_paper():
    padain = fm.PAdaIN()
    assert (padain.p, padain.norm, padain.eps, padain.unbiased) == (0.01, "in", EPS, True)
    generator = torch.Generator().manual_seed(0)
    fired = sum(bool(padain.make_params((4, 2, 3, 3), generator=generator).active.any()) for _ in range(4000))
    assert 12 <= fired <= 72  # five sigmas around 40


def test_labels_stay_and_a_swap_keeps_no_style():
    params = decision(fm.PAdaIN(p=1), draw(3, 8, 4, 5))
    assert torch.equal(params.mixture.matrix(), torch.eye(3))
    assert params.lam.tolist() == [0, 0, 0]


@pytest.mark.parametrize("shape", [(4, 8, 1, 1), (4, 8), (1, 8, 4, 4)])
@pytest.mark.parametrize("eps_outside", [False, True])
def test_without_a_style_or_a_partner_rows_pass_through(shape, eps_outside):
    padain, x = fm.PAdaIN(p=1, eps_outside=eps_outside), draw(*shape)
    params = padain.make_params(x.shape)
    assert torch.equal(padain.transform(x, params), x)
    assert not bool(params.active.any())


def test_padding_counts_neither_as_content_nor_as_style():
    padain, x = fm.PAdaIN(p=1, layout="bct"), draw(3, 8, 10)
    mask = torch.arange(10) < torch.tensor([[10], [7], [4]])
    params = padain.make_params(x.shape, partner=CYCLE, mask=mask)
    y = padain.transform(torch.where(mask.unsqueeze(1), x, float("nan")), params)
    for i, j in enumerate(CYCLE.tolist()):
        own, lent = x[i, :, mask[i]], x[j, :, mask[j]]
        expected = (own - own.mean(1, keepdim=True)) / (own.var(1, keepdim=True) + EPS).sqrt()
        expected = expected * (lent.var(1, keepdim=True) + EPS).sqrt() + lent.mean(1, keepdim=True)
        torch.testing.assert_close(y[i, :, mask[i]], expected, rtol=0, atol=1e-9)
        assert bool(y[i, :, ~mask[i]].isnan().all())


def test_rows_that_are_not_active_come_back_bit_for_bit():
    padain, x = fm.PAdaIN(p=1), draw(3, 8, 4, 5)
    params = dataclasses.replace(decision(padain, x), active=torch.tensor([True, False, True]))
    assert torch.equal(padain.transform(x, params)[1], x[1])


@pytest.mark.parametrize("setting", ["eps_outside", "detach_partner", "detach"])
def test_flags_are_flags(setting):
    with pytest.raises(fm.FeatmixError, match=f"PAdaIN: {setting}: expected True or False, got 1"):
        fm.PAdaIN(**{setting: 1})
