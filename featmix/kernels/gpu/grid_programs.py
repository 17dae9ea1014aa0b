"""Where a program stands in its grid."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def step(WIDE: tl.constexpr):
    """The program's number along all but the first axis of the grid, which ``plan.grid`` splits in two."""
    number = tl.program_id(1)
    if WIDE:
        number = number.to(tl.int64)
    return number + tl.program_id(2) * tl.num_programs(1)
