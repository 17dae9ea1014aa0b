"""Mixup and CutMix on a GPU: a row is read where it is needed, and written once.

A sample's gradient is gathered from the rows that took from it, which are sorted by their partner on the device: no atomic
addition, so that the same step twice is bitwise the same, and nothing waits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from featmix.kernels.gpu import row_programs as programs
from featmix.kernels.gpu.plan import grid, wide

_BLOCK = 1024


def blend(x: Tensor, partner: Tensor, lam: Tensor) -> _Blend:
    """Mixup's rows: ``lam * x_i + (1 - lam) * x_j``, for ``(B,)`` partners and own shares."""
    return _Blend(partner, lam.float())


def paste(x: Tensor, partner: Tensor, box: Tensor, positions: tuple[int, ...]) -> _Paste:
    """CutMix's rows: the partner's inside ``(B, d, 2)`` boxes along the axes ``positions``."""
    return _Paste(partner, box.contiguous(), positions)


class _OnDevice(ABC):
    """What each row is made of; rows that are their own partner are copied."""

    def __init__(self, partner: Tensor) -> None:
        self.partner = partner.contiguous()

    @abstractmethod
    def mixed(self, x: Tensor) -> Tensor:
        """The mixed batch in new memory."""

    def mix_in_place(self, x: Tensor) -> Tensor:
        """The mixed batch in the memory of ``x``: programs run in any order, so that a copy cannot be spared."""
        return x.copy_(self.mixed(x))

    def takers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows in the order of their partners, and where those begin and end that took from each row; idle rows come last."""
        rows = torch.arange(len(self.partner), device=self.partner.device)
        key, order = torch.where(self.partner == rows, len(rows), self.partner).sort(stable=True)
        return order, torch.searchsorted(key, rows), torch.searchsorted(key, rows, right=True)

    def grid(self, x: Tensor) -> tuple[int, int, int]:
        """Programs: rows, and blocks of a row."""
        return grid(len(x), -(-_size(x) // _BLOCK))


class _Blend(_OnDevice):
    def __init__(self, partner: Tensor, lam: Tensor) -> None:
        super().__init__(partner)
        self.lam = lam.contiguous()

    def mixed(self, x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        with torch.cuda.device(x.get_device()):
            programs.blend_program[self.grid(x)](x, y, self.partner, self.lam, _size(x), **_block(x))
        return y

    def returned(self, g: Tensor, like: Tensor) -> Tensor:
        """The gradient of the batch."""
        g, to = _like(g, like), torch.empty_like(like, device=g.device)
        with torch.cuda.device(g.get_device()):
            programs.blend_back_program[self.grid(g)](g, to, self.partner, self.lam, *self.takers(), _size(g), **_block(g))
        return to


class _Paste(_OnDevice):
    def __init__(self, partner: Tensor, box: Tensor, positions: tuple[int, ...]) -> None:
        super().__init__(partner)
        self.box, self.positions = box, positions

    def mixed(self, x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        with torch.cuda.device(x.get_device()):
            programs.paste_program[self.grid(x)](
                x, y, self.partner, self.box, _size(x), *self._places(x), AXES=len(self.positions), **_block(x)
            )
        return y

    def returned(self, g: Tensor, like: Tensor) -> Tensor:
        """The gradient of the batch."""
        g, to = _like(g, like), torch.empty_like(like, device=g.device)
        with torch.cuda.device(g.get_device()):
            programs.paste_back_program[self.grid(g)](
                g, to, self.partner, self.box, *self.takers(), _size(g), *self._places(to),
                AXES=len(self.positions), **_block(g),
            )  # fmt: skip
        return to

    def _places(self, x: Tensor) -> list[int]:
        """Stride and size of each position axis; three of them, whatever the layout."""
        found = [n for axis in self.positions for n in (x.stride(axis), x.shape[axis])]
        return found + [1] * (6 - len(found))


def _block(x: Tensor) -> dict[str, Any]:
    return {"BLOCK": _BLOCK, "WIDE": wide(_size(x))}


def _size(x: Tensor) -> int:
    return x.numel() // len(x)


def _like(g: Tensor, like: Tensor) -> Tensor:
    """The gradient in the memory format of the features."""
    return g if g.stride() == like.stride() else torch.empty_like(like, device=g.device).copy_(g)
