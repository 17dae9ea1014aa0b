"""Strategies on features whose axes have names of their own: spectrograms, videos, and more axes than have a usual layout."""

import pytest
import torch

import featmix as fm
from featmix import FeatmixError
from featmix.testing import check_strategy


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 + 0.5


def decided(strategy, shape, **more):
    return strategy.make_params(shape, generator=torch.Generator().manual_seed(1), **more)


def test_mixstyle_over_channels_and_time_is_freq_mixstyle():
    strategy = fm.MixStyle("over:ct", layout="bcft", alpha=0.3, p=1.0, partner="permutation")
    x = draw(6, 2, 16, 11)
    params = decided(strategy, x.shape)
    mean, std = x.mean((1, 3), keepdim=True), (x.var((1, 3), keepdim=True) + 1e-6).sqrt()
    lam = params.lam.double().view(-1, 1, 1, 1)
    new_mean = lam * mean + (1 - lam) * mean[params.partner]
    new_std = lam * std + (1 - lam) * std[params.partner]
    torch.testing.assert_close(strategy.transform(x, params), (x - mean) / std * new_std + new_mean, rtol=0, atol=1e-9)
    leaf = x.clone().requires_grad_()
    strategy.transform(leaf, params).sum().backward()
    torch.testing.assert_close(leaf.grad, (new_std / std).expand_as(x))  # moments are constants


def test_moex_over_the_pixels_of_each_frame():
    strategy, x = fm.MoEx("over:hw", layout="btchw", p=1.0), draw(4, 3, 2, 5, 6)
    params = decided(strategy, x.shape)
    y = strategy.transform(x, params)
    torch.testing.assert_close(y.mean((3, 4)), x[params.partner].mean((3, 4)), rtol=0, atol=1e-4)


def test_cutmix_cuts_frames_rows_and_columns_of_a_video_and_no_channels():
    strategy, x = fm.CutMix(layout="btchw", p=1.0), draw(4, 6, 3, 8, 8)
    params = decided(strategy, x.shape)
    assert params.sizes == (6, 8, 8)
    y = strategy.transform(x, params)
    for row, box in enumerate(params.box.tolist()):
        expected = x[row].clone()
        (t0, t1), (h0, h1), (w0, w1) = box
        expected[t0:t1, :, h0:h1, w0:w1] = x[params.partner[row], t0:t1, :, h0:h1, w0:w1]
        assert torch.equal(y[row], expected)
        share = 1 - (t1 - t0) * (h1 - h0) * (w1 - w0) / (6 * 8 * 8)
        assert params.mixture.weight[row, 0].item() == pytest.approx(share)


@pytest.mark.parametrize("strategy", [fm.Mixup(layout="btcdhw"), fm.MoEx("over:chw", layout="btcdhw")], ids=repr)
def test_six_axes(strategy):
    x = draw(3, 2, 4, 2, 3, 3)
    y = strategy.transform(x, decided(strategy, x.shape))
    assert y.shape == x.shape
    assert not torch.equal(y, x)


@pytest.mark.parametrize(
    "strategy",
    [
        fm.MixStyle("over:ct", layout="bcft", p=1.0),
        fm.CrossNorm("over:ct", layout="bcft", p=1.0, shuffle=True),
        fm.MoEx("over:f", layout="btcf", p=1.0),
        fm.DSU("over:ct", layout="bcft", p=1.0),
        fm.CutMix(layout="bcft"),
    ],
    ids=repr,
)
def test_laws_hold(strategy):
    results = check_strategy(strategy, examples=5, dtypes=(torch.float32,))
    assert [r.name for r in results if r.status == "failed"] == []


@pytest.mark.parametrize("size", [1, 2])
def test_a_mask_leaves_alone_what_has_no_mean_on_both_sides(size):
    strategy = fm.MoEx("over:ct", layout="bcft", p=1.0)
    x = draw(2, size, 3, 4)
    mask = torch.ones(2, 3, 4, dtype=torch.bool)
    mask[0, 0] = False  # nothing is real of the first row's lowest frequency
    mask[1, 1, 1:] = False  # one element of the second row's next one, with one channel
    params = decided(strategy, x.shape, mask=mask)
    y = strategy.transform(x, params)
    assert torch.equal(y[:, :, 0], x[:, :, 0])
    if size == 1:
        assert not params.active.any()  # a frequency with one real element would lose it
    else:
        torch.testing.assert_close(y[0, :, 1].mean(), x[1, :, 1, :1].mean(), rtol=0, atol=1e-3)
        torch.testing.assert_close(y[1, :, 2].mean(), x[0, :, 2].mean(), rtol=0, atol=1e-3)


def test_crops_and_covariances_need_whole_maps():
    with pytest.raises(FeatmixError, match="A crop has moments of its own under in, ln"):
        fm.CrossNorm("over:ct", layout="bcft", crop="both")
    with pytest.raises(FeatmixError, match="expected a normalizer over positions"):
        fm.create("csu", norm="over:ct", layout="bcft")


def test_one_compiled_graph_whatever_the_axes_are_called():
    strategy, x = fm.MixStyle("over:cq", layout="bcfq", p=1.0), draw(4, 2, 5, 7).float()
    params = decided(strategy, x.shape)
    compiled = torch.compile(strategy.transform, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, params), strategy.transform(x, params))


def test_the_preset_for_acoustic_scenes():
    (leaf,) = fm.preset("mixstyle/dcase").leaves()
    strategy = leaf.strategy
    assert (leaf.site, strategy.norm, strategy.layout, strategy.partner) == ("input", "over:ct", "bcft", "permutation")
    assert (strategy.p, strategy.alpha, strategy.eps, strategy.unbiased, strategy.detach) == (0.4, 0.3, 1e-6, True, True)
