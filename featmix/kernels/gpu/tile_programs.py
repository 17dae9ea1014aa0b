"""Where a tile ``(W * CG, D)`` of a sample lies, and what is summed over it: ``W`` groups of ``CG`` lanes of ``D`` elements.

A lane is a group, or one of its ``CG`` channels where these are neighbours in memory and its positions are not.
``G`` is the stride of the outer axis of groups, ``S`` that of the slow axis of elements, and ``T`` that of the axis that has no
neighbours in memory: elements where ``ACROSS``, groups otherwise. They come divided by ``UNIT``, which tells the compiler that
they are multiples of it.
"""

# mypy: ignore-errors
# (it is Triton's language, not Python's)
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def place(
    column, inner, G, T, UNIT: tl.constexpr, ACROSS: tl.constexpr, CG: tl.constexpr, WIDE: tl.constexpr,
    W: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """Offsets of a program's lanes in a sample, which of them exist, and the same and the numbers of its groups."""
    blocks = tl.cdiv(inner, W)
    outer, begin = column // blocks, (column % blocks) * W
    k, lane = begin + tl.arange(0, W), begin * CG + tl.arange(0, W * CG)
    to, exists = outer * inner + k, k < inner
    if EVEN:
        real = tl.full([W * CG], 1, tl.int1)
        exists = tl.full([W], 1, tl.int1)
    elif ACROSS:
        real = lane < inner * CG // UNIT * UNIT
    else:
        real = lane < inner
    if WIDE:
        outer, k, lane = outer.to(tl.int64), k.to(tl.int64), lane.to(tl.int64)
    step = 1 if ACROSS else T * UNIT
    return outer * G * UNIT + lane * step, real, outer * G * UNIT + k * (step * CG), exists, to


@triton.jit
def tile(
    start, elements, S, T, UNIT: tl.constexpr, FAST: tl.constexpr, ACROSS: tl.constexpr, WIDE: tl.constexpr,
    D: tl.constexpr, EVEN: tl.constexpr,
):  # fmt: skip
    """Offsets of a tile's elements from the first of their lane, and which of them exist."""
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
    offset = r * step if FAST == 0 else (r // FAST) * S * UNIT + (r % FAST) * step
    return offset, real


@triton.jit
def lanes(v, W: tl.constexpr, CG: tl.constexpr):
    """A value of each group for each of its lanes, ``(W * CG, 1)``."""
    if CG > 1:
        v = tl.reshape(tl.broadcast_to(v[:, None], [W, CG]), [W * CG])
    return v[:, None]


@triton.jit
def totals(a, b, W: tl.constexpr, CG: tl.constexpr):
    """The sums over each group of two tiles: threads wait for one another once for both."""
    found = tl.sum(tl.join(a, b), 1)
    if CG > 1:
        found = tl.sum(tl.reshape(found, [W, CG, 2]), 1)
    return tl.split(found)


@triton.jit
def centred(own, other, pivot, other_pivot, mask, each, W: tl.constexpr, CG: tl.constexpr, EVEN: tl.constexpr):
    """Distances from the mean, means from the pivots, and sums of squares of two rows: two passes over registers."""
    c, d = own.to(tl.float32) - lanes(pivot, W, CG), other.to(tl.float32) - lanes(other_pivot, W, CG)
    if not EVEN:
        c, d = tl.where(mask, c, 0.0), tl.where(mask, d, 0.0)
    mean, other_mean = totals(c, d, W, CG)
    mean, other_mean = mean * each, other_mean * each
    c, d = c - lanes(mean, W, CG), d - lanes(other_mean, W, CG)
    if not EVEN:
        c, d = tl.where(mask, c, 0.0), tl.where(mask, d, 0.0)
    squares, other_squares = totals(c * c, d * d, W, CG)
    return c, mean, squares, other_mean, other_squares


@triton.jit
def welford(values, mean, squares, pivot, mask, weight, EVEN: tl.constexpr):
    """Mean from the pivot and centred squares of each place in a tile, with one more value there, the ``1 / weight``-th."""
    away = values.to(tl.float32) - pivot - mean
    if not EVEN:
        away = tl.where(mask, away, 0.0)
    return mean + away * weight, squares + away * away * (1 - weight)


@triton.jit
def streamed(
    own, other, at, exists, pivot, other_pivot, elements, S, T, each, UNIT: tl.constexpr, FAST: tl.constexpr,
    ACROSS: tl.constexpr, CG: tl.constexpr, WIDE: tl.constexpr, W: tl.constexpr, D: tl.constexpr, EVEN: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """Mean from the pivot and centred squares of the same groups of two rows, tile after tile."""
    tiles = tl.cdiv(elements, D)
    m, q = tl.zeros([W * CG, D], tl.float32), tl.zeros([W * CG, D], tl.float32)
    other_m, other_q = tl.zeros([W * CG, D], tl.float32), tl.zeros([W * CG, D], tl.float32)
    pivots, other_pivots = lanes(pivot, W, CG), lanes(other_pivot, W, CG)
    for n in tl.range(0, tiles, num_stages=STAGES):
        offset, real = tile(n * D, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN)
        spots, mask = at[:, None] + offset[None, :], exists[:, None] & real[None, :]
        values = tl.load(own + spots, mask=mask, other=0.0)
        taken = tl.load(other + spots, mask=mask, other=0.0)
        weight = 1.0 / (n + 1)
        m, q = welford(values, m, q, pivots, mask, weight, EVEN)
        other_m, other_q = welford(taken, other_m, other_q, other_pivots, mask, weight, EVEN)
    many = (tiles - ((tiles - 1) * D + tl.arange(0, D) >= elements).to(tl.int32)).to(tl.float32)[None, :]
    mean, other_mean = totals(m * many, other_m * many, W, CG)  # and now Chan's formula, for all places of a group
    mean, other_mean = mean * each, other_mean * each
    m, other_m = m - lanes(mean, W, CG), other_m - lanes(other_mean, W, CG)
    squares, other_squares = totals(q + m * m * many, other_q + other_m * other_m * many, W, CG)
    return mean, squares, other_mean, other_squares


@triton.jit
def sums(
    g, x, at, exists, pivot, mean, other_g, other_x, lent, other_pivot, other_mean, elements, S, T, UNIT: tl.constexpr,
    FAST: tl.constexpr, ACROSS: tl.constexpr, CG: tl.constexpr, WIDE: tl.constexpr, W: tl.constexpr, D: tl.constexpr,
    EVEN: tl.constexpr, STAGES: tl.constexpr, BOTH: tl.constexpr,
):  # fmt: skip
    """``sum(g)`` and ``sum(g * (x - m))`` of the same groups of one row, or of two, tile after tile."""
    s, t = tl.zeros([W * CG, D], tl.float32), tl.zeros([W * CG, D], tl.float32)
    other_s, other_t = tl.zeros([W * CG, D], tl.float32), tl.zeros([W * CG, D], tl.float32)
    pivots, means = lanes(pivot, W, CG), lanes(mean, W, CG)
    other_pivots, other_means = lanes(other_pivot, W, CG), lanes(other_mean, W, CG)
    for n in tl.range(0, tl.cdiv(elements, D), num_stages=STAGES):
        offset, real = tile(n * D, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN)
        spots, mask = at[:, None] + offset[None, :], exists[:, None] & real[None, :]
        slope = tl.load(g + spots, mask=mask, other=0.0).to(tl.float32)
        values = tl.load(x + spots, mask=mask, other=0.0).to(tl.float32)
        if BOTH:
            mask = lent[:, None] & real[None, :]
            other_slope = tl.load(other_g + spots, mask=mask, other=0.0).to(tl.float32)
            other_values = tl.load(other_x + spots, mask=mask, other=0.0).to(tl.float32)
            other_s += other_slope
            other_t += other_slope * ((other_values - other_pivots) - other_means)
        s += slope
        t += slope * ((values - pivots) - means)
    total, against = totals(s, t, W, CG)
    other_total, other_against = total, against  # what nobody asks for, where there is one row
    if BOTH:
        other_total, other_against = totals(other_s, other_t, W, CG)
    return total, against, other_total, other_against
