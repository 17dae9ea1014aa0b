import dataclasses

import pytest
import torch
from torch.autograd import gradcheck

import featmix as fm
from featmix.mixer.tree import Request
from featmix.sampling.boxes import CROPS
from featmix.sampling.draws import stream
from featmix.strategies.crossnorm import CrossNormParams

EPS = 1e-5
CYCLE = torch.tensor([2, 0, 1])
GRIDS = {"bct": (3, 4, 9), "btc": (3, 9, 4), "bchw": (3, 4, 7, 8), "bhwc": (3, 7, 8, 4), "bcdhw": (3, 4, 5, 4, 6)}


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 + 0.5


def decision(crossnorm, x, seed=0, **given):
    generator = torch.Generator().manual_seed(seed)
    return crossnorm.make_params(x.shape, partner=CYCLE, generator=generator, **given)


def cut(box):
    return (..., *(slice(first, past) for first, past in box.tolist()))


def moments(part):
    """Of a map ``(C, *positions)``, cropped or not."""
    flat = part.flatten(1)
    shape = (-1, *[1] * (part.ndim - 1))
    return flat.mean(1).view(shape), (flat.var(1) + EPS).sqrt().view(shape)


def by_hand(x, params, order=slice(None)):
    """One row after the other, on slices, channels first."""
    y = x.clone()
    for i, j in enumerate(params.partner.tolist()):
        content = ... if params.content_box is None else cut(params.content_box[i])
        style = ... if params.style_box is None else cut(params.style_box[j])
        (mean, std), (lent_mean, lent_std) = moments(x[i][content]), moments(x[j][order][style])
        y[i][content] = (x[i][content] - mean) / std * lent_std + lent_mean
    return y


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("box_per", ["batch", "sample"])
@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("layout", GRIDS)
def test_published_formula(layout, crop, box_per, shuffle):
    x, crossnorm = draw(*GRIDS[layout]), fm.CrossNorm(crop=crop, box_per=box_per, shuffle=shuffle, p=1, layout=layout)
    channel = layout.index("c")
    for seed in range(4):
        params = decision(crossnorm, x, seed)
        order = params.channels[0] if shuffle else slice(None)
        expected = by_hand(x.movedim(channel, 1), params, order).movedim(1, channel)
        torch.testing.assert_close(crossnorm.transform(x, params), expected, rtol=0, atol=1e-9)


def test_neither_is_moment_exchange_without_labels():
    x, crossnorm, moex = draw(3, 4, 7, 8), fm.CrossNorm(p=1), fm.MoEx("in")
    params = decision(crossnorm, x)
    torch.testing.assert_close(crossnorm.transform(x, params), moex.transform(x, decision(moex, x)), rtol=0, atol=1e-12)
    assert torch.equal(params.mixture.matrix(), torch.eye(3))
    assert params.lam.tolist() == [0, 0, 0]


def test_content_restyles_one_box_and_leaves_the_rest_bit_for_bit():
    x, crossnorm = draw(3, 4, 9, 8), fm.CrossNorm(crop="content", p=1)
    params = decision(crossnorm, x)
    y, box = crossnorm.transform(x, params), cut(params.content_box[0])
    outside = torch.ones(9, 8, dtype=torch.bool)
    outside[box[1:]] = False
    assert bool(outside.any())
    assert torch.equal(y[..., outside], x[..., outside])
    assert not bool((y[..., ~outside] == x[..., ~outside]).any())
    torch.testing.assert_close(y[box].mean((2, 3)), x.mean((2, 3))[CYCLE], rtol=0, atol=1e-9)


def test_style_lends_the_moments_of_the_partners_box():
    x, crossnorm = draw(3, 4, 9, 8), fm.CrossNorm(crop="style", p=1)
    params = decision(crossnorm, x)
    y, box = crossnorm.transform(x, params), cut(params.style_box[0])
    torch.testing.assert_close(y.mean((2, 3)), x[box].mean((2, 3))[CYCLE], rtol=0, atol=1e-9)
    torch.testing.assert_close(y.std((2, 3)), x[box].std((2, 3))[CYCLE], rtol=1e-4, atol=0)


def test_boxes_of_content_and_style_are_drawn_apart():
    crossnorm, pairs = fm.CrossNorm(crop="both", p=1), []
    for seed in range(40):
        params = decision(crossnorm, draw(3, 4, 12, 12), seed)
        assert torch.equal(params.content_box, params.content_box[:1].expand(3, 2, 2))  # one for the batch
        pairs.append((params.content_box[0], params.style_box[0]))
    assert sum(torch.equal(*pair) for pair in pairs) < 4
    areas = torch.stack([torch.stack([(b[:, 1] - b[:, 0]).prod() for b in pair]) for pair in pairs]).double()
    assert abs(float(torch.corrcoef(areas.T)[0, 1])) < 0.5


def test_one_box_a_sample():
    params = fm.CrossNorm(crop="both", box_per="sample", p=1).make_params((20, 4, 12, 12))
    assert len(params.content_box.unique(dim=0)) > 10
    assert len(params.style_box.unique(dim=0)) > 10


@pytest.mark.parametrize("norm", ["in", "ln", "gn2"])
@pytest.mark.parametrize("crop", CROPS)
def test_gradcheck(norm, crop):
    crossnorm, x = fm.CrossNorm(norm, crop=crop, shuffle=True, p=1), draw(3, 4, 3, 4).requires_grad_()
    params = decision(crossnorm, x, seed=3)
    assert gradcheck(lambda x: crossnorm.transform(x, params), x)


def test_gradients_reach_both_samples():
    crossnorm, x = fm.CrossNorm(crop="both", p=1), draw(3, 4, 7, 8).requires_grad_()
    params = decision(crossnorm, x)
    (gradient,) = torch.autograd.grad(crossnorm.transform(x, params)[0].square().sum(), x)
    reached = gradient[2].abs().sum(0) > 0
    box = torch.zeros(7, 8, dtype=torch.bool)
    box[cut(params.style_box[2])[1:]] = True
    assert torch.equal(reached, box)
    assert not bool(gradient[1].any())
    assert bool(gradient[0].any())


def test_a_row_by_itself():
    x = draw(3, 4, 7, 8)
    for crop in CROPS:
        crossnorm = fm.CrossNorm(crop=crop, p=1)
        params = dataclasses.replace(decision(crossnorm, x), partner=torch.arange(3))
        assert torch.allclose(crossnorm.transform(x, params), x) is (crop == "neither") is crossnorm.self_is_identity
        alone = crossnorm.make_params((1, 4, 7, 8))
        assert torch.equal(crossnorm.transform(x[:1], alone), x[:1])
        assert not bool(alone.active.any())


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("sizes", [(1, 1), (1, 2), (2, 2), (3, 3), (1, 9), (2, 7)])
def test_small_maps_are_finite_and_done_with(sizes, crop):
    crossnorm, x = fm.CrossNorm(crop=crop, p=1), draw(3, 4, *sizes).requires_grad_()
    for seed in range(5):
        params = decision(crossnorm, x, seed)
        y = crossnorm.transform(x, params)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert bool(y.isfinite().all())
        assert bool(gradient.isfinite().all())
        if sizes == (1, 1):
            assert torch.equal(y, x)
        elif min(sizes) < 3:  # no box fits: the whole map
            torch.testing.assert_close(y, by_hand(x, dataclasses.replace(params, content_box=None, style_box=None)))


@pytest.mark.parametrize("crop", CROPS)
def test_padding_is_in_no_box(crop):
    crossnorm, x = fm.CrossNorm(crop=crop, p=1, layout="bct"), draw(3, 4, 12)
    mask = torch.arange(12) < torch.tensor([[12], [9], [7]])
    for seed in range(10):
        params = decision(crossnorm, x, seed, mask=mask)
        y = crossnorm.transform(torch.where(mask.unsqueeze(1), x, float("nan")), params)
        assert torch.equal(y.isfinite(), mask.unsqueeze(1).expand_as(y))
        for i, j in enumerate(CYCLE.tolist()):
            content, style = mask[i].clone(), mask[j].clone()
            for box, where in ((params.content_box, content), (params.style_box, style)):
                if box is not None:
                    where &= (torch.arange(12) >= box[0, 0, 0]) & (torch.arange(12) < box[0, 0, 1])
            if min(content.sum(), style.sum()) < 2:
                content = torch.zeros_like(content)
            else:
                (mean, std), (lent_mean, lent_std) = moments(x[i][:, content]), moments(x[j][:, style])
                expected = (x[i][:, content] - mean) / std * lent_std + lent_mean
                torch.testing.assert_close(y[i][:, content], expected, rtol=0, atol=1e-9)
            left = mask[i] & ~content
            assert torch.equal(y[i][:, left], x[i][:, left])


def test_a_box_that_padding_leaves_nothing_of_restyles_nothing():
    crossnorm, x = fm.CrossNorm(crop="content", p=1, layout="bct"), draw(3, 4, 12)
    mask = torch.arange(12).expand(3, 12) < 3
    params = dataclasses.replace(decision(crossnorm, x, mask=mask), content_box=torch.tensor([[[2, 9]]]).expand(3, 1, 2))
    assert torch.equal(crossnorm.transform(x, params), x)


def test_prefix_tokens_are_in_no_box():
    crossnorm, x = fm.CrossNorm(crop="both", p=1, layout="btc", num_prefix_tokens=1), draw(3, 10, 4)
    params = decision(crossnorm, x)
    y = crossnorm.transform(x, params)
    assert params.sizes == (9,)
    assert torch.equal(y[:, 0], x[:, 0])
    body = by_hand(x[:, 1:].movedim(2, 1), params).movedim(1, 2)
    torch.testing.assert_close(y[:, 1:], body, rtol=0, atol=1e-9)


@pytest.mark.parametrize("crop", ["style", "content", "both"])
@pytest.mark.parametrize("shape", [(4, 9, 8), (4, 8)])
def test_crops_need_a_grid(crop, shape):
    with pytest.raises(fm.FeatmixError, match=r"CrossNorm: layout: expected a layout whose positions form a grid"):
        fm.CrossNorm(crop=crop, p=1)(draw(*shape))


@pytest.mark.parametrize("shape", [(4, 9, 8), (4, 8), (4, 8, 3, 3)])
def test_without_crops_any_layout_will_do(shape):
    y = fm.CrossNorm(p=1)(draw(*shape))
    assert y.shape == shape


@pytest.mark.parametrize("norm", ["pono", "gpono2"])
def test_crops_need_moments_over_positions(norm):
    with pytest.raises(fm.FeatmixError, match=f"CrossNorm: crop: .*got 'style' with norm='{norm}'.*under in, ln and gn"):
        fm.CrossNorm(norm, crop="style")
    fm.CrossNorm(norm)


@pytest.mark.parametrize(("settings", "needed"), [({}, False), ({"crop": "style"}, True), ({"shuffle": True}, True)])
def test_the_shape_is_needed_where_something_is_drawn_for_it(settings, needed):
    crossnorm = fm.CrossNorm(p=1, **settings)
    at = fm.At("layer1", crossnorm)
    assert crossnorm.needs_shape is needed
    (params,) = at.draw(Request(4, stream(), {"layer1": (8, 6, 6)}))
    assert params.sizes == ((6, 6) if crossnorm.needs_grid else ())
    if needed:
        with pytest.raises(fm.FeatmixError, match=r"CrossNorm: layer1: expected the shape.*attach\(\.\.\., example=images\)"):
            at.draw(Request(4, stream()))
        with pytest.raises(fm.FeatmixError, match="CrossNorm: shape: expected the shape of the features, to decide for it"):
            crossnorm.make_params((4,))
    else:
        assert bool(at.draw(Request(4, stream()))[0].active.all())


def test_boxes_are_for_one_resolution():
    crossnorm, x = fm.CrossNorm(crop="both", p=1), draw(3, 4, 7, 8)
    params = decision(crossnorm, x)
    with pytest.raises(fm.FeatmixError, match=r"expected a decision for positions \(7, 9\) .*, got one for \(7, 8\)"):
        crossnorm.transform(draw(3, 4, 7, 9), params)
    with pytest.raises(fm.FeatmixError, match=r"CrossNorm: params: expected a decision .*got Params"):
        crossnorm.transform(x, decision(fm.MoEx(), x))
    assert isinstance(params, CrossNormParams)


def test_an_order_is_for_one_number_of_channels_and_for_any_resolution():
    crossnorm, x = fm.CrossNorm(shuffle=True, p=1), draw(3, 4, 7, 8)
    params = decision(crossnorm, x)
    crossnorm.transform(draw(3, 4, 5, 5), params)
    with pytest.raises(fm.FeatmixError, match=r"expected a decision for positions \(\) and channels 6, got one for \(\) and 4"):
        crossnorm.transform(draw(3, 6, 7, 8), params)


def test_a_style_box_lends_although_its_row_is_idle():
    crossnorm, x = fm.CrossNorm(crop="both", p=1), draw(3, 4, 7, 8)
    params = decision(crossnorm, x)
    idle = dataclasses.replace(params, active=torch.tensor([True, True, False]))
    y, all_active = crossnorm.transform(x, idle), crossnorm.transform(x, params)
    assert torch.equal(y[2], x[2])
    assert torch.equal(y[:2], all_active[:2])


def test_bad_crop_is_refused():
    with pytest.raises(fm.FeatmixError, match="CrossNorm: crop: expected one of neither, style, content, both, got 'all'"):
        fm.CrossNorm(crop="all")
    with pytest.raises(fm.FeatmixError, match="CrossNorm: box_per: expected one of batch, sample"):
        fm.CrossNorm(box_per="row")
    with pytest.raises(fm.FeatmixError, match="CrossNorm: shuffle: expected True or False"):
        fm.CrossNorm(shuffle=None)


def test_defaults_are_those_of_the_published_scripts():
    crossnorm = fm.CrossNorm()
    assert (crossnorm.norm, crossnorm.eps, crossnorm.unbiased) == ("in", EPS, True)
    assert (crossnorm.crop, crossnorm.box_per, crossnorm.shuffle, crossnorm.p) == ("neither", "batch", False, 0.5)
