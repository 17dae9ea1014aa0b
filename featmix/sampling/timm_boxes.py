"""CutMix's boxes as timm draws them: with their odd sides whole, or with sides from a range of the map's.

A box is ``(d, 2)``: the first position inside and the first past it, along each of ``d`` position axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featmix.sampling.draws import Floats, Rows, Stream


def whole_boxes(random: Stream, sizes: Sequence[int], lam: Floats) -> Rows:
    """Return boxes whose side is ``int(S * (1 - lam) ** (1 / d))`` before the border clips them.

    :func:`~featmix.sampling.boxes.boxes` reads the paper's formula as its authors did, where an odd side loses one position.

    Args:
        random: The stream of this decision.
        sizes: Sizes ``S`` of the position axes.
        lam: ``(n,)`` strengths drawn: the share that should stay.

    Returns:
        ``(n, d, 2)``, around a centre that is uniform over the positions.

    Example:
        >>> from featmix.sampling.draws import stream
        >>> box = whole_boxes(stream(), [101], np.array([0.96]))
        >>> bool((box[0, 0, 1] - box[0, 0, 0]) <= 5)
        True
    """
    size = np.array(sizes, dtype=np.int64)
    side = (size * ((1 - lam) ** (1 / len(sizes)))[:, None]).astype(np.int64)
    centre = (size * random.random((len(lam), len(sizes)))).astype(np.int64)
    return np.stack([np.maximum(centre - side // 2, 0), np.minimum(centre + (side + 1) // 2, size)], axis=-1)


def boxes_between(random: Stream, sizes: Sequence[int], n: int, low: float, high: float) -> Rows:
    """Return boxes with sides from ``int(S * low)`` up to below ``int(S * high)``, each alike, anywhere inside the map.

    Args:
        random: The stream of this decision.
        sizes: Sizes ``S`` of the position axes.
        n: How many.
        low: The least side, as a part of the map's.
        high: Where sides end. On a map too small for one of them, the side is the least.

    Returns:
        ``(n, d, 2)``.

    Example:
        >>> from featmix.sampling.draws import stream
        >>> box = boxes_between(stream(), [10, 20], 1, 0.2, 0.3)
        >>> (box[0, :, 1] - box[0, :, 0]).tolist()[0]
        2
    """
    size = np.array(sizes, dtype=np.int64)
    least = (size * low).astype(np.int64)
    choices = np.maximum((size * high).astype(np.int64) - least, 1)
    side = least + (choices * random.random((n, len(sizes)))).astype(np.int64)
    first = ((size - side + 1) * random.random((n, len(sizes)))).astype(np.int64)
    return np.stack([first, first + side], axis=-1)
