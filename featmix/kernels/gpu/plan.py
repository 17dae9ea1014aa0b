"""How the axes of features become the loops of a kernel, and how large its tiles are.

Axes that follow one another in memory are one axis. What is left are at most two outer axes of groups, one inner axis of groups
(neighbours in memory, or nearly), and two axes of the elements of a group: so PONO, IN, LN, GN and GPONO, contiguous or in
channels_last, are all the same kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import Tensor

TILE = 4096  # elements that a program holds at a time
_WIDEST = 128  # groups side by side in a tile whose neighbours in memory are groups
_PROGRAMS = 512  # fewer than these leave much of a large device idle
_INT32 = (1 << 31) - (1 << 24)  # a tile's numbers run past the end, and are compared with it: they must not wrap around
_LINE = (1 << 16) - 1  # programs along any axis of a grid but the first


@dataclass(frozen=True)
class Axis:
    """An axis of features.

    Args:
        size: How many.
        stride: Elements of the features from one to the next.
        small: Elements of the moments from one to the next; 0 along axes that a mean is taken over.
    """

    size: int
    stride: int
    small: int


@dataclass(frozen=True)
class Plan:
    """Loops of a kernel.

    Args:
        outer: Two axes of groups.
        inner: The axis of groups that lies in a tile: neighbours in memory, or the longest.
        reduced: Two axes of the elements of a group, the faster one last.
        width: Groups in a tile, a power of two.
        depth: Elements of a group in a tile, a power of two.
        wide: Whether offsets need 64 bits.
    """

    outer: tuple[Axis, Axis]
    inner: Axis
    reduced: tuple[Axis, Axis]
    width: int
    depth: int
    wide: bool

    @property
    def elements(self) -> int:
        """Of a group."""
        return self.reduced[0].size * self.reduced[1].size

    @property
    def columns(self) -> int:
        """Programs side by side over all groups."""
        return self.outer[0].size * self.outer[1].size * -(-self.inner.size // self.width)

    @property
    def share(self) -> int:
        """Elements of a group that one program takes: whole tiles, not all where groups are too few to fill a device."""
        tiles = -(-self.elements // self.depth)
        programs = max(1, -(-_PROGRAMS // self.columns))
        return -(-tiles // programs) * self.depth

    @property
    def splits(self) -> int:
        """Programs that share the elements of a group."""
        return -(-self.elements // self.share)

    @property
    def warps(self) -> int:
        """Of 32 threads each."""
        return 8 if self.width * self.depth > TILE // 2 else 4


def plan(x: Tensor, dims: tuple[int, ...]) -> Plan | None:
    """The loops over a dense tensor whose means are taken over ``dims``; ``None`` where its axes are too many apart."""
    small = [1 if d in dims else size for d, size in enumerate(x.shape)]
    steps = [0 if d in dims else prod(small[d + 1 :]) for d in range(x.ndim)]
    axes = sorted(
        (Axis(size, stride, step) for size, stride, step in zip(x.shape, x.stride(), steps, strict=True) if size > 1),
        key=lambda axis: -axis.stride,
    )
    kept, reduced = _joined([a for a in axes if a.small]), _joined([a for a in axes if not a.small])
    if len(kept) > 3 or len(reduced) > 2:
        return None
    inner = max(kept, key=lambda axis: (axis.stride == 1, axis.size), default=Axis(1, 0, 0))
    first, second = (*(Axis(1, 0, 0) for _ in range(3 - max(len(kept), 1))), *(axis for axis in kept if axis is not inner))
    slow, fast = (*(Axis(1, 0, 0) for _ in range(2 - len(reduced))), *reduced)
    elements = slow.size * fast.size
    if inner.stride == 1:
        width = min(_power_of_two(inner.size), _WIDEST)
        depth = min(_power_of_two(elements), TILE // width)
    else:
        depth = min(_power_of_two(elements), TILE)
        width = min(_power_of_two(inner.size), TILE // depth, 32)
    return Plan((first, second), inner, (slow, fast), width, depth, wide(x.numel()))


def grid(columns: int, steps: int) -> tuple[int, int, int]:
    """``columns`` programs by ``steps``, in a grid that a device takes: with some to spare where steps are very many."""
    layers = -(-steps // _LINE)
    return columns, -(-steps // layers), layers


def wide(elements: int) -> bool:
    """Whether so many elements need offsets of 64 bits."""
    return elements >= _INT32


def _joined(axes: list[Axis]) -> list[Axis]:
    found: list[Axis] = []
    for axis in axes:
        last = found[-1] if found else None
        if last and last.stride == axis.size * axis.stride and last.small == axis.size * axis.small:
            found[-1] = Axis(last.size * axis.size, axis.stride, axis.small)
        else:
            found.append(axis)
    return found


def _power_of_two(n: int) -> int:
    """The least that is not less than ``n``."""
    return 1 << (n - 1).bit_length()
