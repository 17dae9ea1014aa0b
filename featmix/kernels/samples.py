"""Mixing rows on the CPU, one sample after the other: what a sample is made of is read once, and written once.

A sample's gradient is its own share of the gradient of its row, and what the rows took that it was partner of. Samples are far
smaller than caches, or few. Where they are small and many, calls cost more than memory, and many rows are made together:
see ``featmix.kernels.together``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from featmix.kernels import pages, together
from featmix.kernels.mixing import Rows
from featmix.kernels.partners import takers_first

Box = tuple[slice, ...]  # of one sample, with an entry for each of its axes
BLENDED, PASTED, SHRUNK = 1 << 14, 1 << 16, 1 << 12  # elements of a sample from which on one at a time is fastest

BY_TAKER = False  # finds them by itself, where a gradient asks for them


def blend(x: Tensor, partner: Tensor, lam: Tensor, taker: Tensor | None = None) -> Rows:
    """Mixup's rows: ``lam * x_i + (1 - lam) * x_j``, for ``(B,)`` partners and own shares."""
    if x.numel() >= BLENDED * x.shape[0]:
        return _Blend(partner.tolist(), lam.tolist())
    return together.Blend(partner, lam)


def paste(x: Tensor, partner: Tensor, box: Tensor, positions: tuple[int, ...], taker: Tensor | None = None) -> Rows | None:
    """CutMix's rows: the partner's inside ``(B, d, 2)`` boxes along the axes ``positions``."""
    if x.numel() >= PASTED * x.shape[0]:
        return _Paste(partner.tolist(), [_index(ends, positions) for ends in box.tolist()])
    if box.shape[0] <= 32:  # where there are few, plain numbers are compared faster
        first, *others = box.tolist()
        same = all(ends == first for ends in others)
    else:
        first, same = box[0].tolist(), bool((box == box[:1]).all())
    return together.Paste(partner, _index(first, positions)) if same else None


def select(x: Tensor, partner: Tensor, share: Tensor, taker: Tensor | None = None) -> Rows:
    """Return the rows of FMix and PatchUp: ``x_i + share * (x_j - x_i)``, or with a bool share ``x_j`` where it is true.

    Args:
        x: ``(B, ...)``.
        partner: ``(B,)``.
        share: Broadcastable to ``x``, with as many axes.
        taker: Not needed here.
    """
    return together.Select(partner, share)


def shrink(x: Tensor, partner: Tensor, box: Tensor, positions: tuple[int, ...], taker: Tensor | None = None) -> Rows | None:
    """ResizeMix's rows: the whole partner inside ``(B, d, 2)`` boxes, shrunk to them by taking the nearest."""
    if x.numel() < SHRUNK * len(x):
        return None
    sizes = tuple(x.shape[axis] for axis in positions)
    return _Shrink(partner.tolist(), box.tolist(), positions, sizes)


def _index(ends: list[list[int]], positions: tuple[int, ...]) -> Box:
    axes = range(1, max(positions) + 1)
    return tuple(slice(*ends[positions.index(axis)]) if axis in positions else slice(None) for axis in axes)


class Samples(ABC):
    """What each row is made of, sample by sample.

    Args:
        partner: The partner of each row; its own number where it is idle.
    """

    def __init__(self, partner: list[int]) -> None:
        self.partner = partner

    @abstractmethod
    def write(self, i: int, own: Tensor, partner: Tensor, to: Tensor) -> None:
        """Write row ``i`` of the result; ``to`` may be the memory of ``own``."""

    @abstractmethod
    def keep(self, i: int, g: Tensor, to: Tensor) -> None:
        """Write what a sample gets of the gradient ``g`` of its own row ``i``."""

    @abstractmethod
    def lend(self, k: int, g: Tensor, to: Tensor) -> None:
        """Add what a sample gets of the gradient ``g`` of row ``k``, whose partner it is."""

    def mixed(self, x: Tensor) -> Tensor:
        """Return the mixed batch in new memory."""
        y = pages.empty_like(x)
        for i, j in enumerate(self.partner):
            if i == j:
                y[i].copy_(x[i])
            else:
                self.write(i, x[i], x[j], y[i])
        return y

    def mix_in_place(self, x: Tensor) -> Tensor:
        """Return the mixed batch in the memory of ``x``: a row is written after all rows that take from it."""
        kept: dict[int, Tensor] = {}
        for i, in_circle in takers_first(self.partner):
            if in_circle:
                kept = {i: x[i].clone()}
            j = self.partner[i]
            self.write(i, x[i], kept.get(j, x[j]), x[i])
        return x

    def returned(self, g: Tensor, like: Tensor) -> Tensor:
        """Return the gradient of the batch."""
        takers: list[list[int]] = [[] for _ in self.partner]
        for k, j in enumerate(self.partner):
            if k != j:
                takers[j].append(k)
        to = pages.empty_like(like)
        for i, j in enumerate(self.partner):
            if i == j:
                to[i].copy_(g[i])
            else:
                self.keep(i, g[i], to[i])
            for k in takers[i]:
                self.lend(k, g[k], to[i])
        return to


class _Blend(Samples):
    def __init__(self, partner: list[int], lam: list[float]) -> None:
        super().__init__(partner)
        self.lam = lam

    def write(self, i: int, own: Tensor, partner: Tensor, to: Tensor) -> None:
        torch.lerp(partner, own, self.lam[i], out=to)

    def keep(self, i: int, g: Tensor, to: Tensor) -> None:
        torch.mul(g, self.lam[i], out=to)

    def lend(self, k: int, g: Tensor, to: Tensor) -> None:
        to.add_(g, alpha=1 - self.lam[k])


class _Paste(Samples):
    def __init__(self, partner: list[int], boxes: list[Box]) -> None:
        super().__init__(partner)
        self.boxes = boxes

    def write(self, i: int, own: Tensor, partner: Tensor, to: Tensor) -> None:
        if to.data_ptr() != own.data_ptr():
            to.copy_(own)
        to[self.boxes[i]].copy_(partner[self.boxes[i]])  # while the copy is still in the cache

    def keep(self, i: int, g: Tensor, to: Tensor) -> None:
        to.copy_(g)
        to[self.boxes[i]].zero_()

    def lend(self, k: int, g: Tensor, to: Tensor) -> None:
        to[self.boxes[k]].add_(g[self.boxes[k]])


class _Shrink(_Paste):
    """The partner as a whole in each box.

    Args:
        partner: The partner of each row.
        ends: The boxes, ``B x d x 2``.
        positions: The axes that they lie along.
        sizes: The sizes of these axes.
    """

    def __init__(
        self, partner: list[int], ends: list[list[list[int]]], positions: tuple[int, ...], sizes: tuple[int, ...]
    ) -> None:
        super().__init__(partner, [_index(box, positions) for box in ends])
        self.ends, self.positions, self.sizes = ends, positions, sizes

    def write(self, i: int, own: Tensor, partner: Tensor, to: Tensor) -> None:
        if to.data_ptr() != own.data_ptr():
            to.copy_(own)
        for axis, source in self._sources(i):
            partner = partner.index_select(axis, source)
        to[self.boxes[i]].copy_(partner)

    def lend(self, k: int, g: Tensor, to: Tensor) -> None:
        piece, *others = reversed(self._sources(k))
        found = g[self.boxes[k]]
        for axis, source in others:
            shape = list(found.shape)
            shape[axis] = to.shape[axis]
            found = found.new_zeros(shape).index_copy_(axis, source, found)
        to.index_add_(piece[0], piece[1], found)

    def _sources(self, row: int) -> list[tuple[int, Tensor]]:
        """For each axis of a sample that the box lies along, where its positions come from."""
        found = []
        for axis, size, (first, past) in zip(self.positions, self.sizes, self.ends[row], strict=True):
            source = torch.arange(past - first).mul_(size).div_(max(past - first, 1), rounding_mode="floor")
            found.append((axis - 1, source))
        return found
