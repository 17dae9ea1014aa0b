"""Laws of normalizers."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from featmix.normalizers.base import Normalizer
from featmix.testing.allowances import gradient, memory_formats
from featmix.testing.inputs import rows
from featmix.testing.law import demand, demand_close, law, rounding, same_bits, sample_shape
from featmix.testing.seen import seen


def _plain(norm: Normalizer) -> bool:
    return not norm.positive_only


@law(
    "normalizer",
    cause="denormalize uses another standard deviation than normalize: eps inside and outside the root, or "
    "biased and unbiased.",
)
def restores(norm: Normalizer, x: Tensor) -> None:
    """denormalize(normalize(x)) is x, within rounding of the normalized values and of the moments.

    Tolerance: ``8 u (|xh| std + |mean| + |x|) + (8 + n) u32 max|x|``, the last over a group of n: normalize may take its mean
    and variance in another order than those reported, and a plain sum of n terms loses up to n roundings.
    """
    xh, m = norm.normalize(x)
    demand(xh.shape == x.shape and xh.dtype == x.dtype, f"{x.dtype} {tuple(x.shape)} became {xh.dtype} {tuple(xh.shape)}")
    u = rounding(x.dtype)
    u32 = min(u, rounding(torch.float32))
    values = norm.view(x).double().abs()
    reduced = [k for k, (a, b) in enumerate(zip(values.shape, m.mean.shape, strict=True)) if a != b]
    largest = values.amax(reduced, keepdim=True) if reduced else values
    pointwise = 8 * u * (norm.view(xh).double().abs() * m.std + m.mean.abs() + values)
    summed = (8 + norm.group_size(x.shape)) * u32 * largest
    allowed = pointwise + summed + torch.finfo(x.dtype).tiny
    demand_close(norm.view(norm.denormalize(xh, m)), norm.view(x), allowed, "restored")


@law(
    "normalizer",
    cause="Normalized by another variance than the one reported, or over other axes.",
    exact=True,
    applies=_plain,
    whom="normalizers with positive_only=False",
)
def standardizes(norm: Normalizer, x: Tensor) -> None:
    """Normalized float64 features have mean 0 and variance v / (v + eps) in every group.

    1e-12 on means of values of order 1, 1e-7 on standard deviations, which eps enters twice; both grow with ``|mean| / std``,
    because that many digits are gone before anything is computed. In float32, where float64 is not wanted, 5e-4 for both.
    """
    loss = 9000 * rounding(x.dtype)
    xh, m = norm.normalize(x)
    again = norm.moments(xh)
    variance = m.std.square() - norm.eps
    scale = 1 + m.mean.abs() / m.std
    demand_close(again.mean, torch.zeros_like(again.mean), loss * scale, "mean of the normalized features")
    expected = (variance / m.std.square() + norm.eps).clamp(min=0).sqrt()
    demand_close(again.std, expected, max(1e-7, loss) * scale, "standard deviation of the normalized features")


@law(
    "normalizer",
    cause="A mean over the batch, or running statistics.",
    applies=lambda norm: norm.exchangeable,
    whom="normalizers that give each sample moments of its own",
)
def samples_apart(norm: Normalizer, x: Tensor) -> None:
    """A sample's moments do not depend on the rest of the batch.

    A sum over one row may run in another order than the same sum inside a batch: a few roundings of float32.
    """
    whole = norm.moments(x)
    for i in range(len(x)):
        alone = norm.moments(x[i : i + 1])
        demand_close(alone.mean[0], whole.mean[i], 4 * rounding(torch.float32) * x.abs().amax(), f"mean of row {i} alone")
        demand_close(alone.std[0], whole.std[i], 4e-6 * (whole.std[i] + x.abs().amax() * 1e-2), f"std of row {i} alone")


@law(
    "normalizer",
    cause="Half-precision statistics, or one-pass variance.",
    reference=torch.float64,
)
def statistics_in_float32(norm: Normalizer, x: Tensor) -> None:
    """Moments of half types are float32, float64 stays, and both agree with float64 statistics of the same values.

    Eight roundings of the dtype that statistics are due, on ``max|x|``: what two passes lose, and one pass exceeds.
    """
    m = norm.moments(x)
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    demand(m.mean.dtype == wide and m.std.dtype == wide, f"moments of {x.dtype} are {m.mean.dtype}")
    exact = norm.moments(x.double())
    reach = x.double().abs().amax()
    demand_close(m.mean, exact.mean, 8 * rounding(wide) * reach, "mean")
    demand_close(m.std, exact.std, 8 * rounding(wide) * (exact.std + reach), "standard deviation")


@law(
    "normalizer",
    cause="An in-place operation.",
)
def leaves_input_alone(norm: Normalizer, x: Tensor) -> None:
    """Neither moments, normalize nor denormalize changes its input.

    No tolerance: bits.
    """
    before = x.clone()
    xh, m = norm.normalize(x)
    kept = xh.clone()
    norm.denormalize(xh, m)
    demand(same_bits(x, before) and same_bits(xh, kept), "the input was changed")


@law(
    "normalizer",
    cause="An axis, a group or a divisor.",
    exact=True,
    applies=lambda norm: norm.exchangeable and getattr(norm, "has_oracle", True),
    whom="normalizers that give each sample moments of its own, and claim to be like one of featmix's",
)
def agrees_with_oracle(norm: Normalizer, x: Tensor) -> None:
    """Float64 moments equal the NumPy loop's below 1e-9 of the scale.

    1e-9 of the largest value: both are float64. In float32, where float64 is not wanted, 16 of its roundings.
    """
    m = norm.moments(x)
    zero = torch.zeros_like(norm.view(x))
    mean, std = (m.mean + zero).reshape(x.shape), (m.std + zero).reshape(x.shape)
    scale = max(1e-9, 16 * rounding(x.dtype)) * x.abs().amax().clamp(min=1)
    for i in range(len(x)):
        oracle_mean, oracle_std = norm.oracle(x[i].double().numpy())
        demand_close(mean[i], torch.from_numpy(oracle_mean), scale, "mean against the oracle")
        demand_close(std[i], torch.from_numpy(oracle_std), scale, "standard deviation against the oracle")


@law(
    "normalizer",
    cause="The gradient of sqrt at 0: eps stands outside the root, or statistics are differentiated in half precision.",
    drawn=False,
    every_dtype=True,
)
def constant_groups(norm: Normalizer, dtype: torch.dtype) -> None:
    """Constant features give finite normalized values, moments and gradients in every dtype.

    Nothing else is allowed: the variance is 0 and eps keeps the root away from 0. A dtype is left out where its range does
    not hold a few times ``1 / sqrt(eps)``, the gain that constant features are due.
    """
    if 32 / norm.eps**0.5 > torch.finfo(dtype).max:
        return
    for modes in (["constant"] * 3, ["constant", "normal", "constant"]):
        x = rows(modes, sample_shape(norm), seed=0, magnitude=3.0, dtype=dtype).requires_grad_()
        seen(x)
        xh, m = norm.normalize(x)
        for what, values in {"normalized features": xh, "mean": m.mean, "standard deviation": m.std}.items():
            demand(values.isfinite(), f"{what} not finite in {dtype}")
        torch.autograd.backward((xh.float() * _weight(x)).sum() + m.mean.sum() + m.std.sum())
        demand(gradient(x).isfinite(), f"gradient not finite in {dtype}")


@law(
    "normalizer",
    cause="A variance over n - 1 with n = 1: 0 / 0.",
    drawn=False,
    applies=lambda norm: norm.group_size(_smallest(norm)) == 1,
    whom="normalizers that can have a group of one element",
)
def single_elements(norm: Normalizer) -> None:
    """The mean of a group of one element is that element, and its standard deviation is sqrt(eps); all is finite.

    The root of eps is taken once, in float32: two roundings. Positive-only moments of an element below 0 have mean 0.
    """
    for value in (2.0, -2.0):
        x = torch.full(_smallest(norm), value, requires_grad=True)
        seen(x)
        xh, m = norm.normalize(x)
        mean = max(value, 0.0) if norm.positive_only else value
        demand_close(m.mean, torch.full_like(m.mean, mean), 0.0, "mean of a single element")
        expected = torch.full_like(m.std, norm.eps**0.5)
        demand_close(m.std, expected, 4 * rounding(torch.float32) * norm.eps**0.5, "standard deviation of a single element")
        demand(xh.isfinite(), "a normalized single element is not finite")
        torch.autograd.backward(xh.sum() + m.mean.sum() + m.std.sum())
        demand(gradient(x).isfinite(), "the gradient of a single element is not finite")


@law(
    "normalizer",
    cause="A detach() inside, or a hand-written backward that forgets the moments' own gradient.",
    drawn=False,
    feeds=(torch.float64,),
    slow=True,
)
def normalize_gradient(norm: Normalizer) -> None:
    """In float64 the gradient of normalize, through the moments too, is that of finite differences (torch's gradcheck).

    The entries are evenly spaced and none is near 0, so that no finite difference changes a support or meets a variance
    that is small against its step. Tolerance: gradcheck's own, 1e-5 and 1e-3 relative.
    """
    shape = (2, *sample_shape(norm, positions=2))
    count = torch.Size(shape).numel()
    order = torch.randperm(count, generator=Generator().manual_seed(5))
    x = (4 * (order.double() + 0.5) / count - 2).view(shape)
    x = (x + 0.1 * x.sign()).requires_grad_()
    seen(x)
    held = torch.autograd.gradcheck(lambda z: norm.normalize(z)[0], (x,), raise_exception=False)
    demand(held, "gradcheck of normalize failed")


@law("normalizer", cause="A reshape with -1, which an empty tensor cannot answer.", drawn=False, every_dtype=True)
def empty_batch(norm: Normalizer, dtype: torch.dtype) -> None:
    """An empty batch passes normalize and denormalize, and keeps its shape and dtype.

    No tolerance: shapes and dtypes.
    """
    x = torch.zeros(0, *sample_shape(norm), dtype=dtype, requires_grad=True)
    seen(x)
    xh, m = norm.normalize(x)
    y = norm.denormalize(xh, m)
    for z in (xh, y):
        demand(z.shape == x.shape and z.dtype == dtype, f"{dtype} {tuple(x.shape)} became {z.dtype} {tuple(z.shape)}")
    torch.autograd.backward(y.sum())


@law("normalizer", cause="view() where reshape is meant, or values read in the order in which memory holds them.")
def memory_format(norm: Normalizer, x: Tensor) -> None:
    """channels_last, sliced and transposed input give what contiguous input gives, within rounding.

    Sums may run in another order: 16 roundings of the statistics' own dtype on ``max|x|`` for mean and standard deviation.
    Normalized values carry both, divided by the standard deviation, and one rounding of their own dtype on each side.
    """
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    expected, exact = norm.normalize(x.contiguous())
    off = 16 * rounding(wide) * (x.abs().amax().double() + exact.std.double())
    flat = norm.view(expected).double()
    slack = off / exact.std.double() * (1 + flat.abs()) + 4 * rounding(x.dtype) * flat.abs() + torch.finfo(x.dtype).tiny
    for form in memory_formats(x):
        xh, m = norm.normalize(form)
        demand_close(m.mean, exact.mean, off, f"mean of input with strides {form.stride()}")
        demand_close(m.std, exact.std, off, f"standard deviation of input with strides {form.stride()}")
        demand_close(norm.view(xh.contiguous()), flat, slack, f"normalized input with strides {form.stride()}")


@law(
    "normalizer",
    cause="One-pass variance, or a mean that loses its low bits: subtract the mean first, then square.",
    drawn=False,
    reference=torch.float64,
)
def far_from_zero(norm: Normalizer) -> None:
    """In float32, mean and standard deviation are right if ``|mean| / std`` is 1e5.

    Against float64 statistics of the same values. The mean may be off by ``d``, 8 roundings of ``max|x|``; what is left of
    it in the variance is ``d^2``, because deviations are taken before they are squared: the standard deviation may be off by
    ``d^2 / std`` and by 8 roundings of its own.
    """
    u = rounding(torch.float32)
    for seed in range(8):
        magnitude = (-1.0) ** seed * 1e5
        x = rows(["offset"] * 4, sample_shape(norm), seed=seed, magnitude=magnitude, dtype=torch.float32)
        seen(x)
        measured, exact = norm.moments(x), norm.moments(x.double())
        off = 8 * u * x.abs().amax().double()
        demand_close(measured.mean, exact.mean, off, "mean far from 0")
        demand_close(measured.std, exact.std, 8 * u * exact.std + off.square() / exact.std, "standard deviation far from 0")


def _smallest(norm: Normalizer) -> tuple[int, ...]:
    """The shape of a batch whose groups are as small as they can be."""
    return (1, *sample_shape(norm, positions=1, groups=1))


def _weight(x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=Generator().manual_seed(6))
