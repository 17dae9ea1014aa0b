"""Laws of compiled strategies beyond one batch size and float32."""

from __future__ import annotations

import torch

from featmix.strategies.base import Strategy
from featmix.testing.allowances import reach
from featmix.testing.inputs import noise
from featmix.testing.law import Case, demand, demand_close, law, rounding, sample_shape, transformed


@law(
    "strategy",
    cause="A branch on whether a compiler is at work, or something kept of the first batch that was traced.",
    drawn=False,
    feeds=(torch.bfloat16,),
    applies=lambda strategy: getattr(strategy, "traceable", True),
    whom="strategies that a compiler can follow",
    slow=True,
)
def compile_again(strategy: Strategy) -> None:
    """Under torch.compile a strategy does the same in bfloat16, and for a second and a third batch size.

    Traced by the compiler and run as it is, which tells what is traced from what is meant in a fraction of the time. Two
    roundings of bfloat16: one cast at the end, as without. Graphs are counted by ``compile``, in float32.
    """
    torch._dynamo.reset()
    compiled = torch.compile(lambda x, params: transformed(strategy, x, params), backend="eager")
    for seed, batch in enumerate((4, 7, 9)):
        x = noise(batch, *sample_shape(strategy), seed=seed, dtype=torch.bfloat16)
        case = Case(strategy, x, seed)
        expected, found = case.transform(), compiled(x, case.params)
        demand(found.dtype == x.dtype and found.shape == x.shape, f"compiled, {x.dtype} became {found.dtype}")
        allowed = 2 * rounding(torch.bfloat16) * expected.double().abs() + 1e-6 * reach(expected).amax()
        demand_close(found, expected, allowed, f"compiled, {'the first' if not seed else 'another'} batch, of {batch} rows")
