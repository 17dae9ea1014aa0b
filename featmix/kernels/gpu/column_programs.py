"""Rows mixed in place: a program owns a few positions of all rows, and reads them all before it writes any.

So no row is lost that another still needs, whoever is partner of whom, and nothing is copied. A tile is ``(B, P)``: all rows by
so many neighbours in memory.
"""

# mypy: ignore-errors
# (it is Triton's language, not Python's)
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def column(partner, rows, size, UNIT: tl.constexpr, B: tl.constexpr, P: tl.constexpr, WIDE: tl.constexpr):
    """All rows and a program's positions; where those lie in a row and in its partner; which are of a row that is mixed."""
    i, place = tl.arange(0, B).to(tl.int64), tl.program_id(0)
    if WIDE:
        place = place.to(tl.int64)
    at = place * P + tl.arange(0, P)
    j = tl.load(partner + i, mask=i < rows, other=0)
    real = ((i < rows) & (i != j))[:, None] & (at < size * UNIT)[None, :]
    return i, at, (i * size * UNIT)[:, None] + at[None, :], (j * size * UNIT)[:, None] + at[None, :], real


@triton.jit
def blend_in_place_program(
    x, partner, lam, rows, size, UNIT: tl.constexpr, B: tl.constexpr, P: tl.constexpr, WIDE: tl.constexpr
):  # fmt: skip
    """``lam * x_i + (1 - lam) * x_j``; rows that are their own partner stay."""
    i, _, spots, theirs, real = column(partner, rows, size, UNIT, B, P, WIDE)
    share = tl.load(lam + i, mask=i < rows, other=1.0)[:, None]
    own, other = tl.load(x + spots, mask=real), tl.load(x + theirs, mask=real)
    tl.debug_barrier()  # all threads have read
    mixed = own.to(tl.float32) * share + other.to(tl.float32) * (1 - share)
    tl.store(x + spots, mixed.to(x.dtype.element_ty), mask=real)


@triton.jit
def within(box, exists, c):
    """Whether positions lie between the two ends of each row's box along an axis."""
    first, past = tl.load(box, mask=exists, other=0).to(tl.int32), tl.load(box + 1, mask=exists, other=0).to(tl.int32)
    return (c[None, :] >= first[:, None]) & (c[None, :] < past[:, None])


@triton.jit
def paste_in_place_program(
    x, partner, box, rows, size, s0, n0, s1, n1, s2, n2,
    UNIT: tl.constexpr, B: tl.constexpr, P: tl.constexpr, WIDE: tl.constexpr, AXES: tl.constexpr,
):  # fmt: skip
    """The partner's inside the box; rows whose box has none of a program's positions are neither read nor written."""
    i, at, spots, theirs, real = column(partner, rows, size, UNIT, B, P, WIDE)
    taken = within(box + i * (2 * AXES), i < rows, (at // s0) % n0)
    if AXES > 1:
        taken = taken & within(box + i * (2 * AXES) + 2, i < rows, (at // s1) % n1)
    if AXES > 2:
        taken = taken & within(box + i * (2 * AXES) + 4, i < rows, (at // s2) % n2)
    touched = real & (tl.max(taken.to(tl.int32), 1)[:, None] > 0)
    own, other = tl.load(x + spots, mask=touched), tl.load(x + theirs, mask=touched)
    tl.debug_barrier()  # all threads have read
    tl.store(x + spots, tl.where(taken, other, own), mask=touched)
