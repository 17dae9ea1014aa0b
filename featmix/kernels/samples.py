"""Mixup and CutMix on the CPU, one sample after the other: what a sample is made of is read once, and written once.

A sample's gradient is its own share of the gradient of its row, and what the rows took that it was partner of. Samples are far
smaller than caches, or few. Where they are small and many, calls cost more than memory: rows with one box for all are pasted
together then, and all else is left to the formula.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from featmix.kernels import pages
from featmix.kernels.mixing import Rows

Box = tuple[slice, ...]  # of one sample, with an entry for each of its axes
BLENDED, PASTED = 1 << 14, 1 << 16  # elements of a sample from which on one at a time is fastest


def blend(x: Tensor, partner: Tensor, lam: Tensor, taker: Tensor | None = None) -> Rows | None:
    """Mixup's rows: ``lam * x_i + (1 - lam) * x_j``, for ``(B,)`` partners and own shares."""
    return _Blend(partner.tolist(), lam.tolist()) if x[0].numel() >= BLENDED else None


def paste(x: Tensor, partner: Tensor, box: Tensor, positions: tuple[int, ...], taker: Tensor | None = None) -> Rows | None:
    """CutMix's rows: the partner's inside ``(B, d, 2)`` boxes along the axes ``positions``."""
    if x[0].numel() >= PASTED:
        return _Paste(partner.tolist(), [_index(ends, positions) for ends in box.tolist()])
    if bool((box == box[:1]).all()):
        return _PasteTogether(partner, _index(box[0].tolist(), positions))
    return None


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
        """The mixed batch in new memory."""
        y = pages.empty_like(x)
        for i, j in enumerate(self.partner):
            if i == j:
                y[i].copy_(x[i])
            else:
                self.write(i, x[i], x[j], y[i])
        return y

    def mix_in_place(self, x: Tensor) -> Tensor:
        """The mixed batch in the memory of ``x``: a row is written after all rows that take from it."""
        kept: dict[int, Tensor] = {}
        for i, in_circle in takers_first(self.partner):
            if in_circle:
                kept = {i: x[i].clone()}
            j = self.partner[i]
            self.write(i, x[i], kept.get(j, x[j]), x[i])
        return x

    def returned(self, g: Tensor, like: Tensor) -> Tensor:
        """The gradient of the batch."""
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


class _PasteTogether:
    """One box for all rows: what lies in it is gathered and written at once."""

    def __init__(self, partner: Tensor, box: Box) -> None:
        self.partner, self.box = partner, (slice(None), *box)

    def mixed(self, x: Tensor) -> Tensor:
        y = pages.empty_like(x).copy_(x)
        y[self.box] = x[self.box].index_select(0, self.partner)
        return y

    def mix_in_place(self, x: Tensor) -> Tensor:
        x[self.box] = x[self.box].index_select(0, self.partner)
        return x

    def returned(self, g: Tensor, like: Tensor) -> Tensor:
        to, taken = pages.empty_like(like).copy_(g), g[self.box]
        to[self.box] = torch.zeros_like(taken).index_add_(0, self.partner, taken)
        return to


def takers_first(partner: list[int]) -> Iterator[tuple[int, bool]]:
    """Rows that take from another one, each after all that take from it; ``True`` at the first of each circle.

    What is left once nobody takes from a row any more are circles: there the first row is overwritten before the last, which
    takes from it, is written.
    """
    waiting = [0] * len(partner)
    for i, j in enumerate(partner):
        waiting[j] += i != j
    free = [i for i, takers in enumerate(waiting) if not takers]
    done = [i == j for i, j in enumerate(partner)]
    while free:
        i = free.pop()
        if done[i]:
            continue
        yield i, False
        done[i] = True
        waiting[partner[i]] -= 1
        if not waiting[partner[i]]:
            free.append(partner[i])
    for first in range(len(partner)):
        i = first
        while not done[i]:
            yield i, i == first
            done[i] = True
            i = partner[i]
