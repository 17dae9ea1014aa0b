"""Which row takes from which: what follows from it for gradients, and for writing in place."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor


class Partners:
    """The partners of a batch, as plain numbers and as a tensor.

    Args:
        index: ``(B,)`` int64 on the CPU, the row that each row takes from; itself where it is idle.
    """

    def __init__(self, index: Tensor) -> None:
        self.index, self.rows = index, index.tolist()
        self.mixed = [row for row, partner in enumerate(self.rows) if row != partner]

    @property
    def idle(self) -> list[int]:
        """Rows that are their own partners."""
        return [] if len(self.mixed) == len(self.rows) else [row for row, j in enumerate(self.rows) if row == j]

    @cached_property
    def takers(self) -> Tensor | None:
        """``(B,)`` the row that takes from each; ``None`` where that is not exactly one row, itself where it is idle."""
        takers = [-1] * len(self.rows)
        for row, partner in enumerate(self.rows):
            takers[partner] = row
        return None if -1 in takers else torch.tensor(takers)


def takers_first(partner: list[int]) -> Iterator[tuple[int, bool]]:
    """Return rows that take from another one, each after all that take from it; ``True`` at the first of each circle.

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
