"""Laws of normalizers."""

from __future__ import annotations

import torch
from torch import Tensor

from featmix.normalizer import Normalizer
from featmix.testing.law import demand, demand_close, law, rounding, same_bits


def _plain(norm: Normalizer) -> bool:
    return not norm.positive_only


@law(
    "normalizer",
    cause="denormalize uses another standard deviation than normalize: eps inside and outside the root, or "
    "biased and unbiased.",
)
def restores(norm: Normalizer, x: Tensor) -> None:
    """denormalize(normalize(x)) is x, within rounding of the normalized values and of the moments."""
    xh, m = norm.normalize(x)
    demand(xh.shape == x.shape and xh.dtype == x.dtype, f"{x.dtype} {tuple(x.shape)} became {xh.dtype} {tuple(xh.shape)}")
    u = rounding(x.dtype)
    bound = norm.view(xh).double().abs() * m.std + m.mean.abs() + norm.view(x).double().abs()
    demand_close(norm.view(norm.denormalize(xh, m)), norm.view(x), 8 * u * bound + torch.finfo(x.dtype).tiny, "restored")


@law("normalizer", cause="Normalized by another variance than the one reported, or over other axes.", applies=_plain)
def standardizes(norm: Normalizer, x: Tensor) -> None:
    """Normalized float64 features have mean 0 and variance v / (v + eps) in every group."""
    x = x.double()
    xh, m = norm.normalize(x)
    again = norm.moments(xh)
    variance = m.std.square() - norm.eps
    scale = 1 + m.mean.abs() / m.std
    demand_close(again.mean, torch.zeros_like(again.mean), 1e-12 * scale, "mean of the normalized features")
    expected = (variance / m.std.square() + norm.eps).sqrt()
    demand_close(again.std, expected, 1e-7 * scale, "standard deviation of the normalized features")


@law("normalizer", cause="A mean over the batch, or running statistics.", applies=lambda norm: norm.exchangeable)
def samples_apart(norm: Normalizer, x: Tensor) -> None:
    """A sample's moments do not depend on the rest of the batch."""
    whole = norm.moments(x)
    for i in range(len(x)):
        alone = norm.moments(x[i : i + 1])
        demand_close(alone.mean[0], whole.mean[i], 4 * rounding(torch.float32) * x.abs().amax(), f"mean of row {i} alone")
        demand_close(alone.std[0], whole.std[i], 4e-6 * (whole.std[i] + x.abs().amax() * 1e-2), f"std of row {i} alone")


@law(
    "normalizer",
    cause="Half-precision statistics, or one-pass variance.",
)
def statistics_in_float32(norm: Normalizer, x: Tensor) -> None:
    """Moments of half types are float32, float64 stays, and both agree with float64 statistics of the same values."""
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
    """Neither moments, normalize nor denormalize changes what it is given."""
    before = x.clone()
    xh, m = norm.normalize(x)
    kept = xh.clone()
    norm.denormalize(xh, m)
    demand(same_bits(x, before) and same_bits(xh, kept), "the input was changed")


@law("normalizer", cause="An axis, a group or a divisor.", applies=lambda norm: norm.exchangeable)
def agrees_with_oracle(norm: Normalizer, x: Tensor) -> None:
    """Float64 moments equal the NumPy loop's below 1e-9 of the scale."""
    x = x.double()
    m = norm.moments(x)
    zero = torch.zeros_like(norm.view(x))
    mean, std = (m.mean + zero).reshape(x.shape), (m.std + zero).reshape(x.shape)
    scale = 1e-9 * x.abs().amax().clamp(min=1)
    for i in range(len(x)):
        oracle_mean, oracle_std = norm.oracle(x[i].numpy())
        demand_close(mean[i], torch.from_numpy(oracle_mean), scale, "mean against the oracle")
        demand_close(std[i], torch.from_numpy(oracle_std), scale, "standard deviation against the oracle")
