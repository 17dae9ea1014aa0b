"""Laws of strategies that move moments: the moments arrive where they should, and numerics hold."""

from __future__ import annotations

import torch
from torch import Tensor

from featmix.normalizers.base import Normalizer
from featmix.normalizers.moments import Moments
from featmix.strategies.moments import MomentStrategy
from featmix.testing.inputs import rows
from featmix.testing.law import Case, demand, demand_close, law, moves_moments, rounding, sample_shape, without_a_prefix

MOVERS = "strategies that restore with moments that they name"


class _Measured:
    """A case seen through its normalizer, in float64: what the moments are, should become, and may be off by."""

    def __init__(self, case: Case) -> None:
        strategy = case.strategy
        if not isinstance(strategy, MomentStrategy):
            raise TypeError(f"{type(strategy).__name__} names no moments")
        params = case.params
        self.norm: Normalizer = strategy.normalizer
        x, y = case.x.double(), case.transform().double()
        self.view, self.result = self.norm.view(x), self.norm.view(y)
        content = strategy.content(params)
        self.content = torch.ones_like(x, dtype=torch.bool)
        if content is not None:
            self.content &= strategy.layout_of(x.shape).spread(content)
        self.content = self.norm.view(self.content)
        self.support = self.content & (self.view > 0) if strategy.positive_only else self.content
        self.own = strategy.moments_of(x, params)
        rows = torch.arange(len(x))
        partner = strategy.lent_moments(x, params, self.own).take(torch.where(params.active, params.partner, rows))
        new = strategy.new_moments(self.own, partner, params)
        self.active = params.active.view(-1, *[1] * (self.view.ndim - 1))
        self.new = Moments(torch.where(self.active, new.mean, self.own.mean), torch.where(self.active, new.std, self.own.std))
        self.gain = self.new.std.abs() / self.own.std  # noise may turn a standard deviation negative: the map is mirrored
        u = rounding(case.x.dtype)
        u32 = min(u, rounding(torch.float32))  # of the arithmetic inside
        spread = self._largest((self.view - self.own.mean).abs())
        sources = self.own.mean.abs() + partner.mean.abs() + partner.std
        if strategy.tags.batch_coupled:  # then they are all the batch's moments, in every channel
            sources = sources.amax()
        self.tolerance = (
            8
            * (
                u * (self.new.mean.abs() + spread * self.gain)
                + u32 * (self.gain * (self.own.mean.abs() + self._largest(self.view.abs())) + sources)
            )
            + torch.finfo(case.x.dtype).tiny
        )

    def moments_of(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, without eps, over the support."""
        dims = self._dims()
        n = self.support.sum(dims, keepdim=True)
        mean = torch.where(self.support, values, 0).sum(dims, keepdim=True) / n.clamp(min=1)
        squares = torch.where(self.support, values - mean, 0).square().sum(dims, keepdim=True)
        unbiased = int(self.norm.unbiased and not self.norm.positive_only)
        return mean, (squares / (n - unbiased).clamp(min=1)).sqrt()

    def group_size(self) -> Tensor:
        """Elements that each mean is taken over."""
        return self.support.sum(self._dims(), keepdim=True)

    def _dims(self) -> tuple[int, ...]:
        return tuple(k for k, (a, b) in enumerate(zip(self.view.shape, self.own.mean.shape, strict=True)) if a != b)

    def _largest(self, values: Tensor) -> Tensor:
        return torch.where(self.content, values, 0).amax(self._dims(), keepdim=True)


def _has_groups(case: Case) -> bool:
    strategy = case.strategy
    return isinstance(strategy, MomentStrategy) and not strategy.passes_through(case.x.shape)


@law(
    "strategy",
    cause="One-pass variance (E[x^2] - E[x]^2), statistics in half precision, eps outside the root, biased and "
    "unbiased variance mixed up, or the partner's moments swapped.",
    applies=moves_moments,
    whom=MOVERS,
)
def moments(case: Case, looser: float = 1.0) -> None:
    """After restyling the mean is the new mean, and the standard deviation is sigma * new_std / std.

    Measured in float64. Tolerance: eight roundings of the output and of the float32 arithmetic that leads to it,
    ``8 [u (|m'| + zmax g) + u32 (g (|m| + max|x|) + |m| + |m_p| + s_p)]``, the last three the largest of the batch where rows
    depend on all of it. ``std(y) = new_std`` would be false: eps stands inside the root, and a constant channel stays constant.
    """
    case = without_a_prefix(case)
    if not _has_groups(case):
        return
    seen = _Measured(case)
    seen.tolerance *= looser
    mean, std = seen.moments_of(seen.result)
    some = seen.group_size() > 0
    demand_close(torch.where(some, mean, 0), torch.where(some, seen.new.mean, 0), seen.tolerance, "mean of the result")
    _, own_std = seen.moments_of(seen.view)
    demand_close(std, own_std * seen.gain, seen.tolerance, "standard deviation of the result")


@law(
    "strategy",
    cause="The new standard deviation is too large for the variance it stands for: n and n - 1 mixed up, or eps counted twice.",
    applies=lambda s: moves_moments(s) and s.unbiased and not s.positive_only,
    whom=f"{MOVERS}, with unbiased=True and positive_only=False",
)
def z_bound(case: Case) -> None:
    """No restyled value is further from the new mean than new_std * sqrt(n - 1): Samuelson's inequality, within rounding.

    The tolerance of ``moments``: the bound is reached by a spike, so that rounding alone can pass it.
    """
    case = without_a_prefix(case)
    if not _has_groups(case):
        return
    seen = _Measured(case)
    bound = seen.new.std.abs() * (seen.group_size() - 1).clamp(min=0).double().sqrt()
    excess = torch.where(seen.support, (seen.result - seen.new.mean).abs() - bound, -float("inf"))
    demand(excess <= seen.tolerance, f"a value lies {excess.max().item():.3g} past the bound")


@law(
    "strategy",
    cause="One-pass variance, or a mean that loses its low bits: subtract the mean first, then square.",
    drawn=False,
    reference=torch.float64,
    applies=lambda s: moves_moments(s) and not s.positive_only,
    whom=f"{MOVERS}, with positive_only=False",
)
def extreme_offset(strategy: MomentStrategy) -> None:
    """In float32, moments keep the tolerance of the first law if ``|mean| / std`` is 1e5.

    Not looser than at home: the tolerance grows with ``max|x|``, as the roundings of any two-pass variance do.
    """
    for seed in range(8):
        shape = sample_shape(strategy)
        x = rows(["offset"] * 4, shape, seed=seed, magnitude=(-1.0) ** seed * 1e5, dtype=torch.float32)
        moments(Case(strategy, x, seed))


@law(
    "strategy",
    cause="Statistics follow the autocast dtype instead of float32.",
    drawn=False,
    feeds=(torch.bfloat16,),
    reference=torch.float64,
    applies=moves_moments,
    whom=MOVERS,
)
def autocast(strategy: MomentStrategy) -> None:
    """Under autocast bfloat16 goes in and comes out, and statistics lie within 1e-6 of float64 (relative to max|x|).

    1e-6 of ``max|x|`` is some ten roundings of float32; bfloat16 statistics would be off by 4e-3.
    """
    x = rows(["normal", "offset", "relu_ties"], sample_shape(strategy), seed=0, magnitude=10.0, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = Case(strategy, x, 0).transform()
        measured = strategy.normalizer.moments(x)
    exact = strategy.normalizer.moments(x.double())
    demand(y.dtype == torch.bfloat16, f"bfloat16 went in and {y.dtype} came out")
    scale = 1e-6 * float(x.double().abs().max())
    demand_close(measured.mean, exact.mean, scale, "mean under autocast")
    demand_close(measured.std, exact.std, scale, "standard deviation under autocast")
