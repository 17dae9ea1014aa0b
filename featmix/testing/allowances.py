"""Tolerances, and inputs in every memory format, for the laws."""

from __future__ import annotations

import torch
from torch import Tensor

from featmix.strategies.moments import MomentStrategy
from featmix.testing.law import (
    Case,
    rounding,
    without_a_prefix,
)


def slack(case: Case) -> Tensor:
    """Return eight roundings of a row's own scale, and of the scale that its partner lends it."""
    largest = torch.maximum(reach(case.x), reach(case.transform()))
    return 8 * rounding(case.x.dtype) * largest.amax() + arithmetic(case) + torch.finfo(case.x.dtype).tiny


def arithmetic(case: Case) -> Tensor:
    """Return the error allowed inside: eight roundings, in float32 for half types, times the largest gain."""
    case = without_a_prefix(case)
    inside = min(rounding(case.x.dtype), rounding(torch.float32))
    return (8 * inside * steepest(case) * reach(case.x)).amax()


def steepest(case: Case) -> Tensor:
    """Return the largest gain of each row, 1 at least: what differences are multiplied with where moments move."""
    case = without_a_prefix(case)
    strategy = case.strategy
    if not isinstance(strategy, MomentStrategy) or strategy.passes_through(case.x.shape):
        return torch.ones(())
    own = strategy.moments_of(case.x.double(), case.params)
    lent = strategy.lent_moments(case.x.double(), case.params, own)
    new = strategy.new_moments(own, lent.take(case.params.tied().partner), case.params)
    largest = torch.maximum(lent.std.amax(), new.std.abs().amax())
    return (largest / own.std.flatten(1).amin(1)).clamp(min=1)


def of_shares(case: Case) -> float:
    """Return what is lost where a share and its complement are float32: they add up to 1 within two of its roundings."""
    drawn = [*case.params.per_row().values(), *([case.params.mixture.weight] if case.params.mixture.index.shape[1] > 1 else [])]
    if not any(t.dtype == torch.float32 for t in drawn):
        return 0.0
    return 2 * rounding(torch.float32) * float(reach(case.x).amax()) if len(case.x) else 0.0


def reach(x: Tensor) -> Tensor:
    """Return each row's largest magnitude; what is not finite earns no slack."""
    return x.double().nan_to_num(0, 0, 0).abs().flatten(1).amax(1)


def memory_formats(x: Tensor) -> list[Tensor]:
    """Return the same values contiguous, sliced out of a larger tensor, transposed, and, with 4 axes, as channels_last."""
    padded = torch.zeros(*x.shape[:-1], 2 * x.shape[-1] + 1, dtype=x.dtype)
    sliced = padded[..., 1::2]  # its last two axes cannot be seen as one
    sliced.copy_(x)
    swapped = x.transpose(0, 1).contiguous().transpose(0, 1)
    formats = [x.contiguous(), sliced, swapped]
    return [*formats, x.contiguous(memory_format=torch.channels_last)] if x.ndim == 4 else formats


def gradient(x: Tensor) -> Tensor:
    """Return the gradient of a leaf; zeros where it has none."""
    return torch.zeros_like(x) if x.grad is None else x.grad
