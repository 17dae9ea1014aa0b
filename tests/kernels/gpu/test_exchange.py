"""Moment exchange in one launch each way against the formula in float64, in Triton's interpreter or on a GPU."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from featmix.errors import FeatmixError
from featmix.kernels.exchange import Blend, exchange, in_strides
from featmix.normalizers.kinds import normalizer
from tests.kernels.gpu.devices import DEVICE
from tests.kernels.gpu.formulas import exchanged, features, near, takers

pytest.importorskip("triton", reason="triton is not installed: make test-triton has it")
kernels = pytest.importorskip("featmix.kernels.gpu.exchange")
launching = pytest.importorskip("featmix.kernels.gpu.launch")

ONCE, TWICE, LENDING = [1, 2, 0, 3, 4], [1, 2, 0, 2, 4], [1, 2, 3, 3, 0]  # in the last one, row 3 is idle and lends
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SHAPES = {
    "bchw": (5, 8, 4, 6),
    "bhwc": (5, 4, 6, 8),
    "bnc": (5, 9, 12),
    "bct": (5, 4, 11),
    "bcdhw": (5, 4, 2, 3, 5),
    "bc": (5, 8),
}
NORMS = ("pono", "in", "ln", "gn2", "gpono2")
CASES = [
    (name, layout, last)
    for name in NORMS
    for layout in SHAPES
    for last in ((False, True) if layout in ("bchw", "bcdhw") else (False,))
    if (name, layout) != ("in", "bc")  # a mean of one element
]
LARGE = [  # groups that no tile holds, and tiles that do not divide them
    ("pono", (5, 300, 3, 3), False),
    ("pono", (5, 300, 4, 4), False),
    ("in", (5, 3, 70, 70), False),
    ("in", (5, 20, 24, 24), True),
    ("gn3", (5, 12, 24, 24), True),
    ("ln", (5, 3, 80, 80), False),
]


def case(name, layout, shape, last, dtype=torch.float32, partner=ONCE, **more):
    """A normalizer's view of random features, and the task."""
    norm, x = normalizer(name, layout=layout), features(shape, dtype, last)
    order = torch.tensor([*partner, *range(len(partner), shape[0])], device=DEVICE)
    settings = {"lam": None, "eps": 1e-5, "unbiased": True, "detach": False, "detach_partner": False, **more}
    return norm.view(x), Blend(order, takers(order), dims=norm.reduced(x.shape), **settings)


def shares(rows=5):
    return torch.rand(rows, generator=torch.Generator().manual_seed(4)).to(DEVICE)


def by_formula(view, g, blend, dtype):
    """Result and gradient."""
    leaf = view.to(dtype, copy=True).requires_grad_()
    y = exchanged(leaf, blend)
    y.backward(g.to(dtype))
    return y.detach(), leaf.grad


def compare(view, blend):
    """Result, gradient, format and idle rows."""
    roundings = 4 if view.numel() < 10_000 else 32  # the interpreter adds one after the other what a device adds in pairs
    g = features(view.shape, view.dtype, seed=2)  # contiguous, whatever the view is
    y, saved = kernels.exchange(view, blend, keep=True)
    back = kernels.exchange_back(in_strides(g, view.stride()), None if blend.detach else view, saved, blend)
    exact, plain = by_formula(view, g, blend, torch.float64), by_formula(view, g, blend, torch.float32)
    for found, right, formula in zip((y, back), exact, plain, strict=True):
        near(found, right, formula, view.dtype, roundings)
    assert y.dtype == back.dtype == view.dtype
    assert y.stride() == back.stride() == torch.empty_like(view).stride()
    own = blend.partner == torch.arange(len(view), device=DEVICE)
    assert torch.equal(y[own], view[own])
    lends = torch.zeros_like(own).index_fill_(0, blend.partner[~own], not (blend.detach or blend.detach_partner))
    assert torch.equal(back[own & ~lends], g[own & ~lends])


@pytest.mark.parametrize(("name", "layout", "last"), CASES)
def test_all_norms_and_layouts(name, layout, last):
    compare(*case(name, layout, SHAPES[layout], last))


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
@pytest.mark.parametrize("name", ["pono", "in"])
def test_half_types(name, dtype, last):
    compare(*case(name, "bchw", SHAPES["bchw"], last, dtype))


@pytest.mark.parametrize(("name", "shape", "last"), LARGE)
def test_large_groups(name, shape, last):
    for dtype in DTYPES[:2]:
        compare(*case(name, "bchw", shape, last, dtype, LENDING))


@pytest.mark.parametrize("partner", [TWICE, LENDING, [3, 3, 3, 3, 3]], ids=str)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"lam": 0},
        {"lam": 0, "detach_partner": True},
        {"detach_partner": True, "outside": 0.1},
        {"lam": 0, "outside": 0.1, "unbiased": False},
        {"detach": True},
        {"detach": True, "lam": 0},
    ],
    ids=str,
)
def test_takers_shares_and_constants(partner, more):
    given = {name: shares() if name == "lam" else value for name, value in more.items()}
    compare(*case("in", "bchw", (5, 3, 4, 5), False, partner=partner, **given))


@pytest.mark.parametrize(
    ("name", "shape", "last"),
    [("in", (5, 16, 20, 20), True), ("gn2", (5, 16, 20, 20), True), ("ln", (5, 2, 100, 100), False)],
)
def test_the_tiles_of_many_programs(name, shape, last, monkeypatch):
    monkeypatch.setattr("featmix.kernels.gpu.tiles._FEW", 0)
    kernels._launches.cache_clear()
    for dtype in DTYPES[:2]:
        compare(*case(name, "bchw", shape, last, dtype, LENDING))
    kernels._launches.cache_clear()


@pytest.mark.parametrize(("name", "shape"), [("pono", (5, 300, 3, 3)), ("in", (5, 3, 70, 70))])
def test_several_takers_of_large_groups(name, shape):
    compare(*case(name, "bchw", shape, False, partner=TWICE, lam=shares()))


def test_moments_are_kept_where_they_are_wanted():
    view, blend = case("pono", "bchw", SHAPES["bchw"], False)
    y, saved = kernels.exchange(view, blend, keep=False)
    kept, (moments,) = kernels.exchange(view, blend, keep=True)
    assert saved == ()
    assert torch.equal(y, kept)
    assert moments.shape == (2, 5, 24)


@pytest.mark.parametrize("detach", [False, True])
def test_a_taker_is_found_where_none_is_named(detach):
    view, blend = case("pono", "bchw", SHAPES["bchw"], False, detach=detach)
    unnamed = Blend(**{**vars(blend), "taker": None})
    _, saved = kernels.exchange(view, blend, keep=True)
    x = None if detach else view
    named, found = (kernels.exchange_back(view, x, saved, each) for each in (blend, unnamed))
    torch.testing.assert_close(found, named, rtol=1e-5, atol=1e-5)  # sums of other tiles, in another order


@pytest.mark.parametrize(
    ("name", "shape", "last"),
    [
        ("in", (5, 3, 6, 6), False),
        ("pono", (5, 6, 4, 4), False),
        ("in", (5, 3, 70, 70), False),
        ("gn2", (5, 8, 20, 20), True),
        ("in", (5, 3, 24, 24), True),
        ("pono", (5, 3, 24, 24), False),
    ],
)
def test_a_large_mean_costs_no_digits(name, shape, last):
    norm, x = normalizer(name), features(shape, last=last, ratio=1e5)
    view, partner = norm.view(x), torch.tensor(ONCE, device=DEVICE)
    blend = Blend(partner, takers(partner), None, norm.reduced(x.shape), 1e-5, True, False, False)
    y, (moments,) = kernels.exchange(view, blend, keep=True)
    g = features(view.shape, seed=2)
    exact, gradient = by_formula(view, g, blend, torch.float64)
    assert (y - exact).abs().max() <= 2 * torch.finfo(torch.float32).eps * exact.abs().max()
    std = view.double().var(blend.dims).add(1e-5).sqrt().flatten(1).sort(1).values
    torch.testing.assert_close(moments[1].double().sort(1).values, std, rtol=1e-4, atol=0)
    back = kernels.exchange_back(in_strides(g, view.stride()), view, (moments,), blend)
    assert (back - gradient).abs().max() < 1e-4 * gradient.abs().max()


@pytest.mark.parametrize("shape", [(5, 3, 4, 5), (5, 3, 70, 70)])
def test_what_is_not_finite_reaches_those_who_take_it_and_nobody_else(shape):
    view, blend = case("in", "bchw", shape, False, partner=[1, 0, 3, 2, 4])
    view[0, 0, 0, 0], view[4, 1, 0, 0] = float("nan"), float("inf")
    y, saved = kernels.exchange(view, blend, keep=True)
    assert y[[0, 1], 0].isnan().all()
    assert y[[0, 1], 1:].isfinite().all()
    assert y[2:4].isfinite().all()
    assert torch.equal(y[4], view[4])
    g = features(shape, seed=2)
    back = kernels.exchange_back(g, view, saved, blend)
    assert back[[0, 1], 1:].isfinite().all()
    assert back[2:4].isfinite().all()
    assert torch.equal(back[4], g[4])


def test_a_gradient_of_any_format():
    view, blend = case("pono", "bchw", SHAPES["bchw"], True, lam=shares())
    for each in (blend, replace(blend, detach=True)):
        leaf = view.clone().requires_grad_()
        y = exchange(leaf, each, kernels)
        whole, expanded = torch.ones_like(view), torch.ones((), device=DEVICE).expand(view.shape)
        found = [torch.autograd.grad(y, leaf, g, retain_graph=True)[0] for g in (whole, expanded, whole.contiguous())]
        assert torch.equal(found[0], found[1])
        assert torch.equal(found[0], found[2])


def test_one_row_and_constant_groups():
    compare(*case("pono", "bchw", (1, 4, 3, 3), False, partner=[0]))
    x = torch.full((5, 3, 4, 5), 1e4, device=DEVICE)
    partner = torch.tensor(ONCE, device=DEVICE)
    y, _ = kernels.exchange(x, Blend(partner, takers(partner), None, (2, 3), 1e-5, True, False, False), keep=False)
    assert torch.equal(y, x)


def test_axes_too_many_apart_are_refused():
    x = torch.empty(2, 3, 4, 5, 6, 7, device=DEVICE)
    partner = torch.zeros(2, dtype=torch.int64, device=DEVICE)
    with pytest.raises(FeatmixError, match="axes that follow one another"):
        kernels.exchange(x, Blend(partner, None, None, (1, 3, 5), 1e-5, True, False, False), keep=False)


def test_offsets_of_64_bits(monkeypatch):
    kernels._launches.cache_clear()
    monkeypatch.setattr("featmix.kernels.gpu.loops._INT32", 0)
    for name, shape, last in (("pono", (5, 6, 4, 4), False), ("gn2", (5, 8, 4, 4), True), ("in", (5, 3, 70, 70), False)):
        compare(*case(name, "bchw", shape, last))
    kernels._launches.cache_clear()


@pytest.mark.parametrize("partner", [ONCE, TWICE], ids=str)
@pytest.mark.parametrize("detach", [False, True])
def test_one_launch_each_way(partner, detach, monkeypatch):
    launched, run = Counter(), launching.Launch.__call__

    def counted(launch, *arguments):
        launched[launch.program.fn.__name__ if hasattr(launch.program, "fn") else launch.program] += 1
        return run(launch, *arguments)

    monkeypatch.setattr(launching.Launch, "__call__", counted)
    for name, shape in (("pono", SHAPES["bchw"]), ("ln", (5, 3, 80, 80))):
        launched.clear()
        view, blend = case(name, "bchw", shape, False, partner=partner, detach=detach)
        _, saved = kernels.exchange(view, blend, keep=True)
        assert launched.total() == 1
        kernels.exchange_back(view, None if detach else view, saved, blend)
        assert launched.total() == 2
