"""The part of a strategy that knows the axes of its features, and checks shapes by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from torch import Tensor

from featmix.errors import FeatmixError
from featmix.layouts import Layout
from featmix.strategies.axes import Axes
from featmix.strategies.border import check_features
from featmix.strategies.tags import Tags


class Shaped:
    """The part of a strategy that knows the axes of its features."""

    tags: Tags
    takes_masks: Any  # properties of the strategy
    needs_shape: Any
    needs_grid: Any
    _who: Any
    _axes: Axes

    @property
    def layout(self) -> str | None:
        """Name of the layout; ``None`` goes by the number of axes."""
        return self._axes.layout

    @property
    def axes(self) -> Axes:
        """The layout of the features and the number of their prefix tokens."""
        return self._axes

    def with_axes(self, axes: Axes) -> Self:
        """Return this strategy for features whose axes are known from elsewhere; settings and memories stay shared with it."""
        return self._seen_with(_axes=axes)

    def _seen_with(self, **fixed: Any) -> Self:
        """Return an object with the attributes of this one, whatever they become, but for some that are fixed."""
        own: dict[str, Any] = {name: _always(value) for name, value in fixed.items()}
        own["__reduce_ex__"] = lambda _, protocol: (_seen, (self, fixed))  # copies share with the copy of this one
        own["__copy__"] = _shallow
        seen: Self = object.__new__(type(type(self).__name__, (type(self),), {"__module__": type(self).__module__, **own}))
        object.__setattr__(seen, "__dict__", vars(self))
        return seen

    def layout_of(self, shape: Sequence[int]) -> Layout:
        """Return the layout of a tensor of this shape."""
        return self._axes.of(shape)

    def body_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape without prefix tokens; ``(B,)`` stays as it is."""
        return self._axes.body_shape(shape)

    def body_of(self, x: Tensor) -> Tensor:
        """Return a view of features without prefix tokens."""
        return self._axes.body_of(x)

    def checked_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return a shape that can be decided for; see ``make_params``."""
        return self._axes.checked_shape(shape, needs_shape=self.needs_shape, needs_grid=self.needs_grid)

    def _body_mask(self, mask: Tensor, shape: Sequence[int]) -> Tensor:
        if not self.takes_masks:
            raise FeatmixError(self._who, "mask", expected="None", got="a mask", fix="It cannot tell padding from content.")
        return self._axes.body_mask(mask, shape)

    def _check_features(self, x: Tensor) -> None:
        check_features(self._who, x, needs_float=self.tags.needs_float)
        self._axes.check(x.shape, needs_grid=self.needs_grid)


def _always(value: Any) -> property:
    return property(lambda _: value)


def _seen(strategy: Shaped, fixed: dict[str, Any]) -> Shaped:
    return strategy._seen_with(**fixed)


def _shallow(strategy: Shaped) -> Shaped:
    twin: Shaped = object.__new__(type(strategy))
    object.__setattr__(twin, "__dict__", dict(vars(strategy)))
    return twin
