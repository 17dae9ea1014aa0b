"""What a layer derived from one of torch's does, found by trying it: some move axes before they normalize."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn

from featmix.errors import FeatmixError
from featmix.normalizers.base import Normalizer
from featmix.normalizers.kinds import normalizer
from featmix.normalizers.moments import Moments

_LAYOUTS = ("bchw", "bnc", "bct", "bhwc", "bcdhw", "bc")  # usual ones first
_SIZES = (3, 5, 7)  # of positions: no two axes alike
_OFF = 1e-3  # of normalized values, which are of order 1


def found_by_trial(layer: nn.Module, layout: str | None) -> Normalizer:
    """Return the normalizer of featmix's that does what the layer does.

    Raises:
        FeatmixError: If none does.

    Example:
        >>> class ChannelsFirst(nn.LayerNorm):
        ...     def forward(self, x):
        ...         return super().forward(x.movedim(1, -1)).movedim(-1, 1)
        >>> like = found_by_trial(ChannelsFirst(6), None)
        >>> like.name, like.layout
        ('pono', 'bchw')
    """
    for like in _candidates(layer, layout):
        x = _example(layer, like)
        try:
            with torch.no_grad():
                y = copy.deepcopy(layer)(x)
        except Exception:  # this layout is not its own
            continue
        if isinstance(y, Tensor) and y.shape == x.shape and bool(((y - like.normalize(x)[0]).abs() <= _OFF).all()):
            return like
    name = type(layer).__name__
    raise FeatmixError(
        "from_torch_norm",
        "layer",
        expected="a layer that does what one of featmix's normalizers does",
        got=f"{name}, which has a forward of its own and does something else",
        fix="Wrap moments, normalize and denormalize of your own: from_normalizer(obj).",
    )


class Tried:
    """A layer as it is, in the dtype of what comes, with moments of featmix's."""

    def __init__(self, layer: nn.Module, like: Normalizer) -> None:
        self.layer, self.like = layer, like

    def moments(self, x: Tensor) -> Moments:
        """Featmix's."""
        return self.like.moments(x)

    def normalize(self, x: Tensor) -> tuple[Tensor, Moments]:
        """The layer's."""
        xh: Tensor = copy.deepcopy(self.layer).to(x.dtype).requires_grad_(False)(x)  # its weights are 1, and its biases 0
        return xh, self.moments(x)

    def denormalize(self, xh: Tensor, m: Moments) -> Tensor:
        """Featmix's."""
        return self.like.denormalize(xh, m)


def fixed_channels(layer: nn.Module) -> int:
    """Return how many channels the layer was made for.

    Example:
        >>> fixed_channels(nn.GroupNorm(2, 8))
        8
    """
    for name in ("num_channels", "num_features"):
        if hasattr(layer, name):
            return int(getattr(layer, name))
    shape = layer.normalized_shape
    return int(shape[0] if isinstance(shape, tuple | list) else shape)  # type: ignore[arg-type]


def _candidates(layer: nn.Module, layout: str | None) -> Iterator[Normalizer]:
    groups = getattr(layer, "num_groups", None)
    kinds = ("pono", "ln", "in") if groups is None else (f"gn{groups}", "pono", "ln")
    for name in _LAYOUTS if layout is None else (layout,):
        for kind in kinds:
            yield normalizer(kind, layout=name, eps=float(getattr(layer, "eps", 1e-5)), unbiased=False)


def _example(layer: nn.Module, like: Normalizer) -> Tensor:
    sizes, channels = iter(_SIZES), fixed_channels(layer)
    shape = [channels if letter == "c" else next(sizes) for letter in (like.layout or "bchw")[1:]]
    return torch.randn(2, *shape, generator=Generator().manual_seed(0)) + 1
