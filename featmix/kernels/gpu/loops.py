"""How one sample's axes become the loops of moment exchange, and how large its tiles are.

Axes that follow one another in memory are one axis. What is left are at most two axes of groups and two of the elements of a
group, and one of them has neighbours in memory. Where those are groups, a tile is as wide as memory likes to be read, and loops
over the elements; where they are elements of one group, a tile is as deep as that group if that is not too much.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd, prod

_INT32 = (1 << 31) - (1 << 24)  # a tile's numbers run past the end, and are compared with it: they must not wrap around
_BUNDLE = 64  # channels of a group that lie side by side in a tile

Axis = tuple[int, int]  # size and stride


@dataclass(frozen=True)
class Loops:
    """Loops over a sample whose elements lie side by side.

    Args:
        outer: Axis of groups.
        inner: Axis of the groups that lie in a tile: neighbours in memory, or the longest.
        slow: Axis of the elements of a group.
        fast: The other one, with the smaller stride.
        size: Elements of a sample.
        bundle: Neighbours in memory of one group, a power of two, beside those of the next one: the channels of a group in
            channels_last. They are lanes of a tile, and the axes of elements are those of one lane.
    """

    outer: Axis
    inner: Axis
    slow: Axis
    fast: Axis
    size: int
    bundle: int = 1

    @property
    def across(self) -> bool:
        """Whether neighbours in memory are neighbouring lanes."""
        return self.bundle > 1 or (self.inner[1] == 1 and self.inner[0] > 1)

    @property
    def groups(self) -> int:
        """In a sample."""
        return self.outer[0] * self.inner[0]

    @property
    def elements(self) -> int:
        """Of a lane."""
        return self.slow[0] * self.fast[0]

    @property
    def unit(self) -> int:
        """The largest power of two, up to 16, that divides all sizes and strides which decide how wide memory is read."""
        axes = (self.outer, *(() if self.across else (self.inner,)), self.slow, self.fast)
        strides = [stride for size, stride in axes if size > 1 and stride != 1]
        along = self.inner[0] * self.bundle if self.across else self.fast[0]
        return gcd(16, self.size, along, *strides)

    @property
    def wide(self) -> bool:
        """Whether offsets in a sample need 64 bits."""
        return self.size >= _INT32

    def arguments(self) -> tuple[int, ...]:
        """Sizes and strides in the order in which the programs take them; strides in units."""
        unit = self.unit
        stride = self.fast[1] if self.across else self.inner[1]
        return (
            self.groups, self.inner[0], self.elements,
            self.size // unit, self.outer[1] // unit, self.slow[1] // unit, stride // unit,
        )  # fmt: skip

    def constants(self) -> tuple[int | bool, ...]:
        """The unit, the length of the fast axis where there are two, the bundle, and switches, in the order of the programs."""
        return self.unit, self.fast[0] if self.slow[0] > 1 else 0, self.across, self.bundle, self.wide


@lru_cache(maxsize=1024)
def loops(shape: tuple[int, ...], strides: tuple[int, ...], dims: tuple[int, ...]) -> Loops | None:
    """The loops over a dense batch whose means are taken over ``dims``; ``None`` where its axes are too many apart."""
    axes = sorted(
        (-stride, size, d in dims) for d, (size, stride) in enumerate(zip(shape, strides, strict=True)) if d and size > 1
    )
    kept = _joined([(size, -stride) for stride, size, inside in axes if not inside])
    reduced = _joined([(size, -stride) for stride, size, inside in axes if inside])
    if len(kept) > 2 or len(reduced) > 2:
        return None
    one = (1, 0)
    inner = max(kept, key=lambda axis: (axis[1] == 1, axis[0]), default=one)
    outer = next((axis for axis in kept if axis is not inner), one)
    slow, fast = (one, one, *reduced)[-2:]
    n = fast[0]
    if slow[0] > 1 and fast[1] == 1 and inner[1] == n == power_of_two(n) <= _BUNDLE:
        return Loops(outer, inner, one, slow, prod(shape[1:]), n)
    return Loops(outer, inner, slow, fast, prod(shape[1:]))


def power_of_two(n: int) -> int:
    """The least that is not less than ``n``."""
    return 1 << (n - 1).bit_length()


def _joined(axes: list[Axis]) -> list[Axis]:
    """Axes from slow to fast, those as one that follow one another in memory."""
    found: list[Axis] = []
    for size, stride in axes:
        if found and found[-1][1] == size * stride:
            found[-1] = (found[-1][0] * size, stride)
        else:
            found.append((size, stride))
    return found
