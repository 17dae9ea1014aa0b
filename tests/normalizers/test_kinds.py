import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from featmix import FeatmixError, Normalizer, list_normalizers, normalizer
from featmix.layouts import layout

# Of 8 channels seen as (B, groups, 8 / groups, H, W): how many groups, and the axes that are averaged over.
VIEWS = {
    "pono": (1, (2,)),
    "in": (8, (2, 3, 4)),
    "ln": (1, (2, 3, 4)),
    "gn2": (2, (2, 3, 4)),
    "gn-d2": (4, (2, 3, 4)),
    "gpono2": (2, (2,)),
    "gpono-d2": (4, (2,)),
    "bn": (8, (0, 2, 3, 4)),
}
INTRA = [name for name in VIEWS if name != "bn"]
LAYOUTS = {
    "bchw": lambda x: x,
    "bhwc": lambda x: x.permute(0, 2, 3, 1),
    "bnc": lambda x: x.flatten(2).transpose(1, 2),
    "bct": lambda x: x.flatten(2),
    "bcdhw": lambda x: x.unflatten(3, (2, 2)),
    "bc": lambda x: x[:, :, 0, 0],
}


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 + 0.5


def by_hand(x, name, *, eps, ddof, positive_only):
    """The normalized map, mean and standard deviation, spread out to the shape of ``x``."""
    groups, axes = VIEWS[name]
    v = x.numpy().reshape(len(x), groups, -1, *x.shape[2:])
    keep = (v > 0) if positive_only else np.ones_like(v, dtype=bool)
    n = np.maximum(keep.sum(axes, keepdims=True), 1)
    mean = (v * keep).sum(axes, keepdims=True) / n
    var = (((v - mean) ** 2) * keep).sum(axes, keepdims=True) / np.maximum(n - ddof, 1)
    std = np.sqrt(var + eps)
    return [torch.tensor(np.broadcast_to(a, v.shape).reshape(x.shape)) for a in ((v - mean) / std, mean, std)]


def spread(norm, moment, x):
    return moment.expand_as(norm.view(x)).reshape(x.shape)


def close(a, b, atol=1e-9):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


@pytest.mark.parametrize("options", [{"unbiased": True}, {"unbiased": False}, {"positive_only": True}], ids=str)
@pytest.mark.parametrize("name", VIEWS)
def test_formula(name, options):
    x = draw(3, 8, 3, 4)
    norm = normalizer(name, eps=1e-3, **options)
    positive_only = options.get("positive_only", False)
    ddof = 0 if positive_only else int(options.get("unbiased", True))
    xh, mean, std = by_hand(x, name, eps=1e-3, ddof=ddof, positive_only=positive_only)
    got, m = norm.normalize(x)
    close(got, xh)
    close(spread(norm, m.mean, x), mean)
    close(spread(norm, m.std, x), std)


TORCH = {
    "in": lambda x, eps: F.instance_norm(x, eps=eps),
    "ln": lambda x, eps: F.layer_norm(x, x.shape[1:], eps=eps),
    "gn2": lambda x, eps: F.group_norm(x, 2, eps=eps),
    "gn-d2": lambda x, eps: F.group_norm(x, 4, eps=eps),
    "pono": lambda x, eps: F.layer_norm(x.movedim(1, -1), x.shape[1:2], eps=eps).movedim(-1, 1),
    "gpono2": lambda x, eps: torch.cat([TORCH["pono"](half, eps) for half in x.chunk(2, dim=1)], dim=1),
    "gpono-d2": lambda x, eps: torch.cat([TORCH["pono"](part, eps) for part in x.split(2, dim=1)], dim=1),
    "bn": lambda x, eps: nn.BatchNorm2d(8, eps=eps, affine=False, dtype=x.dtype).train()(x),
}


@pytest.mark.parametrize("name", VIEWS)
def test_biased_form_is_that_of_torch(name):
    x = draw(3, 8, 3, 4)
    close(normalizer(name, eps=1e-3, unbiased=False).normalize(x)[0], TORCH[name](x, 1e-3))


@pytest.mark.parametrize("positive_only", [False, True])
@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("axes", LAYOUTS)
def test_layouts_agree(axes, name, positive_only):
    x, arrange = draw(3, 8, *((1, 1) if axes == "bc" else (3, 4))), LAYOUTS[axes]
    usual = normalizer(name, positive_only=positive_only).normalize(x)[0]
    got = normalizer(name, layout=axes, positive_only=positive_only).normalize(arrange(x))[0]
    close(got, arrange(usual))


@pytest.mark.parametrize("options", [{"unbiased": True}, {"unbiased": False}, {"positive_only": True}], ids=str)
@pytest.mark.parametrize("name", INTRA)
@pytest.mark.parametrize("axes", LAYOUTS)
def test_oracle_equals_moments(axes, name, options):
    x = LAYOUTS[axes](draw(3, 8, 3, 4))
    norm = normalizer(name, layout=axes, **options)
    m = norm.moments(x)
    for i, sample in enumerate(x.numpy()):
        mean, std = norm.oracle(sample)
        close(spread(norm, m.mean, x)[i], torch.tensor(mean))
        close(spread(norm, m.std, x)[i], torch.tensor(std))


@pytest.mark.parametrize(("one", "other"), [("gn8", "in"), ("gn-d1", "in"), ("gn1", "ln"), ("gpono1", "pono"), ("gn-d8", "ln")])
def test_identities(one, other):
    x = draw(2, 8, 3, 4)
    close(normalizer(one).normalize(x)[0], normalizer(other).normalize(x)[0], atol=1e-12)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("axes", LAYOUTS)
def test_round_trip(axes, name):
    x = LAYOUTS[axes](draw(3, 8, 3, 4))
    norm = normalizer(name, layout=axes)
    close(norm.denormalize(*norm.normalize(x)), x, atol=1e-12)


@pytest.mark.parametrize("name", VIEWS)
def test_normalized_map_has_mean_0_and_variance_v_over_v_plus_eps(name):
    x, (groups, axes) = draw(3, 8, 3, 4), VIEWS[name]
    xh = normalizer(name, eps=0.1).normalize(x)[0]
    v, vh = (a.reshape(3, groups, -1, 3, 4).var(axes) for a in (x, xh))
    close(xh.reshape(3, groups, -1, 3, 4).mean(axes), torch.zeros_like(v))
    close(vh, v / (v + 0.1))


@pytest.mark.parametrize("name", INTRA)
def test_samples_are_independent(name):
    x = draw(4, 8, 3, 4)
    close(normalizer(name).normalize(x)[0][1:2], normalizer(name).normalize(x[1:2])[0], atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_result_keeps_the_dtype(dtype):
    norm, x = normalizer("gn2"), draw(2, 8, 3, 4).to(dtype)
    xh, m = norm.normalize(x)
    assert xh.dtype == norm.denormalize(xh, m).dtype == dtype
    assert m.std.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("name", [*VIEWS, "gn16", "gpono-d32"])
def test_name_round_trip_in_any_case(name):
    assert normalizer(name).name == name
    assert normalizer(name.upper()) == normalizer(name)
    assert normalizer(normalizer(name).name, eps=1e-3) == normalizer(name, eps=1e-3)


def test_a_normalizer_passes_through():
    norm = normalizer("gn4", eps=1e-2)
    assert isinstance(norm, Normalizer)
    assert normalizer(norm) is norm


def test_listing():
    assert list_normalizers() == sorted(list_normalizers())
    assert {n.replace("<G>", "2").replace("<D>", "2") for n in list_normalizers()} == {*VIEWS, "over:<axes>"}


@pytest.mark.parametrize("name", INTRA)
@pytest.mark.parametrize("axes", LAYOUTS)
def test_group_size(axes, name):
    x = LAYOUTS[axes](draw(3, 8, 3, 4))
    norm = normalizer(name, layout=axes)
    means = norm.moments(x).mean.numel()
    assert norm.group_size(x.shape) * means == x.numel()
    assert layout(axes).ndim == x.ndim


def test_only_bn_is_not_exchangeable():
    assert [name for name in VIEWS if not normalizer(name).exchangeable] == ["bn"]


@pytest.mark.parametrize("name", ["ponno", "gn", "gn-d", "gpono", "gn-4", "gn0", "gpono-d0", "in2", "", "gn8 ", None, 8])
def test_bad_names_are_refused(name):
    with pytest.raises(FeatmixError, match=r"Did you mean|Known: bn|at least 1"):
        normalizer(name)


@pytest.mark.parametrize("eps", [0, 0.0, -1e-5, float("nan"), float("inf"), "1e-5", None])
def test_bad_eps_is_refused(eps):
    with pytest.raises(FeatmixError, match="pono: eps: expected a positive finite number"):
        normalizer("pono", eps=eps)


@pytest.mark.parametrize("name", ["gn3", "gn-d3", "gpono16", "gpono-d5"])
def test_channels_that_the_groups_do_not_divide_are_refused(name):
    with pytest.raises(FeatmixError, match=rf"{name}: x: expected a number of channels that \d+ divides, got 8 channels"):
        normalizer(name).moments(draw(2, 8, 3, 4))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_integers_are_refused(dtype):
    with pytest.raises(FeatmixError, match=r"pono: x: expected a floating tensor.*x\.float\(\)"):
        normalizer("pono").normalize(torch.ones(2, 8, 3, 4, dtype=dtype))


def test_wrong_layouts_are_refused():
    with pytest.raises(FeatmixError, match="Did you mean"):
        normalizer("pono", layout="bhw")
    with pytest.raises(FeatmixError, match="expected 3 axes as in layout 'bnc'"):
        normalizer("pono", layout="bnc").moments(draw(2, 8, 3, 4))


@pytest.mark.parametrize("name", ["pono", "in", "ln", "gn2", "gn-d2", "gpono2", "bn"])
@pytest.mark.parametrize(
    ("axes", "shape"), [("bchw", (3, 8, 5, 6)), ("bhwc", (3, 5, 6, 8)), ("bnc", (3, 7, 8)), ("bc", (3, 8)), ("bct", (0, 8, 4))]
)
def test_moment_shape_is_that_of_the_moments(name, axes, shape):
    norm = normalizer(name, layout=axes)
    assert norm.moment_shape(shape) == tuple(norm.moments(torch.zeros(shape)).mean.shape)
