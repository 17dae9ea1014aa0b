"""Laws of what normalizers claim, with no other normalizer to compare with: mean, variance, eps, and masks."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.layouts import layout
from featmix.normalizers.base import Normalizer
from featmix.normalizers.moments import Moments
from featmix.testing.inputs import noise
from featmix.testing.law import CannotRunError, demand, demand_close, law, layout_name, same_bits
from featmix.testing.seen import made_by, seen
from featmix.testing.uses import sample_of

TAKERS = "normalizers with positions whose moments take a mask"


def takes_mask(norm: Normalizer) -> bool:
    """Return whether there can be padding, and ``moments`` and ``normalize`` have an argument for a mask."""
    takers = (norm.moments, norm.normalize)
    named = all("mask" in inspect.signature(method).parameters for method in takers)
    return named and bool(layout(layout_name(norm)).positions)


@law(
    "normalizer",
    cause="n and n - 1 mixed up, eps outside the root or forgotten, or a median, a trimmed or a running mean.",
    drawn=False,
    every_dtype=True,
    exact=True,
)
def claims(norm: Normalizer, dtype: torch.dtype) -> None:
    """Each mean is that of the elements that share it, and each standard deviation the root of their variance plus ``eps``.

    What shares a mean is read off the moments: noise gives no two groups the same. ``normalize`` gives ``(x - mean) / std``.
    Tried on values of order 1, and of order ``sqrt(eps)``, where eps is half of it. 1e-9 of the largest value in float64, and
    2e-5 in float32, where float64 is not wanted.
    """
    off = 1e-9 if dtype == torch.float64 else 2e-5
    for scale in (1.0, norm.eps**0.5):
        x = _features(norm, seed=7, dtype=dtype, scale=scale, shift=0.5 * scale)
        xh, m = norm.normalize(x)
        mean, std = (_spread(norm, each, x).double().flatten() for each in (m.mean, m.std))
        values = x.double().flatten()
        of = torch.unique(torch.stack([mean, std]), dim=1, return_inverse=True)[1].flatten()
        counted = values > 0 if norm.positive_only else torch.ones_like(values, dtype=torch.bool)
        number = _sums(counted.double(), of)
        expected = _sums(torch.where(counted, values, 0.0), of) / number.clamp(min=1)
        largest = float(values.abs().amax())
        demand_close(mean, expected[of], off * largest, "mean against the mean of what shares it")
        squares = _sums(torch.where(counted, values - expected[of], 0.0).square(), of)
        divisor = (number - int(norm.unbiased and not norm.positive_only)).clamp(min=1)
        wanted = (squares / divisor + norm.eps).sqrt()
        said = f"standard deviation against the root of the variance and eps={norm.eps}, unbiased={norm.unbiased}"
        demand_close(std, wanted[of], off * (largest + wanted[of]), said)
        exact = (values - mean) / std
        demand_close(xh.double().flatten(), exact, off * (largest / std + exact.abs()), "normalized features")


@law(
    "normalizer",
    cause="Padding counted, a divisor of all positions, or a mask that multiplies in place of selecting.",
    drawn=False,
    applies=takes_mask,
    whom=TAKERS,
)
def masked_moments(norm: Normalizer) -> None:
    """Moments under a mask are those of the real positions: NaN in the padding has no effect; with none real they are 0.

    That is a mean of 0 and a standard deviation of ``sqrt(eps)``. ``normalize`` goes by the same moments, and a mask that is
    true everywhere changes nothing. 1e-5 of values of order 1: float32 sums may run in another order.
    """
    x = _features(norm, seed=8, batch=4)
    lay = layout(layout_name(norm))
    first, sizes = lay.positions[0], lay.spatial_shape(x.shape)
    lengths = [3] * len(x) if norm.over_batch or not norm.exchangeable else [5, 3, 1, 0]
    real = torch.zeros(len(x), *sizes, dtype=torch.bool)
    for row, length in enumerate(lengths):
        real[row].narrow(0, 0, length).fill_(True)
    try:
        m = norm.moments(x, real)
    except FeatmixError as error:
        raise CannotRunError(f"it takes no mask: {error}") from error
    at = lay.spread(real).expand(x.shape)
    found = [_spread(norm, each, x) for each in (m.mean, m.std)]
    parts = [slice(None)] if len(set(lengths)) == 1 else [slice(k, k + 1) for k in range(len(x))]
    for rows, length in zip(parts, lengths, strict=False):
        short = x[rows].narrow(first, 0, length).contiguous()
        expected = norm.moments(short) if length else Moments(torch.zeros(()), torch.full((), norm.eps**0.5))
        for what, each, wanted in zip(("mean", "standard deviation"), found, (expected.mean, expected.std), strict=True):
            there = each[rows].narrow(first, 0, length) if length else each[rows]
            compared = _spread(norm, wanted, short) if length else wanted.expand_as(there)
            demand_close(there, compared, 1e-5 * (1 + compared.abs()), f"{what} of {length} real positions of {sizes[0]}")
    spoilt = norm.moments(torch.where(at, x, float("nan")), real)
    demand(same_bits(spoilt.mean, m.mean) and same_bits(spoilt.std, m.std), "what lies in the padding reached the moments")
    xh, said = norm.normalize(x, real)
    demand(
        same_bits(said.mean, m.mean) and same_bits(said.std, m.std), "normalize reports other moments under a mask than moments"
    )
    exact = (x - found[0]) / found[1]
    demand_close(xh[at], exact[at], 1e-5 * (1 + exact[at].abs()), "normalized features under a mask")
    plain, whole = norm.moments(x), norm.moments(x, torch.ones_like(real))
    demand_close(whole.mean, plain.mean, 1e-5 * (1 + plain.mean.abs()), "mean under a mask that is true everywhere")
    demand_close(whole.std, plain.std, 1e-5 * (1 + plain.std), "standard deviation under a mask that is true everywhere")
    numbers = norm.moments(x, real.long())
    demand(same_bits(numbers.mean, m.mean) and same_bits(numbers.std, m.std), "a mask of integers gives other moments")


def _features(
    norm: Normalizer, *, seed: int, batch: int = 3, dtype: torch.dtype = torch.float32, scale: float = 1.0, shift: float = 0.0
) -> Tensor:
    """Ordinary features for a normalizer, that say how they were made."""
    shape = (batch, *sample_of(norm))
    x = noise(*shape, seed=seed, dtype=dtype)
    if (scale, shift) != (1.0, 0.0):
        made = f"noise({', '.join(map(str, shape))}, seed={seed}, dtype={dtype})"
        x = made_by(x * scale + shift, f"{made} * {scale!r} + {shift!r}")
    seen(x)
    return x


def _spread(norm: Normalizer, moments: Tensor, x: Tensor) -> Tensor:
    """Moments at each element of the features."""
    return moments.expand(norm.view(x).shape).reshape(x.shape)


def _sums(values: Tensor, of: Tensor) -> Tensor:
    return torch.zeros(int(of.max()) + 1, dtype=values.dtype).scatter_add_(0, of, values)
