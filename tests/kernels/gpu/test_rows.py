"""The kernels for rows against the formula, in Triton's interpreter or on a GPU."""

import dataclasses

import pytest
import torch

import featmix as fm
from featmix.kernels.gpu import plan as plans
from featmix.strategies.base import Strategy
from tests.kernels.gpu.devices import DEVICE

pytest.importorskip("triton", reason="triton is not installed: make test-triton has it")
kernels = pytest.importorskip("featmix.kernels.gpu.rows")

SHAPES = {"bchw": (5, 3, 6, 7), "bhwc": (5, 6, 7, 3), "bct": (5, 3, 9), "btc": (5, 9, 3), "bcdhw": (5, 2, 3, 4, 5)}
PARTNERS = [[1, 0, 3, 4, 2], [1, 2, 0, 0, 3], [3, 3, 3, 3, 3], [0, 1, 2, 3, 4], [1, 2, 2, 4, 0]]


def rows_of(strategy, x, params):
    if strategy.name == "mixup":
        return kernels.blend(x, params.partner, params.own_share())
    return kernels.paste(x, params.partner, params.box, strategy.layout_of(x.shape).positions)


def case(name, layout, partner, dtype=torch.float32, last=False):
    strategy = fm.create(name, lam_per="sample", layout=layout)
    shape = SHAPES[layout]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    form = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim) if last else torch.contiguous_format
    params = strategy.make_params(shape, partner=torch.tensor(partner), generator=torch.Generator().manual_seed(2))
    return strategy, x.contiguous(memory_format=form).to(DEVICE), params.to(DEVICE).tied()


FORMS = [(layout, last) for layout in SHAPES for last in ((False, True) if layout in ("bchw", "bcdhw") else (False,))]
TRIED = [
    *((form, PARTNERS[1], torch.float32) for form in FORMS),
    *((("bchw", False), partner, torch.float32) for partner in PARTNERS),
    *((("bchw", last), PARTNERS[0], dtype) for last in (False, True) for dtype in (torch.bfloat16, torch.float16)),
]


@pytest.mark.parametrize(("form", "partner", "dtype"), TRIED, ids=str)
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_result_and_gradient(name, form, partner, dtype):
    layout, last = form
    strategy, x, params = case(name, layout, partner, dtype, last)
    rows = rows_of(strategy, x, params)
    exact_leaf = x.double().requires_grad_()
    exact = Strategy.gated(strategy, exact_leaf, params)
    y = rows.mixed(x)
    rounding = 4 * torch.finfo(dtype).eps
    assert y.dtype == dtype
    assert y.stride() == x.stride()
    assert (y.double() - exact).abs().max() <= rounding * exact.abs().max()
    own = params.partner == torch.arange(len(x), device=DEVICE)
    assert torch.equal(y[own], x[own])

    g = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).to(dtype).to(DEVICE)
    exact.backward(g.double())
    back = rows.returned(g, torch.empty_like(x, device="meta"))
    assert back.stride() == x.stride()
    assert (back.double() - exact_leaf.grad).abs().max() <= rounding * exact_leaf.grad.abs().max()


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_in_place(name):
    strategy, x, params = case(name, "bchw", PARTNERS[1])
    rows = rows_of(strategy, x, params)
    expected = rows.mixed(x)
    assert rows.mix_in_place(x) is x
    assert torch.equal(x, expected)


def test_what_is_not_finite_reaches_those_who_take_it_and_nobody_else():
    strategy, x, params = case("mixup", "bchw", [1, 0, 3, 4, 2])
    x[0] = float("nan")
    y = rows_of(strategy, x, params).mixed(x)
    assert y[[0, 1]].isnan().all()
    assert y[2:].isfinite().all()


def test_the_same_gradient_twice_is_the_same():
    strategy, x, params = case("mixup", "bchw", [3, 3, 3, 3, 3])
    rows = rows_of(strategy, x, params)
    like = torch.empty_like(x, device="meta")
    assert torch.equal(rows.returned(x, like), rows.returned(x, like))


def test_shares_and_partners_that_are_one_value_for_all():
    strategy, x, params = case("mixup", "bchw", PARTNERS[2])
    lam, partner = params.lam[:1].expand(5), params.partner[:1].expand(5)
    expected = rows_of(strategy, x, dataclasses.replace(params, lam=lam.clone(), partner=partner.clone()))
    found = rows_of(strategy, x, dataclasses.replace(params, lam=lam, partner=partner))
    assert torch.equal(found.mixed(x), expected.mixed(x))
    like = torch.empty_like(x, device="meta")
    assert torch.equal(found.returned(x, like), expected.returned(x, like))


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_steps_that_overflow_one_axis_of_the_grid(name, monkeypatch):
    strategy, x, params = case(name, "bchw", PARTNERS[1])
    rows, like = rows_of(strategy, x, params), torch.empty_like(x, device="meta")
    expected = rows.mixed(x), rows.returned(x, like)
    monkeypatch.setattr(kernels, "_BLOCK", 16)
    monkeypatch.setattr(plans, "_LINE", 3)
    monkeypatch.setattr(plans, "_INT32", 0)
    assert torch.equal(rows.mixed(x), expected[0])
    assert torch.equal(rows.returned(x, like), expected[1])
