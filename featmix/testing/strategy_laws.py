"""Laws of every strategy: who takes from whom, and what is left alone."""

from __future__ import annotations

import dataclasses

import torch
from torch import Generator, Tensor

from featmix.strategies.base import Strategy
from featmix.strategies.params import Params
from featmix.testing.allowances import arithmetic, gradient, of_shares, reach, slack
from featmix.testing.decisions import all_idle, in_double, restrict, with_itself
from featmix.testing.inputs import noise
from featmix.testing.law import (
    CannotRunError,
    Case,
    LawError,
    decide,
    demand,
    demand_close,
    law,
    rounding,
    row_by_row,
    same_bits,
    sample_shape,
    without_a_prefix,
)


@law(
    "strategy",
    cause="Idle rows go through the arithmetic with strength 1 instead of being selected with torch.where.",
)
def identity(case: Case) -> None:
    """Rows that are not active come out bit for bit; a row that is its own partner comes out within rounding.

    Idle rows are selected, so nothing is rounded. A row with itself goes through the arithmetic: eight roundings of its scale,
    and of float32 times the steepest gain in the batch; two more of float32 where shares are drawn, which are float32, and so
    may their complements be. Strategies that do something to a row by itself say so.
    """
    params = case.params
    y = case.transform()
    idle = ~params.active
    demand(same_bits(y[idle], case.x[idle]), "a row that was not active changed")
    demand(same_bits(case.transform(params=all_idle(params)), case.x), "rows changed although none was active")
    if row_by_row(case.strategy) and case.strategy.self_is_identity:  # elsewhere the partner is not all that matters
        own = case.transform(params=with_itself(params))
        demand_close(own, case.x, slack(case) + of_shares(case), "a row that is its own partner")


@law(
    "strategy",
    cause="The inverse permutation is used: scatter where gather is meant, or roll in the other direction.",
    applies=row_by_row,
    whom="strategies whose rows depend on themselves and their partner alone",
)
def partner_direction(case: Case) -> None:
    """Row i takes from partner[i], not the other way round: in a cycle of three, each row is as in a batch with its partner.

    As in ``identity``: sums may run in another order in a smaller batch.
    """
    if len(case.x) < 3:
        return
    x = case.x[:3]
    params = decide(case.strategy, x.shape, case.seed, partner=torch.tensor([1, 2, 0]))
    y = case.transform(x, params)
    for i in range(3):
        two = [i, (i + 1) % 3]
        alone = case.transform(x[two], restrict(params, two))
        demand_close(y[i], alone[0], slack(case), f"row {i} beside its partner alone")


@law(
    "strategy",
    cause="A row's place in the batch matters: a loop over neighbours, a shared buffer, or one row's strength used for all.",
    applies=row_by_row,
    whom="strategies whose rows depend on themselves and their partner alone",
)
def batch_equivariance(case: Case) -> None:
    """Permuting rows and decision together permutes the result, bit for bit.

    No tolerance: rows are computed one like the other, wherever they stand.
    """
    order = torch.randperm(len(case.x), generator=Generator().manual_seed(case.seed)).tolist()
    there = case.transform(case.x[order], restrict(case.params, order))
    demand(same_bits(there, case.transform()[order]), "the result depends on where a row stands in the batch")


@law(
    "strategy",
    cause="Rows are gated by arithmetic (0 * NaN is NaN), or a statistic is taken over the batch.",
    applies=row_by_row,
    whom="strategies whose rows depend on themselves and their partner alone",
)
def isolation(case: Case) -> None:
    """NaN or Inf in one row does not change any row that does not take from it, bit for bit, and leaves its gradient finite.

    Gradients of the rows that the spoilt row itself takes from are left out: they see it through the chain rule.
    """
    params, sick = case.params, case.seed % len(case.x)
    spoilt = case.x.clone()
    spoilt[sick] = float("nan") if case.seed % 2 else float("inf")
    rows = torch.arange(len(spoilt))
    source = torch.where(params.active, params.partner, rows)
    well = (rows != sick) & (source != sick)
    demand(
        same_bits(case.transform(spoilt)[well], case.transform()[well]), f"row {sick} leaked into rows that do not take from it"
    )
    clean, spoilt = case.x.clone().requires_grad_(), spoilt.requires_grad_()
    for x in (clean, spoilt):
        torch.autograd.backward(case.transform(x)[well].float().sum())
    apart = well & (rows != source[sick])
    finite = gradient(spoilt).isfinite() | ~gradient(clean).isfinite()  # steep gains overflow in float16 by themselves
    demand(finite[apart], f"row {sick} leaked into gradients")


@law(
    "strategy",
    cause="Randomness or state inside transform, or a draw that does not use the generator it is given.",
)
def replay(case: Case) -> None:
    """The same decision twice, with another batch between, is bitwise the same; torch's global generator is not touched.

    No tolerance: the same arithmetic twice.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed ^ 0xFEA7)  # a state that nobody sets it to
        before = torch.get_rng_state()
        first, again = case.transform(), case.transform()
        case.transform(0.5 * case.x.roll(1, 0) + 1)
        second = case.transform()
        moved = not torch.equal(before, torch.get_rng_state())
    demand(same_bits(first, again) and same_bits(first, second), "the same decision gave two results")
    demand(not moved, "the global generator moved although one was given")
    a, b = case.draw(), case.draw()
    for field in dataclasses.fields(a):
        left, right = getattr(a, field.name), getattr(b, field.name)
        demand(not isinstance(left, Tensor) or same_bits(left, right), f"the same seed drew two {field.name}")


@law("strategy", cause="The result is the input: the decision is not used, or the gate never opens.", drawn=False)
def does_something(strategy: Strategy) -> None:
    """If each batch is mixed, a decision changes the features, unless its strengths are such that nothing changes.

    No tolerance: any change counts. Decisions are made with ``p = 1``, so that a small ``p``, or one that starts at 0, says
    nothing of it; a strength of 1 in every row is a decision to leave the features.
    """
    x = noise(8, *sample_shape(strategy), seed=7)
    if strategy.passes_through(x.shape):
        return
    kept = strategy.p
    try:
        strategy.p = 1.0
        cases = [Case(strategy, x, seed) for seed in range(20)]
        claimed = [case for case in cases if not _leaves_all(case.params)]
        if not claimed:
            raise CannotRunError("each of 20 decisions has the strength 1 in every row, which is to change nothing")
        demand(any(not torch.equal(case.transform(), x) for case in claimed), "nothing changed in 20 decisions")
    finally:
        strategy.p = kept


def _leaves_all(params: Params) -> bool:
    own = torch.eye(len(params.partner))
    return params.lam is not None and bool((params.lam == 1).all()) and torch.equal(params.mixture.matrix(), own)


@law(
    "strategy",
    cause="The vectorised form and the loop over samples disagree: an axis, a direction, or a gate.",
    applies=lambda s: type(s).oracle is not Strategy.oracle,
    whom="strategies with a NumPy loop named oracle",
    exact=True,
)
def oracle(case: Case) -> None:
    """The result equals the strategy's own NumPy loop over samples.

    1e-9 of the largest value, before or after, and what float64 loses inside where a gain is steep: both are float64, and
    differ in the order of sums. In float32, where float64 is not wanted, 16 of its roundings in place of 1e-9. Strengths are
    float32, and either side may compute their complements so: then both have to agree where strengths are float64.
    """
    case = without_a_prefix(case)
    try:
        _demand_oracle(case, case.params)
    except LawError:
        if not of_shares(case) or not _agrees_in_double(case):
            raise


def _agrees_in_double(case: Case) -> bool:
    try:
        _demand_oracle(case, case.params, 8 * rounding(torch.float32))
        _demand_oracle(case, in_double(case.params))
    except Exception:
        return False
    return True


def _demand_oracle(case: Case, params: Params, more: float = 0.0) -> None:
    expected = torch.from_numpy(case.strategy.oracle(case.x.double().numpy(), params))
    largest = torch.maximum(reach(case.x), reach(expected)).amax().clamp(min=1)
    allowed = max(1e-9, 16 * rounding(case.x.dtype), more) * largest + arithmetic(case)
    demand_close(case.transform(params=params), expected, allowed, f"{case.x.dtype} against the oracle")
