import pytest
import torch
from torch.autograd import gradcheck

import featmix as fm
from featmix.normalizers.moments import Moments, compute_moments, upcast


def draw(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("dims", [(1,), (2, 3), (1, 2, 3), (0, 2, 3)])
def test_is_torch_mean_and_var(dims, unbiased):
    x = draw(3, 4, 5, 6)
    m = compute_moments(x, dims, eps=1e-3, unbiased=unbiased)
    torch.testing.assert_close(m.mean, x.mean(dims, keepdim=True), rtol=0, atol=1e-12)
    std = (x.var(dims, correction=int(unbiased), keepdim=True) + 1e-3).sqrt()
    torch.testing.assert_close(m.std, std, rtol=0, atol=1e-12)


@pytest.mark.parametrize("positive_only", [False, True])
@pytest.mark.parametrize("ratio", [1, 1e2, 1e3, 1e4, 1e5])
def test_variance_survives_a_large_mean_in_float32(ratio, positive_only):
    x = (draw(4, 8, 16, 16) + ratio).float()
    m = compute_moments(x, (2, 3), positive_only=positive_only)
    exact = compute_moments(x.double(), (2, 3), positive_only=positive_only)
    shift = 4 * ratio * 2**-24  # the rounding of the mean itself, which enters the variance squared
    torch.testing.assert_close(m.std.double(), exact.std, rtol=1e-6 + shift**2 / 2, atol=0)
    torch.testing.assert_close(m.mean.double(), exact.mean, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_averaged_in_float32(dtype):
    x = (300 * draw(2, 4, 9, 9)).to(dtype)  # the variance is beyond what float16 can hold
    m = compute_moments(x, (2, 3))
    exact = compute_moments(x.double(), (2, 3))
    assert m.mean.dtype == m.std.dtype == torch.float32
    torch.testing.assert_close(m.std.double(), exact.std, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("dtype", "kept"), [(torch.float16, torch.float32), (torch.float32, None), (torch.float64, None)])
def test_only_half_types_are_upcast(dtype, kept):
    x = draw(2, 3, dtype=dtype)
    assert upcast(x).dtype == (kept or dtype)
    assert compute_moments(x, (1,)).std.dtype == (kept or dtype)


@pytest.mark.parametrize("positive_only", [False, True])
@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize(("shape", "dims"), [((3, 4, 1, 1), (2, 3)), ((3, 1, 2, 2), (1,)), ((3, 4), ())])
def test_one_element_has_variance_zero(shape, dims, unbiased, positive_only):
    x = draw(*shape).abs()
    m = compute_moments(x, dims, eps=1e-4, unbiased=unbiased, positive_only=positive_only)
    torch.testing.assert_close(m.mean, x, rtol=0, atol=0)
    torch.testing.assert_close(m.std, torch.full_like(x, 1e-2), rtol=1e-12, atol=0)


def test_positive_only_averages_the_support():
    x = torch.tensor([[1.0, 3.0, 0.0, -7.0]])
    m = compute_moments(x, (1,), eps=0.0, positive_only=True)
    assert (m.mean.item(), m.std.item()) == (2.0, 1.0)  # divided by the count, whatever `unbiased` says


@pytest.mark.parametrize("dims", [(1,), ()])
def test_positive_only_with_empty_support(dims):
    m = compute_moments(torch.tensor([[-1.0, -2.0]]), dims, eps=1e-4, positive_only=True)
    assert bool((m.mean == 0).all())
    torch.testing.assert_close(m.std, torch.full_like(m.std, 1e-2))


@pytest.mark.parametrize("options", [{}, {"unbiased": False}, {"positive_only": True}])
def test_gradcheck(options):
    x = draw(2, 3, 2, 3).requires_grad_()

    def moments(x):
        m = compute_moments(x, (2, 3), **options)
        return m.mean, m.std

    assert gradcheck(moments, x)


def test_gradient_is_finite_on_constant_input():
    x = torch.ones(2, 3, 4, 4, requires_grad=True)
    m = compute_moments(x, (2, 3))
    (m.mean.sum() + m.std.sum()).backward()
    assert bool(x.grad.isfinite().all())


def test_take_and_detach():
    x = draw(3, 2, 4).requires_grad_()
    m = compute_moments(x, (2,))
    taken = m.take(torch.tensor([2, 2, 0]))
    assert torch.equal(taken.mean, m.mean[[2, 2, 0]])
    assert torch.equal(taken.std, m.std[[2, 2, 0]])
    taken.std.sum().backward()
    assert [bool(row.any()) for row in x.grad] == [True, False, True]
    detached = m.detach()
    assert isinstance(detached, Moments)
    assert not detached.mean.requires_grad
    assert not detached.std.requires_grad


X = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
REAL = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]]).bool()


@pytest.mark.parametrize("norm", ["in", "ln", "gn2"])
@pytest.mark.parametrize("unbiased", [True, False])
def test_moments_count_real_positions_only(norm, unbiased):
    made = fm.normalizer(norm, layout="bnc", unbiased=unbiased)
    spoilt = torch.where(REAL.unsqueeze(2), X, float("nan"))
    masked = made.moments(spoilt, REAL)
    for i in range(3):
        alone = made.moments(X[i : i + 1, REAL[i]])
        torch.testing.assert_close(masked.mean[i], alone.mean[0])
        torch.testing.assert_close(masked.std[i], alone.std[0])
    xh, m = made.normalize(X, REAL)
    torch.testing.assert_close(made.denormalize(xh, m), X)


def test_a_row_without_real_positions_has_mean_0_and_variance_0():
    m = fm.normalizer("in", layout="bnc", eps=1e-4).moments(X, torch.zeros(3, 6, dtype=torch.bool))
    assert torch.equal(m.mean, torch.zeros(3, 1, 4))
    torch.testing.assert_close(m.std, torch.full((3, 1, 4), 1e-2))


def test_masked_variance_survives_a_large_mean():
    x = torch.randn(64, generator=torch.Generator().manual_seed(1)) + 1e5
    mask = torch.arange(64) < 50
    m = compute_moments(x, (0,), eps=1e-30, mask=mask)
    exact = compute_moments(x[:50].double(), (0,), eps=1e-30)
    torch.testing.assert_close(m.std.double(), exact.std, rtol=1e-5, atol=0)
