import pytest
import torch
from torch.nn import functional as F

import featmix as fm

LAYOUTS = {"bchw": (6, 3, 9, 12), "bhwc": (6, 9, 12, 3), "bct": (6, 3, 40), "bcdhw": (6, 3, 5, 6, 7)}


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def decision(resizemix, shape, seed=0, **given):
    return resizemix.make_params(shape, generator=torch.Generator().manual_seed(seed), **given)


def test_outside_the_box_bit_for_bit_inside_the_whole_partner_shrunk():
    resizemix, x = fm.ResizeMix(lam_per="sample"), draw(6, 3, 9, 12)
    for seed in range(5):
        params = decision(resizemix, x.shape, seed)
        expected = x.clone()
        for i, ((top, bottom), (left, right)) in enumerate(params.box.tolist()):
            lines = [k * 9 // (bottom - top) for k in range(bottom - top)]
            columns = [k * 12 // (right - left) for k in range(right - left)]
            expected[i, :, top:bottom, left:right] = x[params.partner[i]][:, lines][:, :, columns]
        assert torch.equal(resizemix.transform(x, params), expected)


@pytest.mark.parametrize("axes", LAYOUTS)
def test_boxes_are_inside_and_the_label_share_is_their_area(axes):
    resizemix, shape = fm.ResizeMix(layout=axes, lam_per="sample"), LAYOUTS[axes]
    sources = torch.arange(6.0).view(-1, *[1] * (len(shape) - 1)).expand(shape).contiguous()
    for seed in range(10):
        params = decision(resizemix, shape, seed)
        sizes = torch.tensor(params.sizes)
        assert bool((params.box[..., 0] >= 0).all())
        assert bool((params.box[..., 1] <= sizes).all())
        assert bool((params.box[..., 1] > params.box[..., 0]).all())
        own = (resizemix.transform(sources, params).flatten(1) == torch.arange(6.0).unsqueeze(1)).double().mean(1)
        assert torch.equal(own.float(), params.lam)
        assert bool((1 - params.lam <= 0.8 ** len(sizes) + 1e-6).all())
        assert bool((1 - params.lam > 0).all())


def test_the_scope_holds():
    params = decision(fm.ResizeMix(scope=(0.5, 0.5)), (4, 3, 20, 30))
    assert (params.box[..., 1] - params.box[..., 0]).tolist() == [[10, 15]] * 4
    assert len(params.box[..., 0].unique(dim=0)) > 1  # each sample has a place of its own


def test_one_size_for_the_batch_or_one_a_sample():
    for per, different in (("batch", False), ("sample", True)):
        box = decision(fm.ResizeMix(lam_per=per), (16, 3, 32, 32)).box
        assert (len((box[..., 1] - box[..., 0]).unique(dim=0)) > 1) is different


def test_a_row_that_is_its_own_partner_stays():
    resizemix, x = fm.ResizeMix(partner="permutation"), draw(4, 3, 8, 8)
    params = decision(resizemix, x.shape, partner=torch.tensor([0, 2, 1, 3]))
    y = resizemix.transform(x, params)
    assert torch.equal(y[[0, 3]], x[[0, 3]])
    assert params.lam[[0, 3]].tolist() == [1.0, 1.0]
    assert not torch.equal(y[1], x[1])


@pytest.mark.parametrize("shape", [(3, 2, 1, 1), (3, 2, 1, 9), (5, 1, 2, 2), (1, 3, 8, 8), (0, 3, 8, 8)], ids=str)
def test_small_maps_and_batches(shape):
    """Where ``floor(tau * S)`` is 0 the published code fails; here one position is pasted."""
    resizemix, x = fm.ResizeMix(scope=(0.1, 0.1)), draw(*shape)
    params = decision(resizemix, shape)
    assert bool(resizemix.transform(x, params).isfinite().all())
    if shape[0] > 1:
        assert bool((params.lam < 1).all())
        assert bool(((params.box[..., 1] - params.box[..., 0]) == 1).all())


@pytest.mark.parametrize("shape", [(5, 3, 32, 32), (5, 3, 33, 21), (5, 3, 17, 40)], ids=str)
@pytest.mark.parametrize("lam_per", ["batch", "sample"])
def test_the_published_grid_is_that_of_interpolate_with_a_scale_factor(shape, lam_per):
    published, x = fm.ResizeMix(sampling="published", lam_per=lam_per), draw(*shape)
    whole, pasted, alike = fm.ResizeMix(lam_per=lam_per), 0, 0
    for seed in range(10):
        params = decision(published, shape, seed)
        y = published.transform(x, params)
        same = whole.transform(x, decision(whole, shape, seed))
        expected = x.clone()
        for i, ((top, bottom), (left, right)) in enumerate(params.box.tolist()):
            tau = tau_of(published, shape, seed, i if lam_per == "sample" else 0)
            small = F.interpolate(x[params.partner[i]][None], scale_factor=tau, mode="nearest")[0]
            assert small.shape[1:] == (bottom - top, right - left)
            expected[i, :, top:bottom, left:right] = small
            pasted += small.numel()
            alike += int((same[i, :, top:bottom, left:right] == small).sum())
        assert torch.equal(y, expected)
        assert torch.equal(params.lam, decision(whole, shape, seed).lam)
    assert 0.4 < 1 - alike / pasted < 0.9  # so many pasted pixels differ


def tau_of(resizemix, shape, seed, row):
    """The ``tau`` of a row, in full precision: its draws once more."""
    taken = []

    class Watched(fm.ResizeMix):
        def decide(self, shape, draw):
            state = draw.random.bit_generator.state
            taken.append(0.1 + 0.7 * draw.random.random(draw.count(self.lam_per)))
            draw.random.bit_generator.state = state
            return super().decide(shape, draw)

    decision(Watched(**resizemix.settings()), shape, seed)
    return float(taken[0][row])


def test_the_published_grid_in_label_maps_and_in_the_oracle():
    published = fm.ResizeMix(sampling="published", lam_per="sample")
    maps = torch.randint(5, (4, 30, 30), generator=torch.Generator().manual_seed(0))
    params = decision(published, (4, 3, 30, 30), 1)
    image = maps.unsqueeze(1).double().expand(-1, 3, -1, -1).contiguous()
    assert torch.equal(published.dense_targets(maps, params).double(), published.transform(image, params)[:, 0])
    assert torch.equal(torch.from_numpy(published.oracle(image.numpy(), params)), published.transform(image, params))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.float16])
def test_any_dtype_will_do(dtype):
    resizemix, x = fm.ResizeMix(), (100 * draw(4, 3, 8, 8).abs()).to(dtype)
    params = decision(resizemix, x.shape)
    y = resizemix.transform(x, params)
    assert y.dtype == dtype
    assert torch.equal(y.double(), resizemix.transform(x.double(), params))


@pytest.mark.parametrize("scope", [(0.0, 0.5), (0.6, 0.5), (0.1, 1.1), (0.1,), "01", 0.5])
def test_bad_scopes_are_refused(scope):
    with pytest.raises(fm.FeatmixError, match="ResizeMix: scope"):
        fm.ResizeMix(scope=scope)
