"""Moment exchange, one program for a tile of groups of one row, which reads all rows that it needs: one launch is enough.

Where a group fits into a tile (``ONCE``), features are read once and stay in registers; otherwise programs loop over tiles, and
read a second time to write, last tile first: the cache still has it. Programs of all rows for the same groups run side by side,
so that what one of them reads as its partner's another has just read as its own.

Moments are sums of differences from a pivot, a group's first element: a large mean then costs no digits. Means are kept as
differences from it too.
"""

# mypy: ignore-errors
# (it is Triton's language, not Python's)
from __future__ import annotations

import triton
import triton.language as tl

from featmix.kernels.gpu.tile_programs import centred, lanes, place, streamed, sums, tile, totals


@triton.jit
def blended(own, other, lam, i):
    """``lam * own + (1 - lam) * other``; ``other`` where there is no ``lam``."""
    if lam is None:
        found = other
    else:
        share = tl.load(lam + i)
        found = share * own + (1 - share) * other
    return found


@triton.jit
def exchange_program(
    x, y, partner, lam, moments, eps, outside,
    rows, groups, inner, elements, size, G, S, T, each, every,
    UNIT: tl.constexpr, FAST: tl.constexpr, ACROSS: tl.constexpr, CG: tl.constexpr, WIDE: tl.constexpr,
    W: tl.constexpr, D: tl.constexpr, ONCE: tl.constexpr, EVEN_W: tl.constexpr, EVEN_D: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """``(x_i - m_i) * s' / (s_i + outside) + m'``, and the moments of row ``i``: mean from the pivot, and deviation.

    A mean is a sum times ``each``, a variance one times ``every``.
    """
    column, i = tl.program_id(0) // rows, (tl.program_id(0) % rows).to(tl.int64)
    j = tl.load(partner + i)
    at, real_lanes, first, exists, to = place(column, inner, G, T, UNIT, ACROSS, CG, WIDE, W, EVEN_W)
    own, other, result = x + i * size * UNIT, x + j * size * UNIT, y + i * size * UNIT
    pivot = tl.load(own + first, mask=exists, other=0.0).to(tl.float32)
    other_pivot = tl.load(other + first, mask=exists, other=0.0).to(tl.float32)
    if ONCE:
        offset, real = tile(0, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN_D)
        spots, mask = at[:, None] + offset[None, :], real_lanes[:, None] & real[None, :]
        raw = tl.load(own + spots, mask=mask, other=0.0)
        taken = tl.load(other + spots, mask=mask, other=0.0)
        c, mean, squares, other_mean, other_squares = centred(raw, taken, pivot, other_pivot, mask, each, W, CG, EVEN_D)
    else:
        mean, squares, other_mean, other_squares = streamed(
            own, other, at, real_lanes, pivot, other_pivot, elements, S, T, each,
            UNIT, FAST, ACROSS, CG, WIDE, W, D, EVEN_D, STAGES,
        )  # fmt: skip
    std, other_std = tl.sqrt(squares * every + eps), tl.sqrt(other_squares * every + eps)
    if moments is not None:
        tl.store(moments + i * groups + to, mean, mask=exists)
        tl.store(moments + (rows + i) * groups + to, std, mask=exists)
    scale = lanes(blended(std, other_std, lam, i) / (std + outside), W, CG)
    shift = lanes(blended(pivot + mean, other_pivot + other_mean, lam, i), W, CG)
    if ONCE:
        mixed = (c * scale + shift).to(y.dtype.element_ty)
        tl.store(result + spots, tl.where(i == j, raw, mixed), mask=mask)
    else:
        tiles, pivots, means = tl.cdiv(elements, D), lanes(pivot, W, CG), lanes(mean, W, CG)
        for n in tl.range(0, tiles, num_stages=STAGES):
            offset, real = tile((tiles - 1 - n) * D, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN_D)
            spots, mask = at[:, None] + offset[None, :], real_lanes[:, None] & real[None, :]
            raw = tl.load(own + spots, mask=mask, other=0.0)
            mixed = ((raw.to(tl.float32) - pivots - means) * scale + shift).to(y.dtype.element_ty)
            tl.store(result + spots, tl.where(i == j, raw, mixed), mask=mask)


@triton.jit
def scale_program(
    g, dx, partner, lam, moments, outside,
    rows, groups, inner, elements, size, G, S, T, each, every,
    UNIT: tl.constexpr, FAST: tl.constexpr, ACROSS: tl.constexpr, CG: tl.constexpr, WIDE: tl.constexpr,
    W: tl.constexpr, D: tl.constexpr, ONCE: tl.constexpr, EVEN_W: tl.constexpr, EVEN_D: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """The gradient where all moments are constants: ``g_i * s' / (s_i + outside)``."""
    column, i = tl.program_id(0) // rows, (tl.program_id(0) % rows).to(tl.int64)
    j = tl.load(partner + i)
    at, real_lanes, _, exists, to = place(column, inner, G, T, UNIT, ACROSS, CG, WIDE, W, EVEN_W)
    std = tl.load(moments + (rows + i) * groups + to, mask=exists, other=1.0)
    other_std = tl.load(moments + (rows + j) * groups + to, mask=exists, other=1.0)
    scale = lanes(blended(std, other_std, lam, i) / (std + outside), W, CG)
    for n in tl.range(0, tl.cdiv(elements, D), num_stages=STAGES):
        offset, real = tile(n * D, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN_D)
        spots, mask = i * size * UNIT + at[:, None] + offset[None, :], real_lanes[:, None] & real[None, :]
        raw = tl.load(g + spots, mask=mask, other=0.0)
        scaled = (raw.to(tl.float32) * scale).to(dx.dtype.element_ty)
        tl.store(dx + spots, tl.where(i == j, raw.to(dx.dtype.element_ty), scaled), mask=mask)


@triton.jit
def kept_moments(x, moments, i, first, to, exists, rows, groups, size, UNIT: tl.constexpr):
    """Pivot, mean from it and deviation of the groups of row ``i``; zeros and one where they do not exist."""
    pivot = tl.load(x + i * size * UNIT + first, mask=exists, other=0.0).to(tl.float32)
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
    rows, groups, inner, elements, size, G, S, T, each, every,
    UNIT: tl.constexpr, FAST: tl.constexpr, ACROSS: tl.constexpr, CG: tl.constexpr, WIDE: tl.constexpr,
    W: tl.constexpr, D: tl.constexpr, ONCE: tl.constexpr, EVEN_W: tl.constexpr, EVEN_D: tl.constexpr, STAGES: tl.constexpr,
    LENT: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """The gradient of row ``i``: of its own result, and where moments that it lent are no constants (``LENT``) of its takers'.

    A row has one taker at most where ``taker`` is there, and is read together with it; otherwise they are searched for among
    all rows, at most ``ROWS``.
    """
    column, i = tl.program_id(0) // rows, (tl.program_id(0) % rows).to(tl.int64)
    j = tl.load(partner + i)
    at, real_lanes, first, exists, to = place(column, inner, G, T, UNIT, ACROSS, CG, WIDE, W, EVEN_W)
    both: tl.constexpr = LENT and taker is not None
    k = tl.load(taker + i) if both else i * 0 - 1
    touched, k = (i != j) | (k >= 0), tl.where(k >= 0, k, i)
    lent, lent_lanes = exists & (tl.full([W], 0, tl.int64) + k != i), real_lanes & (tl.full([W * CG], 0, tl.int64) + k != i)
    own, mine, theirs, lender = g + i * size * UNIT, x + i * size * UNIT, g + k * size * UNIT, x + k * size * UNIT
    pivot, mean, std = kept_moments(x, moments, i, first, to, exists, rows, groups, size, UNIT)
    k_pivot, k_mean, k_std = kept_moments(x, moments, k, first, to, lent, rows, groups, size, UNIT)
    if ONCE:
        offset, real = tile(0, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN_D)
        spots, mask = at[:, None] + offset[None, :], real_lanes[:, None] & real[None, :]
        raw = tl.load(own + spots, mask=mask, other=0.0)
        features = tl.load(mine + spots, mask=mask, other=0.0).to(tl.float32)
        if both:
            taken = lent_lanes[:, None] & real[None, :]
            slope = tl.load(theirs + spots, mask=taken, other=0.0).to(tl.float32)
            values = tl.load(lender + spots, mask=taken, other=0.0).to(tl.float32)
            k_total, k_against = totals(slope, slope * (values - lanes(k_pivot, W, CG) - lanes(k_mean, W, CG)), W, CG)
        c = features - lanes(pivot, W, CG) - lanes(mean, W, CG)
        total, against = totals(raw.to(tl.float32), raw.to(tl.float32) * c, W, CG)
    else:
        total, against, k_total, k_against = sums(
            own, mine, at, real_lanes, pivot, mean, theirs, lender, lent_lanes, k_pivot, k_mean, elements, S, T,
            UNIT, FAST, ACROSS, CG, WIDE, W, D, EVEN_D, STAGES, both,
        )  # fmt: skip
    other_std = tl.load(moments + (rows + j) * groups + to, mask=exists, other=1.0)
    share = 0.0 if lam is None else tl.load(lam + i)
    over = 1.0 / (std + outside)
    scale = tl.where(i != j, blended(std, other_std, lam, i) * over, 1.0)
    to_mean = tl.where(i != j, (share - scale) * total, 0.0)
    to_std = tl.where(i != j, (share - scale) * against * over, 0.0)
    if both:
        given = 1.0 if lam is None else 1 - tl.load(lam + k)
        to_mean += given * k_total
        to_std += given * k_against / (k_std + outside)
    elif LENT:
        k = next_taker(partner, i, -1, rows, ROWS)
        touched = touched | (k >= 0)
        while k >= 0:
            k_pivot, k_mean, k_std = kept_moments(x, moments, k, first, to, exists, rows, groups, size, UNIT)
            theirs, lender = g + k * size * UNIT, x + k * size * UNIT
            k_total, k_against, _, _ = sums(
                theirs, lender, at, real_lanes, k_pivot, k_mean, theirs, lender, real_lanes, k_pivot, k_mean, elements, S, T,
                UNIT, FAST, ACROSS, CG, WIDE, W, D, EVEN_D, STAGES, False,
            )  # fmt: skip
            given = 1.0 if lam is None else 1 - tl.load(lam + k)
            to_mean += given * k_total
            to_std += given * k_against / (k_std + outside)
            k = next_taker(partner, i, k, rows, ROWS)
    scale, shift, slant = lanes(scale, W, CG), lanes(to_mean * each, W, CG), lanes(to_std * every / std, W, CG)
    if ONCE:
        slopes = (raw.to(tl.float32) * scale + shift + slant * c).to(dx.dtype.element_ty)
        tl.store(dx + i * size * UNIT + spots, tl.where(touched, slopes, raw.to(dx.dtype.element_ty)), mask=mask)
    else:
        tiles, pivots, means = tl.cdiv(elements, D), lanes(pivot, W, CG), lanes(mean, W, CG)
        for n in tl.range(0, tiles, num_stages=STAGES):
            offset, real = tile((tiles - 1 - n) * D, elements, S, T, UNIT, FAST, ACROSS, WIDE, D, EVEN_D)
            spots, mask = at[:, None] + offset[None, :], real_lanes[:, None] & real[None, :]
            raw = tl.load(own + spots, mask=mask, other=0.0)
            c = tl.load(mine + spots, mask=mask, other=0.0).to(tl.float32) - pivots - means
            slopes = (raw.to(tl.float32) * scale + shift + slant * c).to(dx.dtype.element_ty)
            tl.store(dx + i * size * UNIT + spots, tl.where(touched, slopes, raw.to(dx.dtype.element_ty)), mask=mask)
