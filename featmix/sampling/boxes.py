"""Randomness of crops: boxes that are large enough to have moments of their own, and orders of channels.

As in ``featmix.sampling.draws``, every function takes a ``torch.Generator``, and draws on its device.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import get_args

import torch
from torch import Generator, Tensor

from featmix.sampling import draws as sampling
from featmix.sampling.words import Crop

CROPS = get_args(Crop)  # whose map is cropped
LEAST_SHARE = 0.1  # a box has to hold more of the map than this, as published
TRIES = 64  # with three positions or more along each axis, at least every fifth box is large enough


def crops(n: int, sizes: Sequence[int], generator: Generator | None = None, *, per: str = "batch") -> Tensor:
    """CrossNorm's boxes (Tang et al., ICCV 2021), in any number of dimensions.

    A share of the map from Beta(1, 1), side ``int(S * share ** (1 / d))``, a centre uniform over the positions, clipped to
    the map, and drawn again until more than a tenth of the map and at least two positions are left. A map on which none of
    ``TRIES`` boxes is large enough is taken whole: so it is where an axis has one position or two, for half a side is then 0.

    Args:
        n: Rows in the batch.
        sizes: Sizes of the position axes.
        generator: Source of randomness.
        per: One box for the ``batch`` or one per ``sample``.

    Returns:
        ``(n, d, 2)`` int64: first position inside and first position past the box.

    Example:
        >>> crops(2, [2, 2])[0].tolist()
        [[0, 2], [0, 2]]
    """
    count, d = (n if per == "sample" else 1), len(sizes)
    share = sampling.uniform(count * TRIES, generator)
    tried = sampling.boxes(sizes, 1 - share, generator, per="sample").view(count, TRIES, d, 2)
    held = (tried[..., 1] - tried[..., 0]).prod(-1)
    fits = (held > LEAST_SHARE * prod(sizes)) & (held >= 2)
    first = tried[torch.arange(count, device=tried.device), fits.int().argmax(1)]
    whole = torch.tensor([[0, size] for size in sizes], device=tried.device)
    return torch.where(fits.any(1).view(-1, 1, 1), first, whole).expand(n, d, 2).clone()


def channel_orders(n: int, channels: int, generator: Generator | None = None) -> Tensor:
    """A random order of the channels, the same for all rows: ``(n, channels)`` int64."""
    order = sampling.partners(channels, "permutation", generator=generator)
    return order.expand(n, channels).clone()
