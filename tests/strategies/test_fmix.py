import pytest
import torch

import featmix as fm

LAYOUTS = {"bchw": (6, 3, 9, 12), "bhwc": (6, 9, 12, 3), "bct": (6, 3, 40), "bcdhw": (6, 3, 5, 6, 7)}


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def decision(fmix, shape, seed=0, **given):
    return fmix.make_params(shape, generator=torch.Generator().manual_seed(seed), **given)


@pytest.mark.parametrize("axes", LAYOUTS)
def test_a_place_is_the_own_or_the_partners_in_all_channels(axes):
    fmix, x = fm.FMix(layout=axes), draw(*LAYOUTS[axes])
    params = decision(fmix, x.shape)
    y = fmix.transform(x, params)
    own, other = y == x, y == x[params.partner]
    assert bool((own | other).all())
    assert bool(own.any())
    assert bool(other.any())
    channel = axes.index("c")
    assert torch.equal(own, own.select(channel, 0).unsqueeze(channel).expand_as(own))


def test_the_batch_shares_one_mask_and_samples_may_have_their_own():
    shared, own = (decision(fm.FMix(lam_per=per), (8, 3, 16, 16)).share for per in ("batch", "sample"))
    assert bool((shared == shared[:1]).all())
    assert not bool((own == own[:1]).all())


def test_the_mask_has_the_share_that_was_drawn_up_to_one_position():
    fmix = fm.FMix(labels="sampled", lam_per="sample")
    for seed in range(20):
        params = decision(fmix, (8, 3, 9, 12), seed)
        mean = 1 - params.share.double().mean((1, 2, 3))
        assert bool(((mean - params.lam).abs() < 1 / (9 * 12)).all())


def test_labels_by_default_are_what_the_features_hold():
    fmix = fm.FMix(lam_per="sample")
    params = decision(fmix, (8, 3, 9, 12))
    assert torch.equal(params.lam, (1 - params.share.double().mean((1, 2, 3))).float())
    rows = torch.arange(8)
    assert torch.equal(params.mixture.matrix()[rows, params.partner], 1 - params.lam)


def test_a_soft_mask_blends_on_a_ramp_and_lies_between():
    fmix, x = fm.FMix(max_soft=0.2, lam_per="sample"), draw(6, 3, 16, 16)
    params = decision(fmix, x.shape)
    share = params.share
    assert share.dtype == torch.float32
    assert bool(((share > 0) & (share < 1)).any())
    y, partner = fmix.transform(x, params), x[params.partner]
    assert bool((y <= torch.maximum(x, partner) + 1e-12).all())
    assert bool((y >= torch.minimum(x, partner) - 1e-12).all())
    torch.testing.assert_close(y, x + share * (partner - x), rtol=0, atol=1e-6)


def test_masks_are_connected_regions_and_not_noise():
    """Neighbours differ along an outline only: of independent positions half would."""
    share = decision(fm.FMix(lam_per="sample"), (32, 3, 32, 32)).share[:, 0]
    mixed = (share.double().mean((1, 2)) - 0.5).abs() < 0.3
    assert int(mixed.sum()) > 5
    changes = (share[mixed][:, 1:] != share[mixed][:, :-1]).double().mean()
    assert 0 < float(changes) < 0.15


def test_reformulated_labels_stay_and_lam_leans_to_the_sample():
    fmix = fm.FMix(reformulate=True, lam_per="sample")
    params = decision(fmix, (2000, 1, 4, 4))
    assert torch.equal(params.mixture.matrix(), torch.eye(2000))
    assert abs(float(params.lam.mean()) - 2 / 3) < 0.02  # the mean of Beta(2, 1)


def test_alpha_0_is_identity():
    fmix, x = fm.FMix(alpha=0), draw(4, 3, 8, 8)
    params = decision(fmix, x.shape)
    assert torch.equal(fmix.transform(x, params), x)
    assert torch.equal(params.mixture.matrix(), torch.eye(4))


def test_the_published_spectrum_is_another():
    same = [decision(fm.FMix(spectrum=spectrum), (4, 3, 16, 16)).share for spectrum in ("intended", "published")]
    assert not torch.equal(*same)


@pytest.mark.parametrize("spectrum", ["intended", "published"])
@pytest.mark.parametrize("shape", [(3, 2, 1, 1), (3, 2, 1, 9), (5, 1, 2, 2), (3, 2, 7, 5), (1, 3, 8, 8), (0, 3, 8, 8)], ids=str)
def test_small_maps_and_batches(shape, spectrum):
    """Of height 1 the published code fails."""
    fmix, x = fm.FMix(lam_per="sample", spectrum=spectrum), draw(*shape)
    params = decision(fmix, shape)
    y = fmix.transform(x, params)
    assert bool(((y == x) | (y == x[params.partner])).all())
    assert params.mixture.matrix().shape == (shape[0], shape[0])


@pytest.mark.parametrize("settings", [{"max_soft": 0.6}, {"decay": -1}, {"labels": "drawn"}, {"spectrum": "full"}])
def test_bad_settings_are_refused(settings):
    with pytest.raises(fm.FeatmixError, match=f"FMix: {next(iter(settings))}"):
        fm.FMix(**settings)
