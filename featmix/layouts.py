"""Layouts, which name the axes of a tensor, and masks, which say which positions are real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from featmix.errors import FeatmixError, nearest


@dataclass(frozen=True)
class Layout:
    """The meaning of a tensor's axes. Axis 0 is always the batch.

    Args:
        name: One letter an axis: ``b`` batch, ``c`` channel, the rest positions (``n`` tokens or points, ``t`` time, ``f``
            frequency, or any other letter).
        grid: Whether neighbours along the position axes are neighbours in the world, so that a box makes sense.

    Attributes:
        ndim: Number of axes, the batch included.
        channel: Index of the channel axis.
        positions: Indices of the position axes; empty for ``bc``.

    Example:
        >>> layout("bhwc").channel, layout("bhwc").positions
        (3, (1, 2))
        >>> layout("btchw").letters((1, 2))
        'tc'
    """

    name: str
    grid: bool
    ndim: int = field(init=False, repr=False)
    channel: int = field(init=False, repr=False)
    positions: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:  # at once: a compiler cannot trace what is found at the first use
        positions = tuple(i for i, letter in enumerate(self.name) if letter not in "bc")
        vars(self).update(ndim=len(self.name), channel=self.name.index("c"), positions=positions)

    def axes(self, letters: str) -> tuple[int, ...]:
        """Return the indices of the axes with these letters, in the order of the axes."""
        return tuple(i for i, letter in enumerate(self.name) if letter in letters)

    def letters(self, axes: Sequence[int]) -> str:
        """Return the letters of the axes with these indices."""
        return "".join(self.name[axis] for axis in axes)

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
_SCATTERED = "n"  # positions in a list, whose neighbours are no neighbours: tokens, points
_USUAL = ("bchw", "bhwc", "bnc", "bcn", "bct", "btc", "bcdhw", "btchw", "bc")
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}  # the memory format, by the number of axes
_BY_NDIM = {2: "bc", 3: "bnc", 4: "bchw", 5: "bcdhw"}
ANY_NDIM = {  # where the channels are is known, and how many positions there are is not
    "bc*": {2: "bc", 3: "bct", 4: "bchw", 5: "bcdhw"},
    "bcn*": {2: "bc", 3: "bcn", 4: "bchw", 5: "bcdhw"},
    "b*c": {2: "bc", 3: "bnc", 4: "bhwc", 5: "bdhwc"},
}


def _read(name: str) -> Layout | None:
    letters = name.isascii() and name.isalpha() and name.islower() and len(set(name)) == len(name)
    if not letters or name[0] != "b" or "c" not in name:
        return None
    return Layout(name, grid=len(name) > 2 and _SCATTERED not in name)


_LAYOUTS = {name: lay for name in _USUAL if (lay := _read(name))}
_OTHERS: dict[str, Layout] = {}  # apart, so that a compiler that has seen the usual ones need not look again


def layouts() -> list[str]:
    """Return the names of the usual layouts, sorted; :func:`layout` takes all others too."""
    return sorted(_LAYOUTS)


def layout(name: str) -> Layout:
    """Return the layout of a name: ``b`` first, one ``c``, and a letter of its own for each axis of positions.

    Positions form a grid unless one of their axes is ``n``, a list of tokens or points.

    Raises:
        FeatmixError: If it names no layout.

    Example:
        >>> layout("bcft").positions, layout("bcft").grid, layout("btnc").grid
        ((2, 3), True, False)
    """
    if not isinstance(name, str):
        raise FeatmixError("layout", expected="the name of a layout", got=repr(name), fix="For example 'bchw'.")
    found = _LAYOUTS.get(name) or _OTHERS.get(name)
    if found is None:
        found = _read(name)
        if found is None:
            raise FeatmixError(
                "layout",
                expected="'b', then a lower-case letter for each axis, no letter twice, exactly one of them 'c'",
                got=repr(name),
                fix=_meant(name),
            )
        _OTHERS[name] = found
    return found


def _meant(name: str) -> str:
    """Return the layout that is meant by a name of torch's, or by one with ``n`` for the batch."""
    small = name.lower()
    known = {"channels_last": "bhwc", "channels_first": "bchw"}.get(small, f"b{small[1:]}" if small[:1] == "n" else small)
    return f"Did you mean {known!r}? The batch is 'b'." if known in _LAYOUTS and known != name else nearest(name, _LAYOUTS)


def check_layout(name: str) -> None:
    """Check that a name is one that :func:`resolve_layout` takes.

    Raises:
        FeatmixError: If it names no layout.
    """
    if not isinstance(name, str) or name not in ANY_NDIM:
        layout(name)


def resolve_layout(chosen: str | None, shape: Sequence[int], subject: str) -> Layout:
    """Return the layout of a tensor of this shape: the one chosen, or the usual one for its number of axes.

    Without a choice 2-D is ``bc``, 3-D is ``bnc`` (tokens), 4-D is ``bchw`` and 5-D is ``bcdhw``.

    Raises:
        FeatmixError: If the number of axes does not fit.
    """
    by_ndim = _BY_NDIM if chosen is None else ANY_NDIM.get(chosen)
    name = chosen if by_ndim is None else by_ndim.get(len(shape))
    if name is None:
        raise _refused(subject, "2 to 5 axes, or a layout that names them", shape)
    found = layout(name)
    if found.ndim != len(shape):
        raise _refused(subject, f"{found.ndim} axes as in layout {found.name!r}", shape)
    return found


def _refused(subject: str, expected: str, shape: Sequence[int]) -> FeatmixError:
    ndim = len(shape)
    if ndim < min(_BY_NDIM):
        fix = "Features have a batch axis and a channel axis at least: x.unsqueeze(-1) makes 'bc' of one value a sample."
    elif ndim in _BY_NDIM:
        fix = f"Name the axes that the tensor has, for example layout={_BY_NDIM[ndim]!r}."
    else:
        fix = f"Name all {ndim} axes with layout=: 'b' first, one 'c', and a letter of its own for each other, as in 'btcdhw'."
    return FeatmixError(subject, "x", expected=expected, got=f"shape {tuple(shape)}", fix=fix)


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
