import dataclasses

import pytest
import torch

import featmix as fm
from featmix.strategies.csu import CorrelatedStyleUncertainty as CSU
from featmix.strategies.csu import _root


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def decision(csu, x, seed=0, **more):
    return csu.make_params(x.shape, generator=torch.Generator().manual_seed(seed), **more)


@pytest.mark.parametrize("batch", [3, 5, 20])
def test_root_is_symmetric_and_its_square_is_the_covariance(batch):
    apart = draw(batch, 5)
    root = _root(apart, 1e-6)
    torch.testing.assert_close(root, root.T)
    torch.testing.assert_close(root @ root, apart.T @ apart, rtol=1e-9, atol=1e-9)


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

    def moments(y):
        return torch.stack([y.mean((2, 3)), y.std((2, 3))])

    before, whole, part = (moments(t) for t in (x, csu.transform(x, full), csu.transform(x, params)))
    f = (1 - params.lam).double().view(1, -1, 1)
    torch.testing.assert_close(part[0] - before[0], (f * (whole - before))[0], rtol=1e-5, atol=1e-6)
    positive = (whole[1] > 1e-3) & (part[1] > 1e-3)
    assert positive.any()


def test_signs_of_eigenvectors_do_not_matter(monkeypatch):
    x, csu = draw(4, 3, 5, 6), CSU(p=1.0)
    params = decision(csu, x)
    y = csu.transform(x, params)
    real = torch.linalg.eigh

    def flipped(a):
        values, vectors = real(a)
        return torch.return_types.linalg_eigh((values, -vectors))

    monkeypatch.setattr(torch.linalg, "eigh", flipped)
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
