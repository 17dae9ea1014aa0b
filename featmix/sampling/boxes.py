"""Boxes: CutMix's, which the border clips; ResizeMix's, which stay inside; CrossNorm's crops. And orders of channels.

A box is ``(d, 2)``: the first position inside and the first past it, along each of ``d`` position axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import get_args

import numpy as np

from featmix.sampling.draws import Floats, Rows, Stream
from featmix.sampling.words import Crop

CROPS = get_args(Crop)  # whose map is cropped
LEAST_SHARE = 0.1  # a crop has to hold more of the map than this, as published
TRIES = 64  # with three positions or more along each axis, at least every fifth box is large enough


def boxes(random: Stream, sizes: Sequence[int], lam: Floats) -> Rows:
    """Return CutMix's boxes (Yun et al., ICCV 2019, eq. 2), in any number of dimensions.

    A box has side ``int(S * (1 - lam) ** (1 / d))`` along a dimension of size ``S`` (``d`` dimensions), a centre uniform
    over the integers in ``[0, S)`` and edges ``centre -+ side // 2``, clipped to the map.

    Args:
        random: The stream of this decision.
        sizes: Sizes of the position axes.
        lam: ``(n,)`` strengths drawn: the share that should stay.

    Returns:
        ``(n, d, 2)``.
    """
    n, d = len(lam), len(sizes)
    if n == 1:  # the usual case, several times faster with plain numbers
        share = (1 - float(lam[0])) ** (1 / max(d, 1))
        found = [_clipped(int(size * random.random()), int(size * share) // 2, size) for size in sizes]
        return np.array(found, dtype=np.int64).reshape(1, d, 2)
    size = np.array(sizes, dtype=np.int64)
    half = (size * ((1 - lam) ** (1 / max(d, 1)))[:, None]).astype(np.int64) // 2
    middle = (size * random.random((n, d))).astype(np.int64)
    return np.stack([np.maximum(middle - half, 0), np.minimum(middle + half, size)], axis=-1)


def boxes_inside(random: Stream, sizes: Sequence[int], scale: Floats) -> Rows:
    """Return boxes of side ``floor(scale * S)``, 1 at least, around uniform centres, moved until they lie inside the map.

    Args:
        random: The stream of this decision.
        sizes: Sizes ``S`` of the position axes.
        scale: ``(n,)``, in (0, 1]; each box has a place of its own.

    Returns:
        ``(n, d, 2)``.
    """
    size = np.array(sizes, dtype=np.int64)
    side = np.maximum((scale[:, None] * size).astype(np.int64), 1)
    centre = (random.random((len(scale), len(sizes))) * size).astype(np.int64)
    first = np.minimum(np.maximum(centre - side // 2, 0), size - side)
    return np.stack([first, first + side], axis=-1)


def crops(random: Stream, n: int, sizes: Sequence[int]) -> Rows:
    """Return CrossNorm's boxes (Tang et al., ICCV 2021), in any number of dimensions.

    A share of the map from Beta(1, 1), side ``int(S * share ** (1 / d))``, a centre uniform over the positions, clipped to
    the map, and drawn again until more than a tenth of the map and at least two positions are left. A map on which none of
    ``TRIES`` boxes is large enough is taken whole: so it is where an axis has one position or two, for half a side is then 0.

    Args:
        random: The stream of this decision.
        n: How many boxes.
        sizes: Sizes of the position axes.

    Returns:
        ``(n, d, 2)``.

    Example:
        >>> from featmix.sampling.draws import stream
        >>> crops(stream(), 2, [2, 2])[0].tolist()
        [[0, 2], [0, 2]]
    """
    tried = boxes(random, sizes, random.random(n * TRIES)).reshape(n, TRIES, len(sizes), 2)
    held = area_of(tried)
    fits = (held > LEAST_SHARE * prod(sizes)) & (held >= 2)
    first = tried[np.arange(n), fits.argmax(1)]
    whole = np.array([[0, size] for size in sizes])
    return np.where(fits.max(1)[:, None, None], first, whole)


def _clipped(middle: int, half: int, size: int) -> tuple[int, int]:
    return max(middle - half, 0), min(middle + half, size)


def area_of(box: Rows) -> Rows:
    """Return how many positions boxes ``(..., d, 2)`` hold: ``(...)``.

    Example:
        >>> area_of(np.array([[1, 3], [0, 4]])).tolist()
        8
    """
    held: Rows = (box[..., 1] - box[..., 0]).prod(-1)
    return held


def channel_orders(random: Stream, n: int, channels: int) -> Rows:
    """Return a random order of the channels, the same for all rows: ``(n, channels)``."""
    return np.repeat(random.permutation(channels)[None], n, axis=0)
