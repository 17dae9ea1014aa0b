"""Layouts, which name the axes of a tensor, and masks, which say which positions are real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from featmix.errors import FeatmixError, nearest


@dataclass(frozen=True)
class Layout:
    """The meaning of a tensor's axes. Axis 0 is always the batch.

    Args:
        name: One letter an axis: ``b`` batch, ``c`` channel, the rest positions (``n`` tokens or points, ``t`` time).
        grid: Whether neighbours along the position axes are neighbours in the world, so that a box makes sense.

    Example:
        >>> layout("bhwc").channel, layout("bhwc").positions
        (3, (1, 2))
    """

    name: str
    grid: bool

    @cached_property
    def ndim(self) -> int:
        """Number of axes, the batch included."""
        return len(self.name)

    @cached_property
    def channel(self) -> int:
        """Index of the channel axis."""
        return self.name.index("c")

    @cached_property
    def positions(self) -> tuple[int, ...]:
        """Indices of the position axes; empty for ``bc``."""
        return tuple(i for i, letter in enumerate(self.name) if letter not in "bc")

    def spatial_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the sizes of the position axes of a full shape."""
        return tuple(shape[i] for i in self.positions)

    def spread(self, values: Tensor) -> Tensor:
        """Return values ``(B, *positions)`` with an axis of size 1 for the channels, broadcastable to features."""
        return values.unsqueeze(self.channel)

    def from_channels_first(self, values: Tensor) -> Tensor:
        """Return values ``(B, C, *positions)``, any of these sizes 1, with the channels where this layout has them."""
        return values.movedim(1, self.channel)


_WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_LAYOUTS = {
    lay.name: lay
    for lay in (
        Layout("bchw", grid=True),
        Layout("bhwc", grid=True),
        Layout("bnc", grid=False),
        Layout("bcn", grid=False),
        Layout("bct", grid=True),
        Layout("btc", grid=True),
        Layout("bcdhw", grid=True),
        Layout("bc", grid=False),
    )
}
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}  # the memory format, by the number of axes
_BY_NDIM = {2: "bc", 3: "bnc", 4: "bchw", 5: "bcdhw"}


def layouts() -> list[str]:
    """Return the known layout names, sorted."""
    return sorted(_LAYOUTS)


def layout(name: str) -> Layout:
    """Look a layout up by name.

    Raises:
        FeatmixError: If there is no such layout; the message names the nearest.
    """
    found = _LAYOUTS.get(name) if isinstance(name, str) else None
    if found is None:
        raise FeatmixError("layout", expected="the name of a layout", got=repr(name), fix=nearest(str(name), _LAYOUTS))
    return found


def resolve_layout(chosen: str | None, shape: Sequence[int], subject: str) -> Layout:
    """Return the layout of a tensor of this shape: the one chosen, or the usual one for its number of axes.

    Without a choice 2-D is ``bc``, 3-D is ``bnc`` (tokens), 4-D is ``bchw`` and 5-D is ``bcdhw``.

    Raises:
        FeatmixError: If the number of axes does not fit.
    """
    name = chosen if chosen is not None else _BY_NDIM.get(len(shape))
    if name is None:
        raise FeatmixError(
            subject, "x", expected="a tensor with 2 to 5 axes", got=f"shape {tuple(shape)}", fix="Name its layout with layout=."
        )
    found = layout(name)
    if found.ndim != len(shape):
        raise FeatmixError(
            subject,
            "x",
            expected=f"{found.ndim} axes as in layout {found.name!r}",
            got=f"shape {tuple(shape)}",
            fix="Pass the layout that the tensor has, for example layout='bnc' for tokens.",
        )
    return found


def checked_mask(mask: Tensor, lay: Layout, shape: Sequence[int], subject: str) -> Tensor:
    """Return a mask as bool, if it fits features of this shape.

    Args:
        mask: ``(B, *positions)``, True or 1 where a position is real, as attention masks have it.
        lay: The layout of the features.
        shape: Their shape; of ``(B,)`` only the batch is compared.
        subject: Who asks, for messages.

    Raises:
        FeatmixError: If it is no mask, or does not fit.

    Example:
        >>> checked_mask(torch.tensor([[1, 1, 0]]), layout("bnc"), (1, 3, 8), "MoEx")
        tensor([[ True,  True, False]])
    """
    if not isinstance(mask, Tensor) or mask.dtype not in _WHOLE:
        got = str(mask.dtype) if isinstance(mask, Tensor) else type(mask).__name__
        raise FeatmixError(subject, "mask", expected="a bool tensor, True where a position is real", got=got)
    if not lay.positions:
        raise FeatmixError(
            subject,
            "mask",
            expected="features with positions",
            got=f"layout {lay.name!r}, which has none",
            fix="Leave the mask out, or name the layout that the features have.",
        )
    whole = (shape[0], *lay.spatial_shape(shape))
    if tuple(mask.shape) != whole:
        raise FeatmixError(
            subject,
            "mask",
            expected=f"shape {whole}: the batch and the positions",
            got=tuple(mask.shape),
            fix="A mask speaks of the positions of the tensor that is mixed.",
        )
    return mask.bool()


def inside(box: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the positions in a box, ``(B, *sizes)`` bool.

    Args:
        box: ``(B, d, 2)`` int64, first position inside and first past the box, for each of ``d`` position axes.
        sizes: The sizes of these axes.

    Example:
        >>> inside(torch.tensor([[[1, 3]]]), [4])
        tensor([[False,  True,  True, False]])
    """
    within = torch.ones((len(box), *[1] * len(sizes)), dtype=torch.bool, device=box.device)
    for k, size in enumerate(sizes):
        place = torch.arange(size, device=box.device)
        along = (place >= box[:, k, :1]) & (place < box[:, k, 1:])
        within = within & along.view(len(box), *(size if axis == k else 1 for axis in range(len(sizes))))
    return within
