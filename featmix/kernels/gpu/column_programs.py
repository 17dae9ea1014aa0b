"""Rows mixed in place: a program owns a few positions of all rows, and reads them all before it writes any.

So no row is lost that another still needs, whoever is partner of whom, and nothing is copied. A tile is ``(B, P)``: all rows by
so many neighbours in memory.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def column(x, partner, rows, size, UNIT: tl.constexpr, B: tl.constexpr, P: tl.constexpr, WIDE: tl.constexpr):
    """A program's positions; where its tile lies; which of it exists and is mixed; its elements, and their partners'."""
    i, place = tl.arange(0, B).to(tl.int64), tl.program_id(0)
    if WIDE:
        place = place.to(tl.int64)
    at = place * P + tl.arange(0, P)
    j = tl.load(partner + i, mask=i < rows, other=0)
    real = ((i < rows) & (i != j))[:, None] & (at < size * UNIT)[None, :]
    exists = (i < rows)[:, None] & (at < size * UNIT)[None, :]
    spots = (i * size * UNIT)[:, None] + at[None, :]
    own = tl.load(x + spots, mask=exists)
    other = tl.load(x + (j * size * UNIT)[:, None] + at[None, :], mask=exists)
    tl.debug_barrier()  # all threads have read
    return i, at, spots, real, own, other


@triton.jit
def blend_in_place_program(
    x, partner, lam, rows, size, UNIT: tl.constexpr, B: tl.constexpr, P: tl.constexpr, WIDE: tl.constexpr
):  # fmt: skip
    """``lam * x_i + (1 - lam) * x_j``; rows that are their own partner stay."""
    i, _, spots, real, own, other = column(x, partner, rows, size, UNIT, B, P, WIDE)
    share = tl.load(lam + i, mask=i < rows, other=1.0)[:, None]
    mixed = own.to(tl.float32) * share + other.to(tl.float32) * (1 - share)
    tl.store(x + spots, mixed.to(x.dtype.element_ty), mask=real)


@triton.jit
def paste_in_place_program(
    x, partner, box, rows, size, s0, n0, s1, n1, s2, n2,
    UNIT: tl.constexpr, B: tl.constexpr, P: tl.constexpr, WIDE: tl.constexpr, AXES: tl.constexpr,
):  # fmt: skip
    """The partner's inside the box; only what changes is written in lines that no box reaches."""
    i, at, spots, real, own, other = column(x, partner, rows, size, UNIT, B, P, WIDE)
    taken = within(box + i * (2 * AXES), i < rows, (at // s0) % n0)
    if AXES > 1:
        taken = taken & within(box + i * (2 * AXES) + 2, i < rows, (at // s1) % n1)
    if AXES > 2:
        taken = taken & within(box + i * (2 * AXES) + 4, i < rows, (at // s2) % n2)
    some = tl.max(taken.to(tl.int32), 1)[:, None] > 0
    tl.store(x + spots, tl.where(taken, other, own), mask=real & some)


@triton.jit
def within(box, exists, c):
    """Whether positions lie between the two ends of each row's box along an axis."""
    first, past = tl.load(box, mask=exists, other=0).to(tl.int32), tl.load(box + 1, mask=exists, other=0).to(tl.int32)
    return (c[None, :] >= first[:, None]) & (c[None, :] < past[:, None])
