"""Mixing rows on a GPU: one launch each way, in which a row is read where it is needed and written once.

A sample's gradient is gathered from the row that took from it, or from all that did: no atomic addition, so that the same step
twice is bitwise the same, and nothing waits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from math import gcd
from typing import Any

import torch
from torch import Tensor

from featmix.kernels.gpu import column_programs as columns
from featmix.kernels.gpu import row_programs as programs
from featmix.kernels.gpu.launch import Launch
from featmix.kernels.gpu.loops import power_of_two

_VECTORS = 256  # of 16 bytes in a block
_COLUMN = 16384  # elements of all rows that a program holds to mix them in place, at least 32 bytes of each

BY_TAKER = True


def blend(x: Tensor, partner: Tensor, lam: Tensor, taker: Tensor | None = None) -> Rows:
    """Mixup's rows: ``lam * x_i + (1 - lam) * x_j``.

    Args:
        x: The batch.
        partner: ``(B,)`` int64; idle rows are their own.
        lam: ``(B,)`` own shares.
        taker: ``(B,)`` int64, the other row that took from each, -1 where there is none; ``None`` where some row is taken
            twice, or it is not known.
    """
    return _Blend(partner, taker, lam)


def paste(x: Tensor, partner: Tensor, box: Tensor, positions: tuple[int, ...], taker: Tensor | None = None) -> Rows:
    """CutMix's rows: the partner's inside ``(B, d, 2)`` boxes along the axes ``positions``."""
    return _Paste(partner, taker, box, positions)


def shrink(x: Tensor, partner: Tensor, box: Tensor, positions: tuple[int, ...], taker: Tensor | None = None) -> Rows:
    """ResizeMix's rows: inside ``(B, d, 2)`` boxes the whole partner, of which each position shows the nearest one."""
    return _Shrink(partner, taker, box, positions)


def select(x: Tensor, partner: Tensor, share: Tensor, taker: Tensor | None = None, *, scale: Tensor | None = None) -> Rows:
    """FMix's and PatchUp's rows: ``x_i + share * (x_j - x_i)``.

    Args:
        x: The batch.
        partner: ``(B,)`` int64; idle rows are their own.
        share: Broadcastable to ``x``, bool or float: how much of the partner each element gets.
        taker: See :func:`blend`.
        scale: ``(B,)``: shares are multiplied with it.
    """
    return _Select(partner, taker, *_laid_out(share, x), scale)


class Rows(ABC):
    """What each row is made of; rows that are their own partner are copied."""

    def __init__(self, partner: Tensor, taker: Tensor | None) -> None:
        self.partner, self.taker = partner.contiguous(), taker

    @abstractmethod
    def mixed(self, x: Tensor) -> Tensor:
        """The mixed batch in new memory."""

    def mix_in_place(self, x: Tensor) -> Tensor:
        """The mixed batch in the memory of ``x``."""
        return x.copy_(self.mixed(x))

    def returned(self, g: Tensor, like: Tensor) -> Tensor:
        """The gradient of the batch, in the memory format of ``like``."""
        if g.stride() != like.stride():
            g = torch.empty_like(like, device=g.device).copy_(g)
        to = torch.empty_like(g)
        self._return(g, to, 1 if self.taker is not None else power_of_two(len(g)))
        return to

    @abstractmethod
    def _return(self, g: Tensor, to: Tensor, scanned: int) -> None:
        """Launch what writes the gradient; ``scanned`` rows are searched for takers, at least, where they are not known."""


class _Blend(Rows):
    def __init__(self, partner: Tensor, taker: Tensor | None, lam: Tensor) -> None:
        super().__init__(partner, taker)
        self.lam = lam.float().contiguous()

    def mixed(self, x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        _launch(programs.blend_program, len(x), _size(x), x.element_size(), 0)((x, y, self.partner, self.lam))
        return y

    def mix_in_place(self, x: Tensor) -> Tensor:
        launch = _in_place(columns.blend_in_place_program, len(x), _size(x), x.element_size())
        if launch is None:
            return super().mix_in_place(x)
        launch((x, self.partner, self.lam))
        return x

    def _return(self, g: Tensor, to: Tensor, scanned: int) -> None:
        launch = _launch(programs.blend_back_program, len(g), _size(g), g.element_size(), 0, (), (scanned,))
        launch((g, to, self.partner, self.taker, self.lam))


class _Paste(Rows):
    shrunk = False

    def __init__(self, partner: Tensor, taker: Tensor | None, box: Tensor, positions: tuple[int, ...]) -> None:
        super().__init__(partner, taker)
        self.box, self.positions = box.contiguous(), positions

    def mixed(self, x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        self._launched(programs.paste_program, x)((x, y, self.partner, self.box))
        return y

    def mix_in_place(self, x: Tensor) -> Tensor:
        places, _, _ = _places(x.shape, x.stride(), self.positions)
        launch = _in_place(columns.paste_in_place_program, len(x), _size(x), x.element_size(), places, (len(self.positions),))
        if launch is None:
            return super().mix_in_place(x)
        launch((x, self.partner, self.box))
        return x

    def _return(self, g: Tensor, to: Tensor, scanned: int) -> None:
        self._launched(programs.paste_back_program, g, scanned)((g, to, self.partner, self.taker, self.box))

    def _launched(self, program: Any, x: Tensor, *more: int) -> Launch:
        places, line, along = _places(x.shape, x.stride(), self.positions)
        constants = (len(self.positions), along, self.shrunk, *more)
        return _launch(program, len(x), _size(x), x.element_size(), line, places, constants)


class _Shrink(_Paste):
    shrunk = True

    def mix_in_place(self, x: Tensor) -> Tensor:
        return Rows.mix_in_place(self, x)  # what others still need lies elsewhere in the sample: a copy cannot be spared


class _Select(Rows):
    def __init__(
        self, partner: Tensor, taker: Tensor | None, share: Tensor, places: tuple[int, int, int], scale: Tensor | None
    ) -> None:
        super().__init__(partner, taker)
        self.share, self.places, self.scale = share, places, scale

    def mixed(self, x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        self._launched(programs.select_program, x)((x, y, self.partner, self.share, self.scale))
        return y

    def _return(self, g: Tensor, to: Tensor, scanned: int) -> None:
        self._launched(programs.select_back_program, g, scanned)((g, to, self.partner, self.taker, self.share, self.scale))

    def _launched(self, program: Any, x: Tensor, *more: int) -> Launch:
        _, step, period = self.places
        line = step if step > 1 else period
        return _launch(program, len(x), _size(x), x.element_size(), line, self.places, (step == 1, *more))


@lru_cache(maxsize=1024)
def _launch(
    program: Any, rows: int, size: int, width: int, line: int, places: tuple[int, ...] = (), constants: tuple[int, ...] = ()
) -> Launch:
    """The launch of a program over blocks of all rows, whose vectors never leave a line of so many elements (0: any)."""
    whole = 16 // width
    vector = gcd(whole, size, line) if line else whole
    unit, n = gcd(16, size), _VECTORS * whole // vector
    blocks = -(-size // (n * vector))
    wide = size + n * vector >= 1 << 31 or any(place * place >= 1 << 31 for place in places[1::2])
    arguments = (rows, size // unit, *places, unit, n, vector, wide, *constants)
    return Launch(program, rows * blocks, arguments, 4)


@lru_cache(maxsize=1024)
def _in_place(
    program: Any, rows: int, size: int, width: int, places: tuple[int, ...] = (), constants: tuple[int, ...] = ()
) -> Launch | None:
    """The launch of a program over columns of all rows; ``None`` where rows are too many to be held by one program."""
    held = power_of_two(rows)
    across, warps = _column(held, width)
    if held * across > 2 * _COLUMN:
        return None
    unit = gcd(16, size)
    arguments = (rows, size // unit, *places, unit, held, across, size + across >= 1 << 31, *constants)
    return Launch(program, -(-size // across), arguments, warps)


def _column(rows: int, width: int) -> tuple[int, int]:
    """How many neighbours of each row a program holds to mix rows in place, and its warps."""
    across = max(32 // width, min(64 if rows >= 128 else 8192 // rows, 256, 2 * _COLUMN // rows))
    return across, max(1, min(rows * across // 1024, 32))


@lru_cache(maxsize=1024)
def _places(shape: tuple[int, ...], strides: tuple[int, ...], positions: tuple[int, ...]) -> tuple[tuple[int, ...], int, int]:
    """Strides and sizes of three position axes, elements of a line that no vector leaves, and which axis has stride 1."""
    axes = [(strides[axis], shape[axis]) for axis in positions]
    along = next((k for k, (stride, size) in enumerate(axes) if stride == 1 and size > 1), -1)
    line = gcd(*(size if k == along else stride for k, (stride, size) in enumerate(axes) if size > 1))
    flat = [n for axis in axes for n in axis]
    return (*flat, *[1] * (6 - len(flat))), line, along


def _laid_out(share: Tensor, x: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
    """Shares as bytes or floats; elements between those of two rows, and how an element's place among them is found.

    The place is ``(at // step) % period``: one for each position if channels share it, in either memory order; otherwise shares
    are laid out like a sample.
    """
    share = share.view(torch.uint8) if share.dtype == torch.bool else share.float()
    each = share.shape[1:]
    kept = [d for d in range(1, x.ndim) if share.shape[d] == x.shape[d] and x.shape[d] > 1]
    one = share[0]
    period = one.numel()
    inner = [x.stride(d) for d in kept]
    if kept and one.is_contiguous() and all(each[d - 1] in (1, x.shape[d]) for d in range(1, x.ndim)):
        strides = [s for s, n in zip(one.stride(), each, strict=True) if n > 1]
        step = inner[-1]
        if inner == [s * step for s in strides]:
            return share, (share.stride(0) if share.shape[0] > 1 else 0, step, period)
    rows = share[:1] if share.shape[0] == 1 or share.stride(0) == 0 else share
    like = x[: len(rows)]
    laid = torch.empty_like(like, dtype=share.dtype).copy_(rows.expand(like.shape))
    return laid, (_size(x) if len(rows) > 1 else 0, 1, _size(x))


def _size(x: Tensor) -> int:
    return x.numel() // len(x)
