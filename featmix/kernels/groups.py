"""How the groups that share one mean lie in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from torch import Tensor


@dataclass(frozen=True)
class Groups:
    """The axes of features in the order of memory, neighbours merged that are treated alike.

    Args:
        order: Axes from the slowest to the fastest; the batch comes first.
        shape: The merged sizes, by turns an axis that is kept and one that a mean is taken over: ``(B * C, H * W)`` for one
            mean a channel of a contiguous batch, ``(B, C, H * W)`` for one mean a position.
        small: The shape of the moments, axis for axis as the features, 1 where a mean is taken.
        count: Elements of one mean.
    """

    order: tuple[int, ...]
    shape: tuple[int, ...]
    small: tuple[int, ...]
    count: int

    @property
    def dims(self) -> tuple[int, ...]:
        """The merged axes that a mean is taken over."""
        return tuple(range(1, len(self.shape), 2))

    @property
    def in_rows(self) -> bool:
        """Whether the elements of a mean are neighbours in memory."""
        return len(self.shape) == 2

    @property
    def in_order(self) -> bool:
        """Whether the axes of the features are in the order of memory already."""
        return self.order == tuple(range(len(self.order)))

    def merged(self, x: Tensor) -> Tensor:
        """Features as a view of the merged shape; a copy where their memory is in another order."""
        return (x if self.in_order else x.permute(self.order)).reshape(self.shape)

    def merged_small(self, small: Tensor) -> Tensor:
        """Moments in the merged shape, which has 1 where a mean is taken."""
        shape = [1 if axis in self.dims else size for axis, size in enumerate(self.shape)]
        return (small.expand(self.small) if self.in_order else small.expand(self.small).permute(self.order)).reshape(shape)

    def small_again(self, merged: Tensor) -> Tensor:
        """Moments of the merged shape in that of the features."""
        if self.in_order:
            return merged.view(self.small)
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return merged.view([self.small[axis] for axis in self.order]).permute(back)


def groups_of(x: Tensor, dims: Sequence[int]) -> Groups:
    """Return the groups of features that fill their memory, samples one after the other.

    Args:
        x: ``(B, ...)``.
        dims: The axes that a mean is taken over, the batch not among them.

    Example:
        >>> import torch
        >>> groups_of(torch.ones(2, 3, 4, 5), (2, 3)).shape
        (6, 20)
    """
    return _groups(tuple(x.shape), x.stride(), tuple(dims))


@lru_cache(4096)
def _groups(sizes: tuple[int, ...], strides: tuple[int, ...], dims: tuple[int, ...]) -> Groups:
    order = (0, *sorted(range(1, len(sizes)), key=lambda axis: -strides[axis]))
    merged, kept = [sizes[0]], True
    for axis in order[1:]:
        if sizes[axis] == 1:
            continue
        if (axis not in dims) == kept:
            merged[-1] *= sizes[axis]
        else:
            merged.append(sizes[axis])
            kept = not kept
    if len(merged) == 1:
        merged.append(1)
    small = tuple(1 if axis in dims else size for axis, size in enumerate(sizes))
    return Groups(order, tuple(merged), small, prod(sizes[axis] for axis in dims))
