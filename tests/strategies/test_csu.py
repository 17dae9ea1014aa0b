import dataclasses

import pytest
import torch

import featmix as fm
from featmix.strategies.csu import CorrelatedStyleUncertainty as CSU
from featmix.strategies.csu import correlated


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def decision(csu, x, seed=0, **more):
    return csu.make_params(x.shape, generator=torch.Generator().manual_seed(seed), **more)


def root(apart):
    return correlated(torch.eye(apart.shape[1], dtype=apart.dtype), apart)


@pytest.mark.parametrize("batch", [3, 5, 20])
def test_root_is_symmetric_and_its_square_is_the_covariance(batch):
    apart = draw(batch, 5)
    m = root(apart)
    torch.testing.assert_close(m, m.T)
    torch.testing.assert_close(m @ m, apart.T @ apart, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("batch", [2, 3, 9])
def test_root_is_the_published_one(batch):
    apart, eps = draw(batch, 4) - draw(batch, 4).mean(0), 1e-6
    covariance = apart.T @ apart
    vectors = torch.linalg.eigh(4 * covariance + eps * torch.eye(4)).eigenvectors
    variances = (vectors.T @ covariance @ vectors).diagonal().clamp(min=1e-12)
    torch.testing.assert_close(root(apart), vectors @ variances.sqrt().diag() @ vectors.T, rtol=1e-7, atol=1e-7)


def test_small_deviations_beside_large_ones_do_not_depend_on_the_order_of_the_rows():
    turned = torch.linalg.qr(draw(4, 4, seed=1)).Q
    apart = draw(5, 4) * torch.tensor([1e5, 1e2, 1e-3, 1e-4], dtype=torch.float64) @ turned
    torch.testing.assert_close(root(apart.flip(0)), root(apart), rtol=0, atol=1e-8)  # 1e5 in float64, some hundred roundings


def test_noise_varies_as_the_moments_do():
    x = draw(8, 3, 4, 4) * torch.tensor([1.0, 3.0, 0.2]).view(3, 1, 1) + draw(8, 1, 1, 1, seed=1)
    mean = x.mean((2, 3))
    covariance = (mean - mean.mean(0)).T @ (mean - mean.mean(0)) / 8
    csu, moved = CSU(p=1.0, alpha=0.0), []
    for seed in range(2000):
        params = decision(csu, x, seed)
        params = dataclasses.replace(params, lam=torch.full_like(params.lam, 0.25))  # f is 0.75
        moved.append(csu.transform(x, params).mean((2, 3)) - mean)
    noise = torch.cat(moved)
    torch.testing.assert_close(noise.T @ noise / len(noise), 0.75**2 * covariance, rtol=0.05, atol=0.02)


def test_no_strength_no_change():
    x, csu = draw(4, 3, 5, 6), CSU(p=1.0)
    params = decision(csu, x)
    none = dataclasses.replace(params, lam=torch.ones_like(params.lam))
    torch.testing.assert_close(csu.transform(x, none), x)


def test_strength_is_the_same_for_mean_and_std_and_one_minus_lam():
    x, csu = draw(4, 3, 5, 6), CSU(p=1.0)
    params = decision(csu, x)
    full = dataclasses.replace(params, lam=torch.zeros_like(params.lam))

    mean, std = x.mean((2, 3), keepdim=True), (x.var((2, 3), keepdim=True) + 1e-6).sqrt()

    def new_moments(params):
        moved = csu.new_moments(fm.normalizer("in", eps=1e-6).moments(x), None, params)
        return moved.mean, moved.std

    f = (1 - params.lam).double().view(-1, 1, 1, 1)
    for own, whole, part in zip((mean, std), new_moments(full), new_moments(params), strict=True):
        assert float((whole - own).abs().min()) > 1e-6  # there is noise to be scaled
        torch.testing.assert_close(part - own, f * (whole - own))


def test_signs_of_eigenvectors_do_not_matter(monkeypatch):
    x, csu = draw(4, 3, 5, 6), CSU(p=1.0)
    params = decision(csu, x)
    y, real = csu.transform(x, params), torch.linalg.svd

    def flipped(a, **given):
        u, s, vh = real(a, **given)
        signs = torch.ones(vh.shape[-2], 1, dtype=vh.dtype)
        signs[::2] = -1
        return torch.return_types.linalg_svd((u, s, signs * vh))

    monkeypatch.setattr(torch.linalg, "svd", flipped)
    torch.testing.assert_close(csu.transform(x, params), y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(4, 1, 5, 5), (4, 3, 5, 5), (2, 8, 3, 3)])
def test_any_dtype_and_a_single_channel(dtype, shape):
    x, csu = draw(*shape).to(dtype), CSU(p=1.0)
    y = csu.transform(x, decision(csu, x))
    assert y.dtype == dtype
    assert y.isfinite().all()


def test_a_batch_of_one_passes_through():
    x, csu = draw(1, 3, 5, 6), CSU(p=1.0)
    assert torch.equal(csu.transform(x, decision(csu, x)), x)


def test_gradient_is_that_with_frozen_eigenvectors():
    x, csu = draw(4, 3, 3, 3), CSU(p=1.0)
    params = decision(csu, x)

    def covariance_root(apart, vectors):
        return (vectors * (vectors.T @ (apart.T @ apart) @ vectors).diagonal().clamp(min=1e-12).sqrt()) @ vectors.T

    def formula(z, frozen):
        mean, std = z.mean((2, 3)), (z.var((2, 3)) + 1e-6).sqrt()
        f, moved = (1 - params.lam.double()).view(-1, 1), []
        for values, noise, vectors in zip((mean, std), (params.mean_noise, params.std_noise), frozen, strict=True):
            moved.append(values + f * (noise.double() @ covariance_root((values - values.mean(0)) / 2, vectors)))
        xh = (z - mean[:, :, None, None]) / std[:, :, None, None]
        return xh * moved[1][:, :, None, None] + moved[0][:, :, None, None]

    frozen = []
    for values in (x.mean((2, 3)), (x.var((2, 3)) + 1e-6).sqrt()):
        apart = (values - values.mean(0)) / 2
        frozen.append(torch.linalg.eigh(3 * apart.T @ apart + 1e-6 * torch.eye(3)).eigenvectors)
    weight, grads = draw(4, 3, 3, 3, seed=9), []
    for function in (lambda z: csu.transform(z, params), lambda z: formula(z, frozen)):
        leaf = x.clone().requires_grad_()
        (function(leaf) * weight).sum().backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-7, atol=1e-9)


def test_moments_of_single_positions_are_refused():
    with pytest.raises(fm.FeatmixError, match="norm: expected a normalizer over positions"):
        CSU("pono")
