"""Which shapes, dtypes and masks a strategy takes, and what of them it works on."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import ClassVar

import torch
from torch import Tensor

from featmix.checks import Checks
from featmix.errors import FeatmixError
from featmix.layouts import Layout, checked_mask, layout, resolve_layout
from featmix.strategies.tags import Tags

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class Shapes(Checks):
    """Layout and prefix of a strategy's features; what is left without the prefix is their body."""

    tags: ClassVar[Tags]
    layout: str | None
    num_prefix_tokens: int

    @property
    def takes_masks(self) -> bool:
        """Whether it can be told of padding."""
        return self.tags.masks

    @property
    def needs_grid(self) -> bool:
        """Whether positions have to form a grid."""
        return self.tags.spatial

    @property
    def needs_shape(self) -> bool:
        """Whether it decides for one shape, which has to be known by then."""
        return self.needs_grid

    def layout_of(self, shape: Sequence[int]) -> Layout:
        """The layout of a tensor of this shape."""
        return resolve_layout(self.layout, shape, self._who)

    def body_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape without prefix tokens; of ``(B,)`` nothing is known."""
        if not self.num_prefix_tokens or len(shape) < 2:
            return tuple(shape)
        axis = self.layout_of(shape).positions[0]
        return (*shape[:axis], shape[axis] - self.num_prefix_tokens, *shape[axis + 1 :])

    def body_of(self, x: Tensor) -> Tensor:
        """Features without prefix tokens: a view."""
        if not self.num_prefix_tokens:
            return x
        axis = self.layout_of(x.shape).positions[0]
        return x.narrow(axis, self.num_prefix_tokens, x.shape[axis] - self.num_prefix_tokens)

    def with_prefix_of(self, x: Tensor, body: Tensor) -> Tensor:
        """A body behind the prefix tokens of ``x``."""
        if not self.num_prefix_tokens:
            return body
        axis = self.layout_of(x.shape).positions[0]
        return torch.cat([x.narrow(axis, 0, self.num_prefix_tokens), body], dim=axis)

    def _set_layout(self, name: str | None, num_prefix_tokens: int) -> None:
        self.layout = None if name is None else layout(name).name
        self.num_prefix_tokens = self._whole("num_prefix_tokens", num_prefix_tokens, least=0)
        if self.layout is not None:
            self._check_prefix(self.layout_named)

    @property
    def layout_named(self) -> Layout:
        """The layout that was chosen; where none was, that of images."""
        return layout(self.layout or "bchw")

    def _checked_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        if not isinstance(shape, Sequence) or not all(isinstance(n, Integral) and n >= 0 for n in shape):
            raise FeatmixError(self._who, "shape", expected="the sizes of a tensor's axes", got=repr(shape))
        shape = tuple(int(n) for n in shape)
        if not shape:
            raise FeatmixError(self._who, "shape", expected="a batch axis at least", got="an empty shape")
        if len(shape) == 1 and self.needs_shape:
            raise FeatmixError(
                self._who,
                "shape",
                expected="the shape of the features, to decide for it",
                got=f"{shape}, the batch alone",
                fix="Pass x.shape; for layers of a model attach(..., example=images) learns it.",
            )
        if len(shape) > 1:
            self._check_grid(shape)
        return shape

    def _check_prefix(self, lay: Layout) -> None:
        if self.num_prefix_tokens and len(lay.positions) != 1:
            raise FeatmixError(
                self._who,
                "num_prefix_tokens",
                expected="features with one axis of positions: bnc, bcn, btc, bct",
                got=f"num_prefix_tokens={self.num_prefix_tokens} with layout {lay.name!r}",
            )

    def _body_mask(self, mask: Tensor, shape: Sequence[int]) -> Tensor:
        """A mask without the prefix, checked against features of this shape as far as it is known."""
        if not self.takes_masks:
            raise FeatmixError(self._who, "mask", expected="None", got="a mask", fix="It cannot tell padding from content.")
        if len(shape) > 1:
            mask = checked_mask(mask, self.layout_of(shape), shape, self._who)
        elif not isinstance(mask, Tensor) or mask.ndim < 2 or len(mask) != shape[0]:
            got = f"shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
            raise FeatmixError(self._who, "mask", expected=f"a mask of {shape[0]} rows and their positions", got=got)
        return mask[:, self.num_prefix_tokens :].bool()

    def _check_grid(self, shape: Sequence[int]) -> None:
        lay = self.layout_of(shape)
        self._check_prefix(lay)
        if self.num_prefix_tokens and shape[lay.positions[0]] <= self.num_prefix_tokens:
            got = f"{shape[lay.positions[0]]} positions"
            raise FeatmixError(self._who, "x", expected=f"more positions than the prefix of {self.num_prefix_tokens}", got=got)
        if self.needs_grid and not lay.grid:
            raise FeatmixError(
                self._who,
                "layout",
                expected="a layout whose positions form a grid: bchw, bhwc, bct, btc, bcdhw",
                got=repr(lay.name),
                fix="Neighbours in a list of tokens or features are not neighbours in space.",
            )

    def _check_input(self, x: Tensor) -> None:
        if not isinstance(x, Tensor) or x.layout != torch.strided:
            got = f"layout {x.layout}" if isinstance(x, Tensor) else type(x).__name__
            raise FeatmixError(self._who, "x", expected="a tensor", got=got)
        if self.tags.needs_float and x.dtype not in _FLOATS:
            raise FeatmixError(
                self._who,
                "x",
                expected="a floating tensor",
                got=str(x.dtype),
                fix="It computes with the values, and the results are not integers: convert first, x.float() / 255.",
            )
        self._check_grid(x.shape)
