"""What one program does with a block of a row: samples lie one after the other, in any order of their own axes."""

from __future__ import annotations

import triton
import triton.language as tl

from featmix.kernels.gpu.grid_programs import step


@triton.jit
def inside(box, row, at, s0, n0, s1, n1, s2, n2, AXES: tl.constexpr):
    """Which elements of a sample lie in the box of a row, from strides and sizes of the position axes."""
    box += row * (AXES * 2)
    c = (at // s0) % n0
    found = (c >= tl.load(box)) & (c < tl.load(box + 1))
    if AXES > 1:
        c = (at // s1) % n1
        found = found & (c >= tl.load(box + 2)) & (c < tl.load(box + 3))
    if AXES > 2:
        c = (at // s2) % n2
        found = found & (c >= tl.load(box + 4)) & (c < tl.load(box + 5))
    return found


@triton.jit
def blend_program(x, y, partner, lam, size, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    """``lam * x_i + (1 - lam) * x_j``; rows that are their own partner are copied."""
    i = tl.program_id(0).to(tl.int64)
    at = step(WIDE) * BLOCK + tl.arange(0, BLOCK)
    real = at < size
    j, own_share = tl.load(partner + i), tl.load(lam + i)
    own, other = tl.load(x + i * size + at, mask=real), tl.load(x + j * size + at, mask=real)
    mixed = own.to(tl.float32) * own_share + other.to(tl.float32) * (1 - own_share)
    tl.store(y + i * size + at, tl.where(i == j, own, mixed.to(y.dtype.element_ty)), mask=real)


@triton.jit
def blend_back_program(g, to, partner, lam, takers, first, past, size, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    """A sample's share of its own row's gradient, and what its takers took."""
    i = tl.program_id(0).to(tl.int64)
    at = step(WIDE) * BLOCK + tl.arange(0, BLOCK)
    real = at < size
    own = tl.load(g + i * size + at, mask=real).to(tl.float32)
    total = tl.where(tl.load(partner + i) == i, own, own * tl.load(lam + i))
    for n in range(tl.load(first + i), tl.load(past + i)):
        k = tl.load(takers + n)
        total += (1 - tl.load(lam + k)) * tl.load(g + k * size + at, mask=real).to(tl.float32)
    tl.store(to + i * size + at, total.to(to.dtype.element_ty), mask=real)


@triton.jit
def paste_program(
    x, y, partner, box, size, s0, n0, s1, n1, s2, n2, AXES: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr
):  # fmt: skip
    """The partner's inside the box; only there it is read."""
    i = tl.program_id(0).to(tl.int64)
    at = step(WIDE) * BLOCK + tl.arange(0, BLOCK)
    real = at < size
    j = tl.load(partner + i)
    taken = real & inside(box, i, at, s0, n0, s1, n1, s2, n2, AXES)
    other = tl.load(x + j * size + at, mask=taken)
    own = tl.load(x + i * size + at, mask=real & (taken == 0))
    tl.store(y + i * size + at, tl.where(taken, other, own), mask=real)


@triton.jit
def paste_back_program(
    g, to, partner, box, takers, first, past, size, s0, n0, s1, n1, s2, n2,
    AXES: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """A sample's own row's gradient outside its box, and what its takers took inside theirs."""
    i = tl.program_id(0).to(tl.int64)
    at = step(WIDE) * BLOCK + tl.arange(0, BLOCK)
    real = at < size
    lost = (tl.load(partner + i) != i) & inside(box, i, at, s0, n0, s1, n1, s2, n2, AXES)
    total = tl.load(g + i * size + at, mask=real & (lost == 0), other=0.0).to(tl.float32)
    for n in range(tl.load(first + i), tl.load(past + i)):
        k = tl.load(takers + n)
        taken = real & inside(box, k, at, s0, n0, s1, n1, s2, n2, AXES)
        total += tl.load(g + k * size + at, mask=taken, other=0.0).to(tl.float32)
    tl.store(to + i * size + at, total.to(to.dtype.element_ty), mask=real)
