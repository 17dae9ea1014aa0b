"""Laws of precision that hold for every strategy."""

from __future__ import annotations

import torch

from featmix.testing.allowances import arithmetic
from featmix.testing.law import Case, demand_close, law, rounding


@law(
    "strategy",
    cause="Arithmetic in the dtype of the input: each step rounds to half precision, and differences lose what was left.",
    reference=torch.float32,
)
def half_types(case: Case) -> None:
    """Half types are computed in float32 and cast once: the result is that of the same values in float32, cast.

    Tolerance: one unit in the last place of the result, where two casts of nearly one value part, and eight roundings of the
    float32 arithmetic. Results at the end of the dtype's range are left out.
    """
    dtype = case.x.dtype
    if dtype not in (torch.float16, torch.bfloat16):
        return
    wide = case.transform(case.x.float())
    inside = wide.abs() < 0.99 * torch.finfo(dtype).max
    expected = wide.to(dtype).double()
    slack = 2 * rounding(dtype) * expected.abs() + arithmetic(case) + torch.finfo(dtype).tiny
    measured = case.transform().double()
    demand_close(measured[inside], expected[inside], slack[inside], "half precision against float32")
