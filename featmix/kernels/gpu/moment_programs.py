"""What one program does with its tiles. A tile is ``(WIDTH, DEPTH)``: so many groups, so many elements of each.

``O`` and ``S`` are strides of the axes of groups, in the features and in the moments; ``R`` those of the elements of a group.
"""

from __future__ import annotations

import triton
import triton.language as tl

from featmix.kernels.gpu.grid_programs import step


@triton.jit
def groups(column, outer1, inner, O0, O1, OI, S0, S1, SI, WIDTH: tl.constexpr, WIDE: tl.constexpr):
    """Offsets of a program's groups in the features and in the moments, and which of them exist."""
    blocks = tl.cdiv(inner, WIDTH)
    outer = column // blocks
    k = (column % blocks) * WIDTH + tl.arange(0, WIDTH)
    first, second = outer // outer1, outer % outer1
    if WIDE:
        first, second, k = first.to(tl.int64), second.to(tl.int64), k.to(tl.int64)
    return first * O0 + second * O1 + k * OI, first * S0 + second * S1 + k * SI, k < inner


@triton.jit
def elements(start, fast, R0, R1, DEPTH: tl.constexpr, WIDE: tl.constexpr, FLAT: tl.constexpr):
    """Numbers of a tile's elements in their group, and their offsets from its first."""
    r = start + tl.arange(0, DEPTH)
    at = r.to(tl.int64) if WIDE else r
    return r, at * R1 if FLAT else (at // fast) * R0 + (at % fast) * R1


@triton.jit
def merged(n, mean, squares, count, m, q):
    """Chan's formula: mean and sum of centred squares of ``n`` elements and of ``count`` more."""
    total = n + count
    delta = m - mean
    return total, mean + delta * (count / total), squares + q + delta * delta * (n * count / total)


@triton.jit
def moments_program(
    x, mean, spread, pivots, outer1, inner, O0, O1, OI, S0, S1, SI, fast, R0, R1, number, share, size, divisor, eps,
    WIDTH: tl.constexpr, DEPTH: tl.constexpr, WIDE: tl.constexpr, FLAT: tl.constexpr, FINAL: tl.constexpr,
):  # fmt: skip
    """Mean and ``sqrt(var + eps)`` of all elements; of a share of them, the mean from a pivot and the centred squares."""
    at, to, exists = groups(tl.program_id(0), outer1, inner, O0, O1, OI, S0, S1, SI, WIDTH, WIDE)
    begin = step(WIDE) * share
    end = tl.minimum(begin + share, number)
    n, m, q = 0.0, tl.zeros([WIDTH], tl.float32), tl.zeros([WIDTH], tl.float32)
    pivot = tl.zeros([WIDTH], tl.float32)  # the first tile's mean: differences between tiles are small beside it
    for start in range(begin, end, DEPTH):
        r, offset = elements(start, fast, R0, R1, DEPTH, WIDE, FLAT)
        real = exists[:, None] & (r < end)[None, :]
        tile = tl.load(x + at[:, None] + offset[None, :], mask=real, other=0.0).to(tl.float32)
        count = tl.minimum(end - start, DEPTH).to(tl.float32)
        if start == begin:
            pivot = tl.sum(tile, 1) / count
        tile = tl.where(real, tile - pivot[:, None], 0.0)
        own = tl.sum(tile, 1) / count
        centred = tl.where(real, tile - own[:, None], 0.0)
        n, m, q = merged(n, m, q, count, own, tl.sum(centred * centred, 1))
    to += tl.program_id(1) * size
    if FINAL:
        tl.store(mean + to, m + pivot, mask=exists)
        tl.store(spread + to, tl.sqrt(q / divisor + eps), mask=exists)
    else:
        tl.store(mean + to, m, mask=exists)
        tl.store(spread + to, q, mask=exists)
        tl.store(pivots + to, pivot, mask=exists)


@triton.jit
def merge_program(means, squares, pivots, mean, std, size, number, share, splits, divisor, eps, BLOCK: tl.constexpr):
    """Moments of whole groups from those of shares of them, ``(splits, size)``."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exists = i < size
    n, m, q = 0.0, tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    pivot = tl.load(pivots + i, mask=exists, other=0.0)
    for split in range(splits):
        at = split * size + i
        count = tl.minimum(number - split * share, share).to(tl.float32)
        own = tl.load(pivots + at, mask=exists, other=0.0) - pivot + tl.load(means + at, mask=exists, other=0.0)
        n, m, q = merged(n, m, q, count, own, tl.load(squares + at, mask=exists, other=0.0))
    tl.store(mean + i, m + pivot, mask=exists)
    tl.store(std + i, tl.sqrt(q / divisor + eps), mask=exists)


@triton.jit
def affine_program(
    x, y, scale, shift, active, outer1, inner, O0, O1, OI, S0, S1, SI, fast, R0, R1, number,
    WIDTH: tl.constexpr, DEPTH: tl.constexpr, WIDE: tl.constexpr, FLAT: tl.constexpr, SHIFTED: tl.constexpr,
):  # fmt: skip
    """One tile of ``x * scale + shift``; groups that are not active are copied."""
    at, small, exists = groups(tl.program_id(0), outer1, inner, O0, O1, OI, S0, S1, SI, WIDTH, WIDE)
    r, offset = elements(step(WIDE) * DEPTH, fast, R0, R1, DEPTH, WIDE, FLAT)
    real = exists[:, None] & (r < number)[None, :]
    where = at[:, None] + offset[None, :]
    tile = tl.load(x + where, mask=real)
    result = tile.to(tl.float32) * tl.load(scale + small, mask=exists, other=0.0)[:, None]
    if SHIFTED:
        result += tl.load(shift + small, mask=exists, other=0.0)[:, None]
    gate = tl.load(active + small, mask=exists, other=0)[:, None] != 0
    tl.store(y + where, tl.where(gate, result.to(y.dtype.element_ty), tile), mask=real)


@triton.jit
def sums_program(
    g, x, mean, total, against, outer1, inner, O0, O1, OI, S0, S1, SI, fast, R0, R1, number, share, size,
    WIDTH: tl.constexpr, DEPTH: tl.constexpr, WIDE: tl.constexpr, FLAT: tl.constexpr,
):  # fmt: skip
    """``sum g`` and ``sum g * (x - mean)`` over a share of each group."""
    at, small, exists = groups(tl.program_id(0), outer1, inner, O0, O1, OI, S0, S1, SI, WIDTH, WIDE)
    begin = step(WIDE) * share
    end = tl.minimum(begin + share, number)
    m = tl.load(mean + small, mask=exists, other=0.0)
    plain, weighted = tl.zeros([WIDTH], tl.float32), tl.zeros([WIDTH], tl.float32)
    for start in range(begin, end, DEPTH):
        r, offset = elements(start, fast, R0, R1, DEPTH, WIDE, FLAT)
        real = exists[:, None] & (r < end)[None, :]
        where = at[:, None] + offset[None, :]
        slope = tl.load(g + where, mask=real, other=0.0).to(tl.float32)
        tile = tl.load(x + where, mask=real, other=0.0).to(tl.float32)
        plain += tl.sum(slope, 1)
        weighted += tl.sum(tl.where(real, slope * (tile - m[:, None]), 0.0), 1)
    to = small + tl.program_id(1) * size
    tl.store(total + to, plain, mask=exists)
    tl.store(against + to, weighted, mask=exists)


@triton.jit
def combine_program(
    g, x, y, a, b, c, outer1, inner, O0, O1, OI, S0, S1, SI, fast, R0, R1, number,
    WIDTH: tl.constexpr, DEPTH: tl.constexpr, WIDE: tl.constexpr, FLAT: tl.constexpr,
):  # fmt: skip
    """One tile of ``g * a + x * b + c``."""
    at, small, exists = groups(tl.program_id(0), outer1, inner, O0, O1, OI, S0, S1, SI, WIDTH, WIDE)
    r, offset = elements(step(WIDE) * DEPTH, fast, R0, R1, DEPTH, WIDE, FLAT)
    real = exists[:, None] & (r < number)[None, :]
    where = at[:, None] + offset[None, :]
    slope, tile = tl.load(g + where, mask=real).to(tl.float32), tl.load(x + where, mask=real).to(tl.float32)
    own, other = tl.load(a + small, mask=exists, other=0.0), tl.load(b + small, mask=exists, other=0.0)
    result = slope * own[:, None] + tile * other[:, None] + tl.load(c + small, mask=exists, other=0.0)[:, None]
    tl.store(y + where, result.to(y.dtype.element_ty), mask=real)
