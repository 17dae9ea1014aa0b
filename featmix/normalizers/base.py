"""The base class of normalizers: takes moments over some axes, and gives them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from numbers import Real
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.layouts import Layout, check_layout, checked_mask, resolve_layout
from featmix.normalizers.moments import Moments, compute_moments, upcast

_SMALLEST_EPS = 1e-30  # its root must not vanish in float32


@dataclass(frozen=True)
class Normalizer:
    """Base of all normalizers; use :func:`featmix.normalizer` to make one.

    Args:
        layout: Names the axes of ``x``; ``None`` goes by the number of axes (:func:`featmix.layouts.resolve_layout`).
        eps: Added to the variance, inside the root.
        unbiased: Variance over ``n - 1``, as the MoEx op has it. torch's own normalization layers divide by ``n``.
        positive_only: Take the moments from positive entries only (the affine map still reaches every entry).
        groups: Number of channel groups; ``None`` for the normalizers without groups.
        width: Channels in a group, as the other way to give groups.
    """

    layout: str | None = None
    eps: float = 1e-5
    unbiased: bool = True
    positive_only: bool = False
    groups: int | None = None
    width: int | None = None

    kind: ClassVar[str] = ""
    grouped: ClassVar[bool] = False
    over_channels: ClassVar[bool] = False
    over_positions: ClassVar[bool] = False
    over_batch: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.layout is not None:
            check_layout(self.layout)
        for switch in ("unbiased", "positive_only"):
            if not isinstance(getattr(self, switch), bool):
                raise FeatmixError(self.kind, switch, expected="True or False", got=repr(getattr(self, switch)))
        if not (isinstance(self.eps, Real) and not isinstance(self.eps, bool) and _SMALLEST_EPS <= self.eps < float("inf")):
            raise FeatmixError(
                self.kind,
                "eps",
                expected=f"a positive finite number, at least {_SMALLEST_EPS}",
                got=repr(self.eps),
                fix="Usual are 1e-5 and 1e-6.",
            )
        given = [n for n in (self.groups, self.width) if n is not None]
        if len(given) != int(self.grouped) or any(n < 1 for n in given):
            raise FeatmixError(
                self.kind,
                "groups",
                expected="one of groups= and width=, at least 1" if self.grouped else "neither groups= nor width=",
                got=f"groups={self.groups}, width={self.width}",
            )

    @property
    def name(self) -> str:
        """The string that makes this normalizer: ``pono``, ``gn8``, ``gpono-d16``."""
        if self.width is not None:
            return f"{self.kind}-d{self.width}"
        return f"{self.kind}{self.groups or ''}"

    @property
    def partly_over_positions(self) -> bool:
        """True if a mean is taken over some of the position axes, as their names say, and not over all whatever they are."""
        return False

    @property
    def exchangeable(self) -> bool:
        """True if each sample has moments of its own, so that two samples can exchange them."""
        return not self.over_batch

    @property
    def is_plain(self) -> bool:
        """True if moments are taken as this class does, so that a faster way to the same may be used."""
        return type(self).moments is Normalizer.moments and type(self).view is Normalizer.view

    def moments(self, x: Tensor, mask: Tensor | None = None) -> Moments:
        """Return mean and standard deviation, broadcastable to :meth:`view` of ``x``.

        Args:
            x: ``(B, ...)`` floating.
            mask: ``(B, *positions)`` bool, False where there is padding: those positions do not count, and where nothing
                counts the mean is 0 and the variance too.

        Raises:
            FeatmixError: If ``x`` is not floating, has the wrong number of axes, or channels that the groups do not divide,
                or the mask does not fit.

        Example:
            >>> import torch
            >>> from featmix.normalizers.kinds import normalizer
            >>> normalizer("gpono4").moments(torch.randn(2, 8, 5, 5)).mean.shape
            torch.Size([2, 4, 1, 5, 5])
        """
        self._check(x)
        return compute_moments(
            self.view(x),
            self.reduced(x.shape),
            eps=self.eps,
            unbiased=self.unbiased,
            positive_only=self.positive_only,
            mask=None if mask is None else self.view(self._spread(mask, x)),
        )

    def normalize(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Moments]:
        """Return ``((x - mean) / std, moments)``, the first with ``x``'s dtype and shape; ``mask`` as for :meth:`moments`."""
        m = self.moments(x) if mask is None else self.moments(x, mask)
        xh = (upcast(self.view(x)) - m.mean) / m.std
        return xh.reshape(x.shape).to(x.dtype), m

    def denormalize(self, xh: Tensor, m: Moments) -> Tensor:
        """Return ``xh * std + mean``, which undoes :meth:`normalize` up to rounding."""
        self._check(xh)
        return (upcast(self.view(xh)) * m.std + m.mean).reshape(xh.shape).to(xh.dtype)

    def view(self, x: Tensor) -> Tensor:
        """Return ``x`` with its channels split into (groups, channels a group); ``x`` itself where there are no groups."""
        if not self.grouped:
            return x
        axis = resolve_layout(self.layout, x.shape, self.name).channel
        groups = self._group_count(x.shape[axis])
        return x.view(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])

    def moment_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the moments of an ``x`` of this shape, without computing any.

        Example:
            >>> from featmix.normalizers.kinds import normalizer
            >>> normalizer("gn2").moment_shape((3, 8, 5, 5))
            (3, 2, 1, 1, 1)
        """
        axis = resolve_layout(self.layout, shape, self.name).channel
        groups = self._group_count(shape[axis])
        split = (groups, shape[axis] // groups) if self.grouped else (shape[axis],)
        whole, reduced = (*shape[:axis], *split, *shape[axis + 1 :]), self.reduced(shape)
        return tuple(1 if d in reduced else n for d, n in enumerate(whole))

    def group_size(self, shape: Sequence[int]) -> int:
        """Return how many elements one mean is taken over, for an ``x`` of this shape."""
        lay = resolve_layout(self.layout, shape, self.name)
        channels = shape[lay.channel] // self._group_count(shape[lay.channel])
        return (
            (channels if self.over_channels else 1)
            * (prod(lay.spatial_shape(shape)) if self.over_positions else 1)
            * (shape[0] if self.over_batch else 1)
        )

    def oracle(self, sample: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of one sample (no batch axis) in plain NumPy, each spread out to its shape.

        Written independently of :meth:`moments`, as the reference that tests compare with.
        """
        lay = resolve_layout(self.layout, (1, *sample.shape), self.name)
        channels_first = np.moveaxis(sample, lay.channel - 1, 0)
        mean, std = np.empty_like(channels_first), np.empty_like(channels_first)
        size = len(channels_first) // self._group_count(len(channels_first)) if self.over_channels else 1
        for start in range(0, len(channels_first), size):
            block = channels_first[start : start + size]
            columns = [np.s_[:]] if self.over_positions else [np.s_[:, *p] for p in np.ndindex(block.shape[1:])]
            for column in columns:
                values = block[column].ravel()
                if self.positive_only:
                    values, ddof = values[values > 0], 0
                else:
                    ddof = int(self.unbiased and values.size > 1)
                mean[start : start + size][column] = values.mean() if values.size else 0.0
                std[start : start + size][column] = np.sqrt((values.var(ddof=ddof) if values.size else 0.0) + self.eps)
        return np.moveaxis(mean, 0, lay.channel - 1), np.moveaxis(std, 0, lay.channel - 1)

    def _spread(self, mask: Tensor, x: Tensor) -> Tensor:
        lay = resolve_layout(self.layout, x.shape, self.name)
        return lay.spread(checked_mask(mask, lay, x.shape, self.name)).expand(x.shape)

    def _check(self, x: Tensor) -> Layout:
        if not isinstance(x, Tensor):
            raise FeatmixError(self.name, "x", expected="a tensor", got=type(x).__name__)
        if x.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            raise FeatmixError(
                self.name,
                "x",
                expected="a floating tensor",
                got=str(x.dtype),
                fix=_in_floats(x.dtype),
            )
        return resolve_layout(self.layout, x.shape, self.name)

    def reduced(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the axes of :meth:`view` that a mean is taken over, for an ``x`` of this shape."""
        lay = resolve_layout(self.layout, shape, self.name)

        def shifted(axis: int) -> int:  # the group axis stands just before the channels of a group
            return axis + (self.grouped and axis >= lay.channel)

        return (
            *((0,) if self.over_batch else ()),
            *((shifted(lay.channel),) if self.over_channels else ()),
            *(tuple(shifted(axis) for axis in lay.positions) if self.over_positions else ()),
        )

    def _group_count(self, channels: int) -> int:
        if not self.grouped:
            return 1
        divisor = self.groups if self.groups is not None else self.width
        if divisor is None or channels % divisor:
            raise FeatmixError(
                self.name,
                "x",
                expected=f"a number of channels that {divisor} divides",
                got=f"{channels} channels",
                fix="Choose another number of groups, or check the layout.",
            )
        return divisor if self.groups is not None else channels // divisor


def _in_floats(dtype: torch.dtype) -> str:
    if dtype.is_complex:
        return "Take the moments of x.abs(), or of torch.view_as_real(x)."
    if dtype in (torch.int32, torch.int64):
        return "Ids of tokens have no moments: take those of their embeddings. Counts: x.float()."
    return "Moments of integers are not integers; x.float()."
