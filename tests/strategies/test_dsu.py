import dataclasses

import pytest
import torch

import featmix as fm
from featmix.strategies.dsu import DSU


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def decision(dsu, x, seed=0, **more):
    return dsu.make_params(x.shape, generator=torch.Generator().manual_seed(seed), **more)


def test_formula():
    x, dsu = draw(4, 3, 5, 6), DSU(p=1.0)
    params = decision(dsu, x)
    mean, std = x.mean((2, 3), keepdim=True), (x.var((2, 3), keepdim=True) + 1e-6).sqrt()
    beta = mean + params.mean_noise * (mean.var(0, keepdim=True) + 1e-6).sqrt()
    gamma = std + params.std_noise * (std.var(0, keepdim=True) + 1e-6).sqrt()
    y = dsu.transform(x, params)
    torch.testing.assert_close(y, (x - mean) / std * gamma + beta)
    torch.testing.assert_close(y.mean((2, 3), keepdim=True), beta)


def test_without_noise_nothing_changes():
    x, dsu = draw(4, 3, 5, 6), DSU(p=1.0, strength=0.0)
    torch.testing.assert_close(dsu.transform(x, decision(dsu, x)), x)


def test_strength_scales_the_noise():
    x = draw(4, 3, 5, 6)
    once, twice = decision(DSU(p=1.0), x), decision(DSU(p=1.0, strength=2.0), x)
    torch.testing.assert_close(twice.mean_noise, 2 * once.mean_noise)
    torch.testing.assert_close(twice.std_noise, 2 * once.std_noise)


def test_normalized_map_is_kept_up_to_sign():
    x, dsu, norm = draw(6, 3, 5, 6), DSU(p=1.0, strength=30.0), fm.normalizer("in", eps=1e-12)
    y = dsu.transform(x, decision(dsu, x))
    before, after = norm.normalize(x)[0], norm.normalize(y)[0]
    sign = (before * after).sum((2, 3), keepdim=True).sign()
    torch.testing.assert_close(after, sign * before, rtol=1e-5, atol=1e-5)
    assert bool((sign < 0).any())  # a negative standard deviation mirrors the map, as published


def test_identical_samples_have_the_spread_of_eps():
    x, dsu = draw(1, 3, 5, 6).expand(4, -1, -1, -1).clone(), DSU(p=1.0, eps=1e-4)
    params = decision(dsu, x)
    moved = dsu.transform(x, params).mean((2, 3)) - x.mean((2, 3))
    torch.testing.assert_close(moved, 1e-2 * params.mean_noise.flatten(1).double())


def test_noise_is_standard_normal_and_of_its_own_for_each_sample_and_channel():
    params = decision(DSU(p=1.0), torch.empty(200, 50, 2, 2))
    for noise in (params.mean_noise, params.std_noise):
        assert noise.shape == (200, 50, 1, 1)
        assert abs(float(noise.mean())) < 0.05
        assert abs(float(noise.std()) - 1) < 0.05
    assert abs(float((params.mean_noise * params.std_noise).mean())) < 0.05


def test_a_batch_of_one_passes_through():
    x, dsu = draw(1, 3, 5, 6), DSU(p=1.0)
    params = decision(dsu, x)
    assert not params.active.any()
    assert torch.equal(dsu.transform(x, params), x)


def test_rows_that_are_all_padding_do_not_count_in_the_spread():
    x, dsu = draw(4, 6, 3), DSU(p=1.0, layout="bnc")
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[3] = False
    params = decision(dsu, x, mask=mask)
    fewer = dataclasses.replace(
        params, **{name: value[:3] for name, value in params.per_row().items()}, mixture=fm.Mixture.identity(3)
    )
    torch.testing.assert_close(dsu.transform(x, params)[:3], dsu.transform(x[:3], fewer))


def test_no_partner_is_chosen():
    assert "partner" not in DSU.setting_names()
    with pytest.raises(fm.FeatmixError, match="partner: expected a setting of this strategy"):
        fm.create("dsu", partner="permutation")


def test_the_shape_has_to_be_known():
    mixer = fm.attach(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)), {"0": DSU()})
    with pytest.raises(fm.FeatmixError, match=r"Pass attach\(\.\.\., example=images\)"):
        mixer.draw(torch.zeros(2, 3, 5, 5))


def test_masks_where_each_position_has_its_own_moments_are_refused():
    with pytest.raises(fm.FeatmixError, match="cannot tell padding from content"):
        DSU("pono", layout="bnc").make_params((2, 4, 3), mask=torch.ones(2, 4, dtype=torch.bool))
