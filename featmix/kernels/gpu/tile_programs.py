"""Where a tile ``(W, D)`` of a sample lies, so many groups by so many elements of each, and what is summed over it.

``O`` is the stride of the outer axis of groups, ``S`` that of the slow axis of elements, and ``T`` that of the axis that has no
neighbours in memory: elements where ``ACROSS``, groups otherwise. They come divided by ``UNIT``, which tells the compiler that
they are multiples of it.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def place(column, inner, O, T, UNIT: tl.constexpr, ACROSS: tl.constexpr, WIDE: tl.constexpr, W: tl.constexpr, EVEN: tl.constexpr):
    """Offsets of a program's groups in a sample, their numbers, and which of them exist."""
    blocks = tl.cdiv(inner, W)
    outer, k = column // blocks, (column % blocks) * W + tl.arange(0, W)
    to = outer * inner + k
    if EVEN:
        exists = tl.full([W], 1, tl.int1)
    elif ACROSS:
        exists = k < inner // UNIT * UNIT
    else:
        exists = k < inner
    if WIDE:
        outer, k = outer.to(tl.int64), k.to(tl.int64)
    if ACROSS:
        return outer * O * UNIT + k, to, exists
    else:
        return outer * O * UNIT + k * T * UNIT, to, exists


@triton.jit
def tile(
    start, elements, S, T, UNIT: tl.constexpr, FAST: tl.constexpr, ACROSS: tl.constexpr, WIDE: tl.constexpr,
    D: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """Offsets of a tile's elements from the first of their group, and which of them exist."""
    r = start + tl.arange(0, D)
    if EVEN:
        real = tl.full([D], 1, tl.int1)
    elif ACROSS:
        real = r < elements
    else:
        real = r < elements // UNIT * UNIT
    if WIDE:
        r = r.to(tl.int64)
    step = T * UNIT if ACROSS else 1
    if FAST == 0:
        return r * step, real
    else:
        return (r // FAST) * S * UNIT + (r % FAST) * step, real


@triton.jit
def centred(values, pivot, real, count, EVEN: tl.constexpr):
    """Distances from the mean, the mean from the pivot, and the sum of the squares: two passes over registers."""
    c = values.to(tl.float32) - pivot[:, None]
    if not EVEN:
        c = tl.where(real[None, :], c, 0.0)
    mean = tl.sum(c, 1) / count
    c -= mean[:, None]
    if not EVEN:
        c = tl.where(real[None, :], c, 0.0)
    return c, mean, tl.sum(c * c, 1)


@triton.jit
def welford(values, mean, squares, pivot, real, weight, EVEN: tl.constexpr):
    """Mean from the pivot and centred squares of each place in a tile, with one more value there; ``weight`` is 1 over how many."""
    away = values.to(tl.float32) - pivot[:, None] - mean
    if not EVEN:
        away = tl.where(real[None, :], away, 0.0)
    mean += away * weight
    return mean, squares + away * away * (1 - weight)


@triton.jit
def merged(mean, squares, many, count):
    """Mean and centred squares of groups from those of the places in a tile, by Chan's formula."""
    whole = tl.sum(mean * many, 1) / count
    apart = mean - whole[:, None]
    return whole, tl.sum(squares + apart * apart * many, 1)


@triton.jit
def streamed(
    own, other, at, exists, pivot, other_pivot, elements, S, T, count, UNIT: tl.constexpr, FAST: tl.constexpr,
    ACROSS: tl.constexpr, WIDE: tl.constexpr, W: tl.constexpr, D: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """Mean from the pivot and centred squares of the same groups of two rows, tile after tile."""
    tiles = tl.cdiv(elements, D)
    m, q = tl.zeros([W, D], tl.float32), tl.zeros([W, D], tl.float32)
    other_m, other_q = tl.zeros([W, D], tl.float32), tl.zeros([W, D], tl.float32)
    for n in range(0, tiles):
        offset, real = tile(n * D, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN)
        spots, mask = at[:, None] + offset[None, :], exists[:, None] & real[None, :]
        values = tl.load(own + spots, mask=mask, other=0.0)
        taken = tl.load(other + spots, mask=mask, other=0.0)
        weight = 1.0 / (n + 1)
        m, q = welford(values, m, q, pivot, real, weight, EVEN)
        other_m, other_q = welford(taken, other_m, other_q, other_pivot, real, weight, EVEN)
    many = (tiles - ((tiles - 1) * D + tl.arange(0, D) >= elements).to(tl.int32)).to(tl.float32)[None, :]
    mean, squares = merged(m, q, many, count)
    other_mean, other_squares = merged(other_m, other_q, many, count)
    return mean, squares, other_mean, other_squares


@triton.jit
def sums(
    g, x, at, exists, pivot, mean, elements, S, T, UNIT: tl.constexpr, FAST: tl.constexpr,
    ACROSS: tl.constexpr, WIDE: tl.constexpr, W: tl.constexpr, D: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """``sum(g)`` and ``sum(g * (x - m))`` of one row's groups, tile after tile; zeros where none of them exists."""
    total, against = tl.zeros([W, D], tl.float32), tl.zeros([W, D], tl.float32)
    for n in range(0, tl.cdiv(elements, D)):
        offset, real = tile(n * D, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN)
        spots, mask = at[:, None] + offset[None, :], exists[:, None] & real[None, :]
        slope = tl.load(g + spots, mask=mask, other=0.0).to(tl.float32)
        values = tl.load(x + spots, mask=mask, other=0.0).to(tl.float32)
        total += slope
        against += slope * ((values - pivot[:, None]) - mean[:, None])
    return tl.sum(total, 1), tl.sum(against, 1)
