"""What one program does with a block of a row: samples lie one after the other, in any order of their own axes.

A block is ``(N, V)``: vectors of ``V`` elements that lie side by side, of which a whole one is read or none. Programs of all
rows for the same block run side by side: what one of them reads as its partner's another has just read as its own. ``size``
comes divided by ``UNIT``, which tells the compiler that it is a multiple of it.
"""

from __future__ import annotations

import triton
import triton.language as tl

from featmix.kernels.gpu.exchange_programs import next_taker
from featmix.kernels.gpu.place_programs import inside, shared, source, wanted


@triton.jit
def block(rows, N: tl.constexpr, V: tl.constexpr, WIDE: tl.constexpr):
    """A program's row, and where the vectors of its block begin in a sample."""
    column, i = tl.program_id(0) // rows, (tl.program_id(0) % rows).to(tl.int64)
    if WIDE:
        column = column.to(tl.int64)
    return i, column * (N * V) + tl.arange(0, N) * V


@triton.jit
def elements(first, size, UNIT: tl.constexpr, V: tl.constexpr):
    """Offsets of a block's elements in their sample, and which of them exist."""
    at = first[:, None] + tl.arange(0, V)[None, :]
    return at, at < size * UNIT


@triton.jit
def taker_of(partner, taker, i, rows, ROWS: tl.constexpr):
    """The first row that took from row ``i``, -1 where there is none; they are searched for where ``taker`` is not there."""
    return next_taker(partner, i, -1, rows, ROWS) if taker is None else tl.load(taker + i)


@triton.jit
def taker_behind(partner, taker, i, k, rows, ROWS: tl.constexpr):
    """The next row behind ``k`` that took from row ``i``, -1 where there is none."""
    return next_taker(partner, i, k, rows, ROWS) if taker is None else k * 0 - 1


@triton.jit
def blend_program(
    x, y, partner, lam, rows, size, UNIT: tl.constexpr, N: tl.constexpr, V: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """``lam * x_i + (1 - lam) * x_j``; rows that are their own partner are copied."""
    i, first = block(rows, N, V, WIDE)
    at, real = elements(first, size, UNIT, V)
    j, share = tl.load(partner + i), tl.load(lam + i)
    own = tl.load(x + i * size * UNIT + at, mask=real)
    other = tl.load(x + j * size * UNIT + at, mask=real)
    mixed = own.to(tl.float32) * share + other.to(tl.float32) * (1 - share)
    tl.store(y + i * size * UNIT + at, tl.where(i == j, own, mixed.to(y.dtype.element_ty)), mask=real)


@triton.jit
def blend_back_program(
    g, to, partner, taker, lam, rows, size, UNIT: tl.constexpr, N: tl.constexpr, V: tl.constexpr, WIDE: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    """A sample's share of its own row's gradient, and what its takers took."""
    i, first = block(rows, N, V, WIDE)
    at, real = elements(first, size, UNIT, V)
    own = tl.load(g + i * size * UNIT + at, mask=real, other=0.0).to(tl.float32)
    total = own * tl.where(tl.load(partner + i) == i, 1.0, tl.load(lam + i))
    k = taker_of(partner, taker, i, rows, ROWS)
    while k >= 0:
        given = 1 - tl.load(lam + k)
        total += given * tl.load(g + k * size * UNIT + at, mask=real, other=0.0).to(tl.float32)
        k = taker_behind(partner, taker, i, k, rows, ROWS)
    tl.store(to + i * size * UNIT + at, total.to(to.dtype.element_ty), mask=real)


@triton.jit
def paste_program(
    x, y, partner, box, rows, size, s0, n0, s1, n1, s2, n2,
    UNIT: tl.constexpr, N: tl.constexpr, V: tl.constexpr, WIDE: tl.constexpr,
    AXES: tl.constexpr, ALONG: tl.constexpr, SHRUNK: tl.constexpr,
):  # fmt: skip
    """The partner's inside the box, or all of the partner in that box; only what is needed of both is read."""
    i, first = block(rows, N, V, WIDE)
    at, real = elements(first, size, UNIT, V)
    j = tl.load(partner + i)
    taken = tl.where(i == j, False, inside(box + i * (2 * AXES), first, s0, n0, s1, n1, s2, n2, V, AXES, ALONG))
    if SHRUNK:
        spots = at + source(box + i * (2 * AXES), first, s0, n0, s1, n1, s2, n2, V, AXES, ALONG)
        other = tl.load(x + j * size * UNIT + spots, mask=taken & real)
    else:
        some = tl.max(taken.to(tl.int32), 1)[:, None] > 0
        other = tl.load(x + j * size * UNIT + at, mask=real & some)
    every = tl.min(taken.to(tl.int32), 1)[:, None] > 0
    own = tl.load(x + i * size * UNIT + at, mask=real & (every == 0))
    tl.store(y + i * size * UNIT + at, tl.where(taken, other, own), mask=real)


@triton.jit
def paste_back_program(
    g, to, partner, taker, box, rows, size, s0, n0, s1, n1, s2, n2,
    UNIT: tl.constexpr, N: tl.constexpr, V: tl.constexpr, WIDE: tl.constexpr,
    AXES: tl.constexpr, ALONG: tl.constexpr, SHRUNK: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """A sample's own row's gradient outside its box, and what its takers took inside theirs."""
    i, first = block(rows, N, V, WIDE)
    at, real = elements(first, size, UNIT, V)
    idle = tl.load(partner + i) == i
    lost = tl.where(idle, False, inside(box + i * (2 * AXES), first, s0, n0, s1, n1, s2, n2, V, AXES, ALONG))
    every = tl.min(lost.to(tl.int32), 1)[:, None] > 0
    own = tl.load(g + i * size * UNIT + at, mask=real & (every == 0), other=0.0)
    total = tl.where(lost, 0.0, own.to(tl.float32))
    k = taker_of(partner, taker, i, rows, ROWS)
    while k >= 0:
        theirs = g + k * size * UNIT
        if SHRUNK:
            spots, taken = wanted(box + k * (2 * AXES), first, s0, n0, s1, n1, s2, n2, V, AXES, ALONG)
            given = tl.load(theirs + at + spots, mask=real & taken, other=0.0)
        else:
            taken = inside(box + k * (2 * AXES), first, s0, n0, s1, n1, s2, n2, V, AXES, ALONG)
            some = tl.max(taken.to(tl.int32), 1)[:, None] > 0
            given = tl.load(theirs + at, mask=real & some, other=0.0)
        total += tl.where(taken, given.to(tl.float32), 0.0)
        k = taker_behind(partner, taker, i, k, rows, ROWS)
    tl.store(to + i * size * UNIT + at, total.to(to.dtype.element_ty), mask=real)


@triton.jit
def select_program(
    x, y, partner, share, scale, rows, size, apart, step, period,
    UNIT: tl.constexpr, N: tl.constexpr, V: tl.constexpr, WIDE: tl.constexpr, ALONG: tl.constexpr,
):  # fmt: skip
    """``x_i + share * (x_j - x_i)``; what has no share of its partner is copied, and so is a partner that has it all."""
    i, first = block(rows, N, V, WIDE)
    at, real = elements(first, size, UNIT, V)
    j = tl.load(partner + i)
    part = shared(share, scale, i, j, first, real, apart, step, period, V, ALONG)
    some = tl.max((part != 0).to(tl.int32), 1)[:, None] > 0
    own = tl.load(x + i * size * UNIT + at, mask=real)
    other = tl.load(x + j * size * UNIT + at, mask=real & some)
    a, b = own.to(tl.float32), other.to(tl.float32)
    mixed = tl.where(part < 0.5, a + part * (b - a), b - (1 - part) * (b - a)).to(y.dtype.element_ty)
    mixed = tl.where(part == 0, own, tl.where(part == 1, other, mixed))
    tl.store(y + i * size * UNIT + at, mixed, mask=real)


@triton.jit
def select_back_program(
    g, to, partner, taker, share, scale, rows, size, apart, step, period,
    UNIT: tl.constexpr, N: tl.constexpr, V: tl.constexpr, WIDE: tl.constexpr, ALONG: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """What is left of a sample's own row's gradient, and what its takers took."""
    i, first = block(rows, N, V, WIDE)
    at, real = elements(first, size, UNIT, V)
    part = shared(share, scale, i, tl.load(partner + i), first, real, apart, step, period, V, ALONG)
    own = tl.load(g + i * size * UNIT + at, mask=real, other=0.0).to(tl.float32)
    total = tl.where(part == 1, 0.0, (1 - part) * own)
    k = taker_of(partner, taker, i, rows, ROWS)
    while k >= 0:
        part = shared(share, scale, k, i, first, real, apart, step, period, V, ALONG)
        some = tl.max((part != 0).to(tl.int32), 1)[:, None] > 0
        given = tl.load(g + k * size * UNIT + at, mask=real & some, other=0.0).to(tl.float32)
        total += tl.where(part == 0, 0.0, part * given)
        k = taker_behind(partner, taker, i, k, rows, ROWS)
    tl.store(to + i * size * UNIT + at, total.to(to.dtype.element_ty), mask=real)
