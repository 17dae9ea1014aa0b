"""Moment exchange, one program for a tile of groups of one row: it reads the rows it needs itself, so that one launch is enough.

Where a group fits into a tile (``ONCE``), features are read once and stay in registers; otherwise programs loop over tiles, and
read a second time to write, last tile first: the cache still has it. Programs of all rows for the same groups run side by side,
so that what one of them reads as its partner's another has just read as its own.

Moments are sums of differences from a pivot, a group's first element: a large mean then costs no digits. Means are kept as
differences from it too.
"""

from __future__ import annotations

import triton
import triton.language as tl

from featmix.kernels.gpu.tile_programs import centred, place, streamed, sums, tile


@triton.jit
def blended(own, other, lam, i):
    """``lam * own + (1 - lam) * other``; ``other`` where there is no ``lam``."""
    if lam is None:
        return other
    else:
        share = tl.load(lam + i)
        return share * own + (1 - share) * other


@triton.jit
def exchange_program(
    x, y, partner, lam, moments, eps, outside,
    rows, groups, inner, elements, size, O, S, T, count, divisor,
    UNIT: tl.constexpr, FAST: tl.constexpr, ACROSS: tl.constexpr, WIDE: tl.constexpr,
    W: tl.constexpr, D: tl.constexpr, ONCE: tl.constexpr, EVEN_W: tl.constexpr, EVEN_D: tl.constexpr,
):  # fmt: skip
    """``(x_i - m_i) * s' / (s_i + outside) + m'``, and the moments of row ``i``: mean from the pivot, and deviation."""
    column, i = tl.program_id(0) // rows, (tl.program_id(0) % rows).to(tl.int64)
    j = tl.load(partner + i)
    at, to, exists = place(column, inner, O, T, UNIT, ACROSS, WIDE, W, EVEN_W)
    own, other, result = x + i * size * UNIT, x + j * size * UNIT, y + i * size * UNIT
    pivot = tl.load(own + at, mask=exists, other=0.0).to(tl.float32)
    other_pivot = tl.load(other + at, mask=exists, other=0.0).to(tl.float32)
    if ONCE:
        offset, real = tile(0, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN_D)
        spots, mask = at[:, None] + offset[None, :], exists[:, None] & real[None, :]
        raw = tl.load(own + spots, mask=mask, other=0.0)
        taken = tl.load(other + spots, mask=mask, other=0.0)
        c, mean, squares = centred(raw, pivot, real, count, EVEN_D)
        _, other_mean, other_squares = centred(taken, other_pivot, real, count, EVEN_D)
    else:
        mean, squares, other_mean, other_squares = streamed(
            own, other, at, exists, pivot, other_pivot, elements, S, T, count, UNIT, FAST, ACROSS, WIDE, W, D, EVEN_D
        )
    std, other_std = tl.sqrt(squares / divisor + eps), tl.sqrt(other_squares / divisor + eps)
    if moments is not None:
        tl.store(moments + i * groups + to, mean, mask=exists)
        tl.store(moments + (rows + i) * groups + to, std, mask=exists)
    scale = blended(std, other_std, lam, i) / (std + outside)
    shift = blended(pivot + mean, other_pivot + other_mean, lam, i)
    if ONCE:
        mixed = (c * scale[:, None] + shift[:, None]).to(y.dtype.element_ty)
        tl.store(result + spots, tl.where(i == j, raw, mixed), mask=mask)
    else:
        tiles = tl.cdiv(elements, D)
        for n in range(0, tiles):
            offset, real = tile((tiles - 1 - n) * D, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN_D)
            spots, mask = at[:, None] + offset[None, :], exists[:, None] & real[None, :]
            raw = tl.load(own + spots, mask=mask, other=0.0)
            c = (raw.to(tl.float32) - pivot[:, None]) - mean[:, None]
            mixed = (c * scale[:, None] + shift[:, None]).to(y.dtype.element_ty)
            tl.store(result + spots, tl.where(i == j, raw, mixed), mask=mask)


@triton.jit
def scale_program(
    g, dx, partner, lam, moments, outside,
    rows, groups, inner, elements, size, O, S, T, count, divisor,
    UNIT: tl.constexpr, FAST: tl.constexpr, ACROSS: tl.constexpr, WIDE: tl.constexpr,
    W: tl.constexpr, D: tl.constexpr, ONCE: tl.constexpr, EVEN_W: tl.constexpr, EVEN_D: tl.constexpr,
):  # fmt: skip
    """The gradient where all moments are constants: ``g_i * s' / (s_i + outside)``."""
    column, i = tl.program_id(0) // rows, (tl.program_id(0) % rows).to(tl.int64)
    j = tl.load(partner + i)
    at, to, exists = place(column, inner, O, T, UNIT, ACROSS, WIDE, W, EVEN_W)
    std = tl.load(moments + (rows + i) * groups + to, mask=exists, other=1.0)
    other_std = tl.load(moments + (rows + j) * groups + to, mask=exists, other=1.0)
    scale = blended(std, other_std, lam, i) / (std + outside)
    for n in range(0, tl.cdiv(elements, D)):
        offset, real = tile(n * D, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN_D)
        spots, mask = i * size * UNIT + at[:, None] + offset[None, :], exists[:, None] & real[None, :]
        raw = tl.load(g + spots, mask=mask, other=0.0)
        scaled = (raw.to(tl.float32) * scale[:, None]).to(dx.dtype.element_ty)
        tl.store(dx + spots, tl.where(i == j, raw.to(dx.dtype.element_ty), scaled), mask=mask)


@triton.jit
def kept_moments(x, moments, i, at, to, exists, rows, groups, size, UNIT: tl.constexpr):
    """Pivot, mean from it and deviation of the groups of row ``i``; zeros and one where they do not exist."""
    pivot = tl.load(x + i * size * UNIT + at, mask=exists, other=0.0).to(tl.float32)
    mean = tl.load(moments + i * groups + to, mask=exists, other=0.0)
    return pivot, mean, tl.load(moments + (rows + i) * groups + to, mask=exists, other=1.0)


@triton.jit
def next_taker(partner, i, after, rows, ROWS: tl.constexpr):
    """The first row behind ``after`` that took from row ``i``, -1 where there is none."""
    r = tl.arange(0, ROWS)
    took = (tl.load(partner + r, mask=r < rows, other=-1) == i) & (r != i) & (r > after)
    first = tl.min(tl.where(took, r, ROWS), 0)
    return tl.where(first < ROWS, first, -1).to(tl.int64)


@triton.jit
def exchange_back_program(
    g, x, dx, partner, taker, lam, moments, outside,
    rows, groups, inner, elements, size, O, S, T, count, divisor,
    UNIT: tl.constexpr, FAST: tl.constexpr, ACROSS: tl.constexpr, WIDE: tl.constexpr,
    W: tl.constexpr, D: tl.constexpr, ONCE: tl.constexpr, EVEN_W: tl.constexpr, EVEN_D: tl.constexpr,
    LENT: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """The gradient of row ``i``: of its own result, and where moments that it lent are no constants (``LENT``) of its takers'.

    A row has one taker at most where ``taker`` is there, and is read together with it; other takers are searched for.
    """
    column, i = tl.program_id(0) // rows, (tl.program_id(0) % rows).to(tl.int64)
    j = tl.load(partner + i)
    at, to, exists = place(column, inner, O, T, UNIT, ACROSS, WIDE, W, EVEN_W)
    k = tl.load(taker + i) if LENT and taker is not None else i * 0 - 1
    lends, lent, k = k >= 0, exists & (tl.full([W], 0, tl.int64) + k >= 0), tl.maximum(k, 0)
    pivot, mean, std = kept_moments(x, moments, i, at, to, exists, rows, groups, size, UNIT)
    own, mine = g + i * size * UNIT, x + i * size * UNIT
    if ONCE:
        offset, real = tile(0, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN_D)
        spots, mask = at[:, None] + offset[None, :], exists[:, None] & real[None, :]
        raw = tl.load(own + spots, mask=mask, other=0.0)
        features = tl.load(mine + spots, mask=mask, other=0.0)
        if LENT and taker is not None:
            taken = lent[:, None] & real[None, :]
            slope = tl.load(g + k * size * UNIT + spots, mask=taken, other=0.0).to(tl.float32)
            values = tl.load(x + k * size * UNIT + spots, mask=taken, other=0.0).to(tl.float32)
        c = (features.to(tl.float32) - pivot[:, None]) - mean[:, None]
        total, against = tl.sum(raw.to(tl.float32), 1), tl.sum(raw.to(tl.float32) * c, 1)
    else:
        total, against = sums(
            own, mine, at, exists, pivot, mean, elements, S, T, UNIT, FAST, ACROSS, WIDE, W, D, EVEN_D
        )  # fmt: skip
    other_std = tl.load(moments + (rows + j) * groups + to, mask=exists, other=1.0)
    share = 0.0 if lam is None else tl.load(lam + i)
    mixed = i != j
    scale = tl.where(mixed, blended(std, other_std, lam, i) / (std + outside), 1.0)
    to_mean = tl.where(mixed, (share - scale) * total, 0.0)
    to_std = tl.where(mixed, (share - scale) * against / (std + outside), 0.0)
    touched = mixed | lends
    if LENT and taker is not None:
        k_pivot, k_mean, k_std = kept_moments(x, moments, k, at, to, lent, rows, groups, size, UNIT)
        if ONCE:
            total = tl.sum(slope, 1)
            against = tl.sum(slope * ((values - k_pivot[:, None]) - k_mean[:, None]), 1)
        else:
            total, against = sums(
                g + k * size * UNIT, x + k * size * UNIT, at, lent, k_pivot, k_mean, elements, S, T,
                UNIT, FAST, ACROSS, WIDE, W, D, EVEN_D,
            )  # fmt: skip
        given = 1.0 if lam is None else 1 - tl.load(lam + k)
        to_mean += given * total
        to_std += given * against / (k_std + outside)
    elif LENT:
        k = next_taker(partner, i, -1, rows, ROWS)
        touched = mixed | (k >= 0)
        while k >= 0:
            k_pivot, k_mean, k_std = kept_moments(x, moments, k, at, to, exists, rows, groups, size, UNIT)
            total, against = sums(
                g + k * size * UNIT, x + k * size * UNIT, at, exists, k_pivot, k_mean, elements, S, T,
                UNIT, FAST, ACROSS, WIDE, W, D, EVEN_D,
            )  # fmt: skip
            given = 1.0 if lam is None else 1 - tl.load(lam + k)
            to_mean += given * total
            to_std += given * against / (k_std + outside)
            k = next_taker(partner, i, k, rows, ROWS)
    to_mean, to_std = to_mean / count, to_std / (divisor * std)
    if ONCE:
        slopes = raw.to(tl.float32) * scale[:, None] + to_mean[:, None] + to_std[:, None] * c
        slopes = tl.where(touched, slopes.to(dx.dtype.element_ty), raw.to(dx.dtype.element_ty))
        tl.store(dx + i * size * UNIT + spots, slopes, mask=mask)
    else:
        tiles = tl.cdiv(elements, D)
        for n in range(0, tiles):
            offset, real = tile((tiles - 1 - n) * D, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN_D)
            spots, mask = at[:, None] + offset[None, :], exists[:, None] & real[None, :]
            raw = tl.load(own + spots, mask=mask, other=0.0)
            c = (tl.load(mine + spots, mask=mask, other=0.0).to(tl.float32) - pivot[:, None]) - mean[:, None]
            slopes = raw.to(tl.float32) * scale[:, None] + to_mean[:, None] + to_std[:, None] * c
            slopes = tl.where(touched, slopes.to(dx.dtype.element_ty), raw.to(dx.dtype.element_ty))
            tl.store(dx + i * size * UNIT + spots, slopes, mask=mask)
