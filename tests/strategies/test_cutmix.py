import pytest
import torch

import featmix as fm

LAYOUTS = {"bchw": (6, 3, 9, 12), "bhwc": (6, 9, 12, 3), "bct": (6, 3, 40), "bcdhw": (6, 3, 5, 6, 7)}


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def decision(cutmix, shape, seed=0, **given):
    return cutmix.make_params(shape, generator=torch.Generator().manual_seed(seed), **given)


def test_published_formula():
    cutmix, x = fm.CutMix(lam_per="sample"), draw(6, 3, 9, 12)
    for seed in range(5):
        params = decision(cutmix, x.shape, seed)
        expected = x.clone()
        for i, ((top, bottom), (left, right)) in enumerate(params.box.tolist()):
            expected[i, :, top:bottom, left:right] = x[params.partner[i], :, top:bottom, left:right]
        assert torch.equal(cutmix.transform(x, params), expected)


@pytest.mark.parametrize("lam_per", ["batch", "sample"])
@pytest.mark.parametrize("axes", LAYOUTS)
def test_every_pixel_is_the_own_or_the_partners_at_the_same_place(axes, lam_per):
    cutmix, x = fm.CutMix(layout=axes, lam_per=lam_per), draw(*LAYOUTS[axes])
    params = decision(cutmix, x.shape)
    y = cutmix.transform(x, params)
    own, other = y == x, y == x[params.partner]
    assert bool((own | other).all())
    assert bool(other.any())
    channel = axes.index("c")
    assert torch.equal(own, own.select(channel, 0).unsqueeze(channel).expand_as(own))  # all channels of a place together


@pytest.mark.parametrize("lam_per", ["batch", "sample"])
@pytest.mark.parametrize("axes", LAYOUTS)
def test_the_label_share_is_the_area_exactly(axes, lam_per):
    cutmix, shape = fm.CutMix(layout=axes, lam_per=lam_per), LAYOUTS[axes]
    identity = torch.arange(6.0).view(-1, *[1] * (len(shape) - 1)).expand(shape).contiguous()
    for seed in range(10):
        params = decision(cutmix, shape, seed)
        y = cutmix.transform(identity, params).flatten(1)
        own = (y == torch.arange(6.0).unsqueeze(1)).double().mean(1)
        assert torch.equal(own.float(), params.lam)
        content = torch.stack([(y == k).double().mean(1) for k in range(6)], dim=1)
        torch.testing.assert_close(params.mixture.matrix().double(), content, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("lam_per", "different"), [("sample", True), ("batch", False)])
def test_one_box_for_the_batch_or_one_a_sample(lam_per, different):
    box = decision(fm.CutMix(lam_per=lam_per), (16, 3, 32, 32)).box
    assert (len(box.unique(dim=0)) > 1) is different


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.bool, torch.float16, torch.bfloat16])
def test_any_dtype_will_do(dtype):
    cutmix, x = fm.CutMix(), (100 * draw(4, 3, 8, 8).abs()).to(dtype)
    params = decision(cutmix, x.shape)
    y = cutmix.transform(x, params)
    assert y.dtype == dtype
    assert bool(((y == x) | (y == x[params.partner])).all())


def test_alpha_0_is_identity():
    cutmix, x = fm.CutMix(alpha=0), draw(4, 3, 8, 8)
    params = decision(cutmix, x.shape)
    assert torch.equal(cutmix.transform(x, params), x)
    assert torch.equal(params.mixture.matrix(), torch.eye(4))


@pytest.mark.parametrize("shape", [(3, 2, 1, 1), (3, 2, 1, 9), (5, 1, 2, 2), (1, 3, 8, 8), (0, 3, 8, 8)], ids=str)
def test_small_maps_and_batches(shape):
    cutmix, x = fm.CutMix(lam_per="sample"), draw(*shape)
    params = decision(cutmix, shape)
    y = cutmix.transform(x, params)
    assert y.shape == x.shape
    if 1 in shape[2:]:  # a side of 1 leaves no room for a box
        assert torch.equal(y, x)
        assert bool((params.lam == 1).all())


def test_rows_that_are_not_active_have_an_empty_box():
    params = decision(fm.CutMix(p=0.5, per="sample", alpha=50), (40, 3, 16, 16))
    area = (params.box[..., 1] - params.box[..., 0]).prod(1)
    assert bool((area[~params.active] == 0).all())
    assert bool((area[params.active] > 0).all())
    assert bool((params.lam[~params.active] == 1).all())


def test_gradient_goes_where_the_pixels_come_from():
    cutmix, x = fm.CutMix(), draw(3, 2, 8, 8).requires_grad_()
    drawn = (decision(cutmix, x.shape, seed=seed, partner=torch.tensor([2, 0, 1])) for seed in range(50))
    params = next(params for params in drawn if 0 < params.lam[0] < 1)  # a box may be empty, or hold everything
    (grad,) = torch.autograd.grad(cutmix.transform(x, params)[0].sum(), x)
    inside = torch.zeros(8, 8, dtype=torch.bool)
    (top, bottom), (left, right) = params.box[0].tolist()
    inside[top:bottom, left:right] = True
    assert bool(inside.any())
    assert torch.equal(grad[0], (~inside).double().expand(2, 8, 8))
    assert torch.equal(grad[2], inside.double().expand(2, 8, 8))
    assert not bool(grad[1].any())


@pytest.mark.parametrize(("axes", "shape"), [("bnc", (4, 9, 8)), ("bc", (4, 8)), (None, (4, 9, 8)), (None, (4, 8))])
def test_tokens_and_plain_features_are_refused(axes, shape):
    cutmix = fm.CutMix(layout=axes)
    for attempt in (
        lambda: cutmix.make_params(shape),
        lambda: cutmix(torch.zeros(shape)),
        lambda: cutmix.eval()(torch.zeros(shape)),
    ):
        with pytest.raises(fm.FeatmixError, match="CutMix: layout: expected a layout whose positions form a grid: bchw"):
            attempt()


def test_a_decision_for_another_resolution_is_refused():
    cutmix = fm.CutMix()
    with pytest.raises(
        fm.FeatmixError, match=r"expected a box drawn for positions \(4, 4\), got \(8, 8\)\. Draw with the shape"
    ):
        cutmix.transform(draw(4, 3, 4, 4), decision(cutmix, (4, 3, 8, 8)))


def test_the_decision_of_another_strategy_is_refused():
    with pytest.raises(fm.FeatmixError, match=r"CutMix: params: expected a decision of this strategy, CutMixParams.*Params"):
        fm.CutMix().transform(draw(4, 3, 8, 8), fm.Mixup().make_params((4, 3, 8, 8)))


def test_the_batch_alone_is_no_shape_to_draw_a_box_for():
    with pytest.raises(fm.FeatmixError, match="CutMix: shape: expected the shape of the features, to decide for it"):
        fm.CutMix().make_params((4,))


def test_a_term_of_the_own_label_is_not_what_features_hold():
    cutmix, plain = fm.CutMix(own_term=0.5), fm.CutMix()
    for seed in range(3):
        params, usual = decision(cutmix, (6, 3, 8, 8), seed), decision(plain, (6, 3, 8, 8), seed)
        assert torch.equal(params.lam, usual.lam)
        assert torch.equal(params.box, usual.box)
        torch.testing.assert_close(params.mixture.weight[:, 0], 0.5 + 0.5 * usual.lam)
    mask = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.7
    masked, usual = (decision(one, (6, 3, 8, 8), 1, mask=mask).mixture for one in (cutmix, plain))
    torch.testing.assert_close(masked.matrix(), 0.5 * torch.eye(6) + 0.5 * usual.matrix())
    with pytest.raises(fm.FeatmixError, match="dense_targets: expected labels that are what features hold"):
        cutmix.dense_targets(torch.zeros(6, 8, 8).long(), params)
    assert cutmix.label_step("input", params).grid is None
    assert plain.label_step("input", decision(plain, (6, 3, 8, 8))).grid == (8, 8)


def test_rows_that_are_not_mixed_keep_their_label_beside_a_term_of_their_own():
    params = decision(fm.CutMix(own_term=0.5, loss_weight=2.0, p=0.5, per="sample"), (16, 3, 8, 8))
    assert 0 < int(params.active.sum()) < 16
    assert torch.equal(params.mixture.matrix()[~params.active], torch.eye(16)[~params.active])
    assert torch.equal(params.mixture.scale, torch.where(params.active, 2.0, 1.0))


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf"), "1"])
def test_bad_alpha_is_refused(alpha):
    with pytest.raises(fm.FeatmixError, match="CutMix: alpha: expected a number in"):
        fm.CutMix(alpha=alpha)
