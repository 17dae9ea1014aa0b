import dataclasses

import pytest
import torch
from torch.autograd import gradcheck

import featmix as fm

EPS = 1e-6


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 + 0.5


def decision(mixstyle, x, partner=(2, 0, 1), lam=None, seed=0):
    g = torch.Generator().manual_seed(seed)
    params = mixstyle.make_params(x.shape, generator=g, partner=torch.tensor(partner))
    return params if lam is None else dataclasses.replace(params, lam=torch.tensor(lam))


def blend(x, params):
    """Own moments, blended moments."""
    lam, j = params.lam.double().view(-1, 1, 1, 1), params.partner
    mean, std = x.mean((2, 3), keepdim=True), (x.var((2, 3), keepdim=True) + EPS).sqrt()
    return (mean, std), (lam * mean + (1 - lam) * mean[j], lam * std + (1 - lam) * std[j])


def by_hand(x, params):
    (mean, std), (mixed_mean, mixed_std) = blend(x, params)
    return (x - mean) / std * mixed_std + mixed_mean


def test_published_formula():
    mixstyle, x = fm.MixStyle(alpha=0.7, p=1), draw(3, 8, 4, 5)
    for seed in range(5):
        params = decision(mixstyle, x, seed=seed)
        torch.testing.assert_close(mixstyle.transform(x, params), by_hand(x, params), rtol=0, atol=1e-9)


def test_moments_are_the_blend():
    mixstyle, x = fm.MixStyle(p=1), draw(3, 8, 4, 5)
    params = decision(mixstyle, x, lam=[0.3, 0.6, 0.9])
    y, (_, (mixed_mean, mixed_std)) = mixstyle.transform(x, params), blend(x, params)
    v = x.var((2, 3), keepdim=True)
    torch.testing.assert_close(y.mean((2, 3), keepdim=True), mixed_mean, rtol=0, atol=1e-9)
    torch.testing.assert_close(y.std((2, 3), keepdim=True), mixed_std * (v / (v + EPS)).sqrt(), rtol=0, atol=1e-9)


def test_gradient_is_the_gain_and_spares_the_partner():
    mixstyle, x = fm.MixStyle(p=1), draw(3, 8, 4, 5).requires_grad_()
    params, w = decision(mixstyle, x, lam=[0.3, 0.6, 0.9]), draw(8, 4, 5, seed=1)
    (mixstyle.transform(x, params)[0] * w).sum().backward()
    (_, std), (_, mixed_std) = blend(x.detach(), params)
    torch.testing.assert_close(x.grad[0], w * (mixed_std / std)[0], rtol=0, atol=1e-9)
    assert not bool(x.grad[1:].any())


def test_without_detach_the_gradient_is_the_full_one():
    mixstyle, x = fm.MixStyle(p=1, detach=False), draw(3, 4, 2, 3).requires_grad_()
    params, w = decision(mixstyle, x, lam=[0.3, 0.6, 0.9]), draw(3, 4, 2, 3, seed=1)
    (got,) = torch.autograd.grad((mixstyle.transform(x, params) * w).sum(), x)
    (expected,) = torch.autograd.grad((by_hand(x, params) * w).sum(), x)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-9)
    assert gradcheck(lambda x: mixstyle.transform(x, params), x)


@pytest.mark.parametrize("norm", ["in", "pono", "ln"])
def test_lam_0_is_moment_exchange(norm):
    x, partner = draw(3, 8, 4, 5), torch.tensor([2, 0, 1])
    mixstyle, moex = fm.MixStyle(norm, eps=1e-3, p=1), fm.MoEx(norm, eps=1e-3)
    got = mixstyle.transform(x, decision(mixstyle, x, lam=[0.0, 0.0, 0.0]))
    torch.testing.assert_close(got, moex.transform(x, moex.make_params(x.shape, partner=partner)), rtol=0, atol=1e-12)


def test_lam_1_and_being_ones_own_partner_keep_x():
    mixstyle, x = fm.MixStyle(p=1), draw(3, 8, 4, 5)
    torch.testing.assert_close(mixstyle.transform(x, decision(mixstyle, x, lam=[1.0] * 3)), x, rtol=0, atol=1e-12)
    alone = decision(mixstyle, x, partner=(0, 1, 2), lam=[0.5] * 3)
    torch.testing.assert_close(mixstyle.transform(x, alone), x, rtol=0, atol=1e-12)


def test_alpha_0_does_not_mix():
    mixstyle, x = fm.MixStyle(alpha=0, p=1), draw(3, 8, 4, 5)
    torch.testing.assert_close(mixstyle.transform(x, decision(mixstyle, x)), x, rtol=0, atol=1e-12)


def test_labels_stay():
    params = decision(fm.MixStyle(p=1), draw(3, 8, 4, 5))
    assert bool(params.active.all())
    assert torch.equal(params.mixture.matrix(), torch.eye(3))


@pytest.mark.parametrize(("lam_per", "different"), [("sample", 16), ("batch", 1)])
def test_strength_per_sample_or_batch(lam_per, different):
    params = fm.MixStyle(alpha=1.0, lam_per=lam_per, p=1).make_params((16, 2, 3, 3), generator=torch.Generator().manual_seed(0))
    assert len(params.lam.unique()) == different


def test_crossdomain_takes_from_the_other_domain():
    mixstyle, domain = fm.MixStyle(p=1, partner="crossdomain"), torch.tensor([0, 1, 0, 1, 1, 0])
    params = mixstyle.make_params((6, 2, 3, 3), domain=domain, generator=torch.Generator().manual_seed(0))
    assert bool((domain[params.partner] != domain).all())
    halves = mixstyle.make_params((6, 2, 3, 3), generator=torch.Generator().manual_seed(0))
    assert bool(((halves.partner < 3) == (torch.arange(6) >= 3)).all())


def test_tokens_and_channels_last_layout():
    mixstyle, x = fm.MixStyle(p=1), draw(3, 8, 4, 5)
    params = decision(mixstyle, x, lam=[0.3, 0.6, 0.9])
    y = mixstyle.transform(x, params)
    tokens = fm.MixStyle(p=1, layout="bnc").transform(x.flatten(2).transpose(1, 2), params)
    torch.testing.assert_close(tokens, y.flatten(2).transpose(1, 2), rtol=0, atol=1e-12)
    last = fm.MixStyle(p=1, layout="bhwc").transform(x.permute(0, 2, 3, 1), params)
    torch.testing.assert_close(last, y.permute(0, 2, 3, 1), rtol=0, atol=1e-12)


def test_width_equal_to_the_batch_does_not_broadcast_along_it():
    mixstyle, x = fm.MixStyle(p=1), draw(4, 4, 4, 4)
    params = decision(mixstyle, x, partner=(1, 2, 3, 0), lam=[0.1, 0.4, 0.7, 1.0])
    torch.testing.assert_close(mixstyle.transform(x, params), by_hand(x, params), rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", [(4, 8, 1, 1), (4, 8)])
def test_single_positions_pass_through(shape):
    mixstyle, x = fm.MixStyle(p=1), draw(*shape)
    params = mixstyle.make_params(x.shape)
    assert torch.equal(mixstyle.transform(x, params), x)
    assert bool((params.lam == 1).all())


def test_half_input_stays_half():
    mixstyle, x = fm.MixStyle(p=1), (200 * draw(4, 8, 6, 6)).half()
    y = mixstyle(x)
    assert y.dtype == torch.float16
    assert bool(y.isfinite().all())


def test_bn_is_refused_with_the_reason():
    with pytest.raises(fm.FeatmixError, match=r"MixStyle: norm: .*belong to the whole batch"):
        fm.MixStyle("bn")


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf"), "0.1"])
def test_bad_alpha_is_refused(alpha):
    with pytest.raises(fm.FeatmixError, match="MixStyle: alpha: expected a number in"):
        fm.MixStyle(alpha=alpha)


def test_bad_lam_per_is_refused():
    with pytest.raises(fm.FeatmixError, match="MixStyle: lam_per: expected one of batch, sample, got 'channel'"):
        fm.MixStyle(lam_per="channel")
