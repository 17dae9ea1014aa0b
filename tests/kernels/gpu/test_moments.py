"""The kernels for moments against float64, in Triton's interpreter or on a GPU."""

import pytest
import torch

from featmix.kernels.gpu import plan as plans
from featmix.normalizers.kinds import normalizer
from featmix.normalizers.moments import compute_moments
from tests.kernels.gpu.devices import DEVICE

pytest.importorskip("triton", reason="triton is not installed: make test-triton has it")
kernels = pytest.importorskip("featmix.kernels.gpu.moments")

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SHAPES = {
    "bchw": [(3, 4, 5, 7), (2, 130, 3, 3), (1, 2, 1, 1), (2, 8, 12, 12)],
    "bhwc": [(3, 5, 7, 4)],
    "bnc": [(2, 9, 6)],
    "bct": [(2, 4, 11)],
    "bcdhw": [(2, 4, 2, 3, 5)],
    "bc": [(3, 8)],
}
NORMS = ["pono", "in", "ln", "gn2", "gpono2"]
CASES = [
    (name, layout, shape, last)
    for name in NORMS
    for layout, shapes in SHAPES.items()
    for shape in shapes
    for last in ((False, True) if layout in ("bchw", "bcdhw") else (False,))
    if (name, layout) != ("in", "bc")  # a mean of one element
]
LARGE = [
    ("in", "bchw", (2, 3, 70, 70)),
    ("ln", "bchw", (2, 4, 60, 60)),
    ("pono", "bchw", (2, 100, 9, 20)),
    ("gn2", "bchw", (1, 4, 60, 60)),
]


def features(shape, dtype, last=False, ratio=0.0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)) + ratio
    form = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim) if last else torch.contiguous_format
    return x.to(dtype).contiguous(memory_format=form).to(DEVICE)


def near(found, exact, formula):
    """No more than twice as far off as the formula in float32, or some roundings of the largest."""
    off, allowed = (value.double().cpu().sub(exact).abs().max() for value in (found, formula))
    assert off <= 2 * allowed + 4e-7 * exact.abs().max() + 1e-12


@pytest.mark.parametrize(("ratio", "unbiased"), [(0.0, False), (1000.0, True)])
@pytest.mark.parametrize(("name", "layout", "shape", "last"), [*CASES, *((*case, False) for case in LARGE)])
def test_moments(name, layout, shape, last, unbiased, ratio):
    norm, x = normalizer(name, layout=layout), features(shape, torch.float32, last, ratio)
    view, dims = norm.view(x), norm.reduced(x.shape)
    exact = compute_moments(view.cpu().double(), dims, eps=1e-5, unbiased=unbiased)
    formula = compute_moments(view.cpu(), dims, eps=1e-5, unbiased=unbiased)
    mean, std = kernels.moments(view, dims, eps=1e-5, unbiased=unbiased)
    assert mean.shape == exact.mean.shape
    near(mean, exact.mean, formula.mean)
    near(std, exact.std, formula.std)


@pytest.mark.parametrize(
    ("name", "layout", "shape", "last", "dtype"),
    [*((*case, torch.float32) for case in CASES), *((*case, False, dtype) for case in LARGE for dtype in DTYPES)],
)
def test_application_and_backward(name, layout, shape, last, dtype):
    norm, x = normalizer(name, layout=layout), features(shape, dtype, last)
    view, dims = norm.view(x), norm.reduced(x.shape)
    mean, std = kernels.moments(view, dims, eps=1e-5, unbiased=True)
    active = torch.tensor([i % 2 == 0 for i in range(len(x))], device=DEVICE)
    y = kernels.affine(view, std, mean, active)
    assert y.dtype == dtype
    assert y.stride() == torch.empty_like(view).stride()
    assert torch.equal(y[~active], view[~active])
    wide = view.double()
    rounding = 4 * torch.finfo(dtype).eps
    exact = wide * std.double() + mean.double()
    assert (y[active].double() - exact[active]).abs().max() <= rounding * exact.abs().max()
    scaled = kernels.affine(view, std, None, active)
    assert (scaled[active].double() - (wide * std.double())[active]).abs().max() <= rounding * exact.abs().max()

    g = torch.randn(view.shape, generator=torch.Generator().manual_seed(2)).to(dtype).to(DEVICE)  # contiguous, whatever x is
    total, against = kernels.sums(g, view, mean, dims)
    n = max(1, view.numel() // mean.numel())
    expected = g.double().sum(dims, keepdim=True), (g.double() * (wide - mean.double())).sum(dims, keepdim=True)
    for found, exact in zip((total, against), expected, strict=True):
        assert found.dtype == torch.float32
        assert (found.double() - exact).abs().max() <= 1e-6 * n**0.5 * (1 + exact.abs().max())
    back = kernels.combine(g, std, view, mean, total)
    exact = g.double() * std.double() + wide * mean.double() + total.double()
    assert back.stride() == torch.empty_like(view).stride()
    assert (back.double() - exact).abs().max() <= rounding * exact.abs().max()


def test_what_is_not_finite_stays_in_its_group():
    x = features((4, 3, 5, 5), torch.float32)
    x[1, 0, 2, 2], x[2, 1, 0, 0] = float("nan"), float("inf")
    mean, std = kernels.moments(x, (2, 3), eps=1e-5, unbiased=True)
    bad = {(int(i), int(c)) for i, c, *_ in (~mean.isfinite()).nonzero()}
    assert bad == {(1, 0), (2, 1)}
    active = torch.tensor([True, False, False, True], device=DEVICE)
    y = kernels.affine(x, std, mean, active)
    assert torch.equal(y[1:3].nan_to_num(7.0), x[1:3].nan_to_num(7.0))
    assert y[[0, 3]].isfinite().all()


def test_an_expanded_gradient_is_taken_as_it_is_meant():
    x = features((3, 4, 5, 5), torch.float32)
    g = torch.ones((), device=DEVICE).expand(x.shape)
    scale = torch.full((3, 4, 1, 1), 2.0, device=DEVICE)
    active = torch.ones(3, dtype=torch.bool, device=DEVICE)
    assert torch.equal(kernels.affine(g, scale, None, active), torch.full_like(x, 2.0))
    total, _ = kernels.sums(g, x, scale, (2, 3))
    assert torch.equal(total, torch.full_like(total, 25.0))


def test_a_constant_group_has_no_variance():
    x = torch.full((2, 3, 70, 70), 1e4, device=DEVICE)
    _, std = kernels.moments(x, (1, 2, 3), eps=0.0, unbiased=True)
    assert std.abs().max() <= 1e-2


def test_scales_in_any_memory_order():
    x, active = features((3, 4, 5, 5), torch.float32), torch.ones(3, dtype=torch.bool, device=DEVICE)
    scale = features((4, 3, 1, 1), torch.float32).transpose(0, 1)
    assert not scale.is_contiguous()
    torch.testing.assert_close(kernels.affine(x, scale, None, active), x * scale)
    torch.testing.assert_close(kernels.affine(x, scale, scale, active), x * scale + scale)
    torch.testing.assert_close(kernels.combine(x, scale, x, scale, scale), x * scale * 2 + scale)


def test_steps_that_overflow_one_axis_of_the_grid(monkeypatch):
    monkeypatch.setattr(plans, "_LINE", 2)
    monkeypatch.setattr(plans, "_INT32", 0)
    x, active = features((1, 2, 150, 150), torch.float32), torch.ones(1, dtype=torch.bool, device=DEVICE)
    mean, std = kernels.moments(x, (2, 3), eps=1e-5, unbiased=True)
    torch.testing.assert_close(mean, x.mean((2, 3), keepdim=True))
    torch.testing.assert_close(kernels.affine(x, std, mean, active), x * std + mean)
    torch.testing.assert_close(kernels.combine(x, std, x, std, mean), x * std * 2 + mean)
    total, _ = kernels.sums(x, x, mean, (2, 3))
    torch.testing.assert_close(total, x.sum((2, 3), keepdim=True), rtol=1e-4, atol=1e-3)
