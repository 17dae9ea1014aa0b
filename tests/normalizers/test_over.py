import pickle

import numpy as np
import pytest
import torch

import featmix as fm
from featmix import FeatmixError, normalizer


def draw(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 2 + 0.5


@pytest.mark.parametrize(
    ("name", "layout", "shape", "dims"),
    [
        ("over:ct", "bcft", (3, 2, 5, 7), (1, 3)),
        ("over:f", "bcft", (3, 2, 5, 7), (2,)),
        ("over:hw", None, (3, 2, 5, 7), (2, 3)),
        ("over:hw", "btchw", (3, 4, 2, 5, 7), (3, 4)),
        ("over:thw", "btchw", (3, 4, 2, 5, 7), (1, 3, 4)),
        ("over:tc", "btchw", (3, 4, 2, 5, 7), (1, 2)),
        ("over:n", None, (3, 6, 4), (1,)),
        ("over:xc", "bxyczq", (2, 3, 2, 4, 2, 3), (1, 3)),
    ],
)
@pytest.mark.parametrize("unbiased", [True, False])
def test_one_mean_for_each_combination_of_the_other_axes(name, layout, shape, dims, unbiased):
    x = draw(*shape)
    norm = normalizer(name, layout=layout, unbiased=unbiased, eps=1e-3)
    m = norm.moments(x)
    values = x.numpy()
    torch.testing.assert_close(m.mean, torch.from_numpy(values.mean(dims, keepdims=True)))
    expected = np.sqrt(values.var(dims, ddof=int(unbiased), keepdims=True) + 1e-3)
    torch.testing.assert_close(m.std, torch.from_numpy(expected))
    assert norm.moment_shape(shape) == tuple(m.mean.shape)
    assert norm.group_size(shape) * m.mean.numel() == x.numel()
    mean, std = norm.oracle(values[1])
    np.testing.assert_allclose(mean, np.broadcast_to(m.mean[1].numpy(), mean.shape), atol=1e-12)
    np.testing.assert_allclose(std, np.broadcast_to(m.std[1].numpy(), std.shape), atol=1e-12)


@pytest.mark.parametrize(("short", "axes"), [("pono", "c"), ("in", "hw"), ("ln", "chw")])
def test_the_usual_names_are_short_for_axes(short, axes):
    x = draw(3, 4, 5, 6)
    for layout in ("bchw", "bhwc", "bhcw"):
        one, other = normalizer(short, layout=layout).moments(x), normalizer(f"over:{axes}", layout=layout).moments(x)
        assert torch.equal(one.mean, other.mean)
        assert torch.equal(one.std, other.std)


@pytest.mark.parametrize(
    ("name", "layout", "message"),
    [
        ("over:ct", "bchw", r"over:ct: layout: expected a layout with the axes c, t, got 'bchw', which has no t"),
        ("over:bc", "bchw", r"over: expected axes of a sample, got 'bc', which holds the batch.*'bn' has them"),
        ("over:b", None, "which holds the batch"),
        ("over:", "bchw", r"over: expected lower-case letters of the layout, each at most once, got ''"),
        ("over:cc", "bchw", "each at most once, got 'cc'"),
        ("over:c,t", "bcft", "each at most once, got 'c,t'"),
        ("over", "bchw", "expected a normalizer, got 'over'"),
        ("over:ct", "bcf", "which has no t"),
    ],
)
def test_axes_that_are_none_are_refused(name, layout, message):
    with pytest.raises(FeatmixError, match=message):
        normalizer(name, layout=layout)


def test_axes_are_compared_with_the_usual_layout_where_none_is_named():
    with pytest.raises(FeatmixError, match=r"over:ct: layout: .*got 'bchw', which has no t"):
        normalizer("over:ct").moments(draw(3, 2, 5, 7))


def test_names_are_those_of_the_axes_in_any_order_and_case():
    norm = normalizer("OVER:TC", layout="bcft")
    assert norm == normalizer("over:ct", layout="bcft")
    assert norm.name == "over:ct"
    assert norm != normalizer("over:ct", layout="btfc")
    assert normalizer(norm.name, layout=norm.layout) == norm


def test_round_trips():
    norm = normalizer("over:ct", layout="bcft", eps=1e-6, unbiased=False)
    assert pickle.loads(pickle.dumps(norm)) == norm
    strategy = fm.MixStyle("over:ct", layout="bcft", p=1.0)
    assert strategy.settings()["norm"] == "over:ct"
    again = fm.create("mixstyle", **strategy.settings())
    assert again.normalizer == strategy.normalizer
    assert fm.from_dict(fm.to_dict(strategy)).normalizer == strategy.normalizer
    assert fm.from_dict(fm.to_dict(fm.MixStyle(norm))).normalizer == norm
    assert pickle.loads(pickle.dumps(strategy)).normalizer == strategy.normalizer


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64])
def test_what_has_no_moments_is_told_what_has(dtype):
    advice = {torch.int64: "Ids of tokens.*embeddings", torch.complex64: r"x\.abs\(\)"}[dtype]
    with pytest.raises(FeatmixError, match=rf"pono: x: expected a floating tensor.*{advice}"):
        normalizer("pono").moments(torch.ones(2, 8, 3, 4, dtype=dtype))
