import dataclasses

import pytest
import torch
from torch.autograd import gradcheck

import featmix as fm

EPS = 1e-3
# Of 8 channels seen as (B, groups, 8 / groups, H, W): how many groups, and the axes that are averaged over.
VIEWS = {"pono": (1, (2,)), "in": (8, (2, 3, 4)), "ln": (1, (2, 3, 4)), "gn2": (2, (2, 3, 4)), "gpono-d4": (2, (2,))}


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 + 0.5


def grouped(x, norm):
    return x.reshape(len(x), VIEWS[norm][0], -1, *x.shape[2:])


def mean_and_var(x, norm):
    v, axes = grouped(x, norm), VIEWS[norm][1]
    return v.mean(axes, keepdim=True), v.var(axes, keepdim=True)


def exchange(norm, x, partner, **settings):
    moex = fm.MoEx(norm, eps=EPS, **settings)
    return moex.transform(x, moex.make_params(x.shape, partner=torch.tensor(partner)))


@pytest.mark.parametrize("norm", VIEWS)
def test_published_formula(norm):
    x, j = draw(3, 8, 4, 5), [2, 0, 1]
    mean, var = mean_and_var(x, norm)
    std = (var + EPS).sqrt()
    expected = (grouped(x, norm) - mean) / std * std[j] + mean[j]
    torch.testing.assert_close(exchange(norm, x, j), expected.reshape(x.shape), rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", VIEWS)
def test_moments_become_those_of_the_partner(norm):
    x, j = draw(3, 8, 4, 5), [2, 0, 1]
    (mean, var), (new_mean, new_var) = mean_and_var(x, norm), mean_and_var(exchange(norm, x, j), norm)
    torch.testing.assert_close(new_mean, mean[j], rtol=0, atol=1e-9)
    torch.testing.assert_close(new_var, var * (var[j] + EPS) / (var + EPS), rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", VIEWS)
def test_normalized_map_is_kept(norm):
    x = draw(3, 8, 4, 5)
    plain = fm.normalizer(norm, eps=1e-12)
    kept = plain.normalize(exchange(norm, x, [2, 0, 1]))[0]
    torch.testing.assert_close(kept, plain.normalize(x)[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", VIEWS)
def test_identity_is_bitwise_and_the_inverse_undoes(norm):
    x = draw(3, 8, 4, 5)
    assert torch.equal(exchange(norm, x, [0, 1, 2]), x)
    moex = fm.MoEx(norm, eps=1e-12)
    there = moex.transform(x, moex.make_params(x.shape, partner=torch.tensor([2, 0, 1])))
    back = moex.transform(there, moex.make_params(x.shape, partner=torch.tensor([1, 2, 0])))
    torch.testing.assert_close(back, x, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("detach", "reaches"), [(False, True), (True, False)])
def test_gradient_reaches_the_partner_unless_detached(detach, reaches):
    x = draw(3, 8, 4, 5).requires_grad_()
    exchange("pono", x, [2, 0, 1], detach=detach)[0].square().sum().backward()
    assert [bool(row.any()) for row in x.grad] == [True, False, reaches]


def test_detached_gradient_is_the_gain():
    x, j = draw(3, 8, 4, 5).requires_grad_(), [2, 0, 1]
    exchange("in", x, j, detach=True).sum().backward()
    std = (x.detach().var((2, 3), keepdim=True) + EPS).sqrt()
    torch.testing.assert_close(x.grad, (std[j] / std).expand_as(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", ["pono", "gn2"])
def test_gradcheck(norm):
    assert gradcheck(lambda x: exchange(norm, x, [2, 0, 1]), draw(3, 4, 2, 3).requires_grad_())


def test_positive_only_restores_over_the_original_support():
    x, j = draw(3, 8, 4, 5), [2, 0, 1]
    y = exchange("in", x, j, positive_only=True)
    support = x > 0
    count = support.sum((2, 3))
    mean = (x * support).sum((2, 3)) / count
    torch.testing.assert_close((y * support).sum((2, 3)) / count, mean[j], rtol=0, atol=1e-9)
    assert not torch.equal(y[~support], x[~support])  # the affine map reaches every entry


def test_biased_variance_on_request():
    x, j = draw(3, 8, 4, 5), [2, 0, 1]
    std = (x.var((2, 3), correction=0, keepdim=True) + EPS).sqrt()
    mean = x.mean((2, 3), keepdim=True)
    expected = (x - mean) / std * std[j] + mean[j]
    torch.testing.assert_close(exchange("in", x, j, unbiased=False), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("axes", "order"), [("bhwc", (0, 2, 3, 1)), ("bchw", (0, 1, 2, 3))])
def test_layouts(axes, order):
    x, j = draw(3, 8, 4, 5), [2, 0, 1]
    got = exchange("gn2", x.permute(order), j, layout=axes)
    torch.testing.assert_close(got, exchange("gn2", x, j).permute(order), rtol=0, atol=1e-12)


def test_tokens():
    x, j = draw(3, 8, 4, 5), [2, 0, 1]
    got = exchange("pono", x.flatten(2).transpose(1, 2), j, layout="bnc")
    torch.testing.assert_close(got, exchange("pono", x, j).flatten(2).transpose(1, 2), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("norm", "shape"), [("in", (4, 8, 1, 1)), ("pono", (4, 1, 5, 5)), ("gpono-d1", (4, 8, 5, 5)), ("in", (4, 8))]
)
def test_one_element_a_group_passes_through_with_its_label(norm, shape):
    moex, x = fm.MoEx(norm), draw(*shape)
    params = moex.make_params(x.shape)
    assert torch.equal(moex.transform(x, params), x)
    assert torch.equal(params.mixture.matrix(), torch.eye(4))


@pytest.mark.parametrize("lam", [0, 0.3, 1])
def test_lam_touches_the_labels_only(lam):
    moex, x = fm.MoEx(lam=lam), draw(3, 8, 4, 5)
    params = moex.make_params(x.shape, partner=torch.tensor([2, 0, 1]))
    torch.testing.assert_close(params.mixture.matrix(), lam * torch.eye(3) + (1 - lam) * torch.eye(3)[[2, 0, 1]])
    other = dataclasses.replace(params, lam=torch.zeros(3))
    assert torch.equal(moex.transform(x, other), moex.transform(x, params))


def test_flat_receiver_is_finite():
    x = draw(2, 8, 4, 4)
    x[0] = 3.0
    y = exchange("in", x.requires_grad_(), [1, 0])
    y.square().sum().backward()
    torch.testing.assert_close(y[0], x[1].mean((1, 2), keepdim=True).expand_as(y[0]), rtol=0, atol=1e-9)
    assert bool(x.grad.isfinite().all())


def test_bn_is_refused_with_the_reason():
    with pytest.raises(fm.FeatmixError, match=r"MoEx: norm: expected an intra-instance.*got 'bn'.*belong to the whole batch"):
        fm.MoEx("bn")


@pytest.mark.parametrize("lam", [-0.1, 1.1, float("nan"), "0.9", None])
def test_bad_lam_is_refused(lam):
    with pytest.raises(fm.FeatmixError, match=r"MoEx: lam: expected a number in \[0, 1\]"):
        fm.MoEx(lam=lam)


def test_bad_eps_and_groups_are_refused():
    with pytest.raises(fm.FeatmixError, match="eps: expected a positive finite number"):
        fm.MoEx(eps=float("nan"))
    with pytest.raises(fm.FeatmixError, match="channels that 3 divides, got 8 channels"):
        fm.MoEx("gn3")(draw(2, 8, 4, 4))
    with pytest.raises(fm.FeatmixError, match="the layout of its normalizer, 'bnc'"):
        fm.MoEx(fm.normalizer("in", layout="bnc"), layout="bct")
