"""The axes of a strategy's features, and the prefix tokens that they begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral

import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.layouts import ANY_NDIM, Layout, checked_mask, layout, resolve_layout

_OF_IMAGES = (1, 3, 4)  # channels


@dataclass(frozen=True)
class Axes:
    """The layout of features and the number of their prefix tokens. What is left without the prefix is the body.

    Args:
        who: Who works on the features, for messages.
        layout: Name of the layout; ``None`` goes by the number of axes.
        num_prefix_tokens: Positions at the front that are left alone.
        found: Whether the prefix is what a model says of itself: features that cannot have it then have none, instead of being
            refused.
        patches: Positions of features that have no prefix yet, where ``found``.

    Raises:
        FeatmixError: If there is no such layout, or it has no place for prefix tokens.
    """

    who: str
    layout: str | None
    num_prefix_tokens: int
    found: bool = False
    patches: int | None = None

    def __post_init__(self) -> None:
        if self.layout is not None and self.layout not in ANY_NDIM:
            self._check_prefix(layout(self.layout))

    def of(self, shape: Sequence[int]) -> Layout:
        """Return the layout of a tensor of this shape."""
        return resolve_layout(self.layout, shape, self.who)

    def body_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape without prefix tokens; ``(B,)`` stays as it is."""
        if not self.num_prefix_tokens or len(shape) < 2:
            return tuple(shape)
        prefix = self.prefix_of(shape)
        if not prefix:
            return tuple(shape)
        axis = self.of(shape).positions[0]
        return (*shape[:axis], shape[axis] - prefix, *shape[axis + 1 :])

    def body_of(self, x: Tensor) -> Tensor:
        """Return a view of features without prefix tokens."""
        if not self.prefix_of(x.shape):
            return x
        axis = self.of(x.shape).positions[0]
        return x.narrow(axis, self.num_prefix_tokens, x.shape[axis] - self.num_prefix_tokens)

    def with_prefix_of(self, x: Tensor, body: Tensor) -> Tensor:
        """Return a body behind the prefix tokens of ``x``."""
        if not self.prefix_of(x.shape):
            return body
        axis = self.of(x.shape).positions[0]
        return torch.cat([x.narrow(axis, 0, self.num_prefix_tokens), body], dim=axis)

    def checked_shape(self, shape: Sequence[int], *, needs_shape: bool, needs_grid: bool) -> tuple[int, ...]:
        """Return a shape that decisions are to be made for, as a tuple of whole numbers.

        Args:
            shape: Of the features, or ``(B,)``.
            needs_shape: Whether ``(B,)`` is not enough.
            needs_grid: Whether positions have to form a grid.

        Raises:
            FeatmixError: If it is none, or does not fit.
        """
        if type(shape) is not torch.Size:  # a tensor's own needs no second look
            if not isinstance(shape, Sequence) or not all(isinstance(n, int | Integral) and n >= 0 for n in shape):
                got = f"a tensor of shape {tuple(shape.shape)}" if isinstance(shape, Tensor) else repr(shape)
                fix = "Pass x.shape." if isinstance(shape, Tensor) else "For example (32, 3, 224, 224)."
                raise FeatmixError(self.who, "shape", expected="the sizes of a tensor's axes", got=got, fix=fix)
            shape = [int(n) for n in shape]
        return self._accepted(tuple(shape), needs_shape, needs_grid)

    @lru_cache(maxsize=256)  # noqa: B019 - small values, compared by what they hold
    def _accepted(self, shape: tuple[int, ...], needs_shape: bool, needs_grid: bool) -> tuple[int, ...]:
        if not shape:
            raise FeatmixError(self.who, "shape", expected="a batch axis at least", got="an empty shape")
        if len(shape) == 1 and needs_shape:
            raise FeatmixError(
                self.who,
                "shape",
                expected="the shape of the features, to decide for it",
                got=f"{shape}, the batch alone",
                fix="Pass x.shape; for layers of a model attach(..., example=images) learns it.",
            )
        if len(shape) > 1:
            self.check(shape, needs_grid=needs_grid)
        return shape

    def check(self, shape: Sequence[int], *, needs_grid: bool) -> None:
        """Check that features of this shape fit the layout, the prefix and, where it is needed, a grid.

        Raises:
            FeatmixError: If they do not.
        """
        lay = self.of(shape)
        self._check_prefix(lay)
        if self.prefix_of(shape) and shape[lay.positions[0]] <= self.num_prefix_tokens:
            got = f"{shape[lay.positions[0]]} positions"
            raise FeatmixError(self.who, "x", expected=f"more positions than the prefix of {self.num_prefix_tokens}", got=got)
        if needs_grid and not lay.grid:
            raise FeatmixError(
                self.who,
                "layout",
                expected="a layout whose positions form a grid: bchw, bhwc, bct, btc, bcdhw, or others without n",
                got=repr(lay.name),
                fix="A single image needs an axis for the batch: x.unsqueeze(0)."
                if len(shape) == 3 and shape[0] in _OF_IMAGES
                else "Neighbours in a list of tokens or features are not neighbours in space.",
            )

    def body_mask(self, mask: Tensor, shape: Sequence[int]) -> Tensor:
        """Return a padding mask as bool and without the prefix, checked against features of this shape or ``(B,)``.

        Raises:
            FeatmixError: If it does not fit.
        """
        if len(shape) > 1:
            mask = checked_mask(mask, self.of(shape), shape, self.who)
        elif not isinstance(mask, Tensor) or mask.ndim < 2 or len(mask) != shape[0]:
            got = f"shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
            raise FeatmixError(self.who, "mask", expected=f"a mask of {shape[0]} rows and their positions", got=got)
        if len(shape) < 2 and self.found:  # the mask has the positions that the features will have
            return mask[:, self.prefix_of((*mask.shape, 1)) if mask.ndim == 2 else 0 :].bool()
        return mask[:, self.num_prefix_tokens if len(shape) < 2 else self.prefix_of(shape) :].bool()

    def prefix_of(self, shape: Sequence[int]) -> int:
        """Return how many positions at the front of features of this shape are left alone."""
        if not self.num_prefix_tokens or not self.found:
            return self.num_prefix_tokens
        positions = self.of(shape).spatial_shape(shape)
        has_room = len(positions) == 1 and positions[0] > self.num_prefix_tokens and positions[0] != self.patches
        return self.num_prefix_tokens if has_room else 0

    def _check_prefix(self, lay: Layout) -> None:
        if self.num_prefix_tokens and not self.found and len(lay.positions) != 1:
            raise FeatmixError(
                self.who,
                "num_prefix_tokens",
                expected="features with one axis of positions: bnc, bcn, btc, bct",
                got=f"num_prefix_tokens={self.num_prefix_tokens} with layout {lay.name!r}",
            )
