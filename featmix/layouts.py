"""Which axis of a tensor is what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

    @property
    def ndim(self) -> int:
        """Number of axes, the batch included."""
        return len(self.name)

    @property
    def channel(self) -> int:
        """Index of the channel axis."""
        return self.name.index("c")

    @property
    def positions(self) -> tuple[int, ...]:
        """Indices of the position axes; empty for ``bc``."""
        return tuple(i for i, letter in enumerate(self.name) if letter not in "bc")

    def spatial_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The sizes of the position axes of a full shape."""
        return tuple(shape[i] for i in self.positions)

    def spread(self, values: Tensor) -> Tensor:
        """Values ``(B, *positions)`` with an axis of size 1 for the channels, broadcastable to features."""
        return values.unsqueeze(self.channel)

    def from_channels_first(self, values: Tensor) -> Tensor:
        """Values ``(B, C, *positions)``, any of these sizes 1, with the channels where this layout has them."""
        return values.movedim(1, self.channel)


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
_BY_NDIM = {2: "bc", 3: "bnc", 4: "bchw", 5: "bcdhw"}


def layouts() -> list[str]:
    """The known layout names, sorted."""
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
    """The layout of a tensor of this shape: the one chosen, or the usual one for its number of axes.

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
