"""Masks: low-frequency ones for FMix, blocks for PatchUp."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any, get_args

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from featmix.sampling.draws import Flags, Floats, Stream
from featmix.sampling.words import Spectrum

SPECTRA = get_args(Spectrum)


def smooth_fields(random: Stream, n: int, sizes: Sequence[int], decay: float, *, spectrum: str = "intended") -> Floats:
    """Return noise whose amplitude falls with frequency ``f`` as ``1 / max(f, 1 / max(sizes)) ** decay``, for FMix's masks.

    Args:
        random: The stream of this decision.
        n: How many fields, 1 at least.
        sizes: Sizes of the position axes. Axes of one position carry no frequency and are left out.
        decay: The exponent.
        spectrum: ``intended`` fills the half spectrum of a real transform with complex Gaussians. ``published`` does what the
            authors' code does: it takes rows 0 and 1 of the spectrum for its real and imaginary parts, so that along the last
            axis only frequencies 0 and 1 remain.

    Returns:
        ``(n, *sizes)``.
    """
    axes = tuple(size for size in sizes if size > 1) or (1,)
    published = spectrum == "published" and axes[0] > 1  # a single position has no second row
    amplitude = _amplitude(axes, decay, published)
    waves = random.standard_normal((n, *amplitude.shape, 2)) * amplitude[..., None]
    halves = waves[:, 0] + 1j * waves[:, 1] if published else waves[..., 0] + 1j * waves[..., 1]
    fields: Floats = np.fft.irfftn(halves, s=axes, axes=tuple(range(1, len(axes) + 1)))
    return fields.reshape(n, *sizes)


def largest_share(random: Stream, fields: Floats, share: Floats, *, soft: float = 0.0) -> Floats:
    """Return 1 at the largest entries of each field and 0 elsewhere, with a ramp between them where it is to be soft.

    Args:
        random: The stream of this decision.
        fields: ``(n, *sizes)``.
        share: ``(n,)``, how much is to be 1: the count is rounded up or down by a fair coin.
        soft: Half the width of the ramp as a share of all positions; at most the smaller side gets it.

    Returns:
        ``(n, *sizes)``; its mean differs from ``share`` by less than one position.
    """
    flat = fields.reshape(len(fields), prod(fields.shape[1:]))
    result = np.empty_like(flat)
    for row, (values, own, up) in enumerate(zip(flat, share, random.random(len(flat)) < 0.5, strict=True)):
        count = len(values)
        top = int(np.ceil(own * count) if up else np.floor(own * count))
        ramp = int(min(own, 1 - own, soft) * count)
        rank = np.arange(count)
        by_rank = np.clip(1 - (rank - top + ramp) / max(2 * ramp - 1, 1), 0, 1) if ramp else rank < top
        # without a ramp the order within each side does not matter
        order = np.argsort(-values, kind="stable") if ramp else np.argpartition(-values, min(top, count - 1))
        result[row, order] = by_rank
    return result.reshape(fields.shape)


def blocks(random: Stream, channels: int, sizes: Sequence[int], gamma: float, block: int) -> Flags:
    """Return blocks around random seeds, in each channel by itself: DropBlock's, which PatchUp uses.

    Args:
        random: The stream of this decision.
        channels: How many channels.
        sizes: Sizes of the position axes.
        gamma: Sets how dense seeds are: ``gamma * S / (b * (S - b + 1))``, a factor for each axis; where that is past 1 all
            positions are seeds.
        block: Side ``b`` of a block; on smaller maps the largest odd number that fits.

    Returns:
        ``(channels, *sizes)``, True inside blocks, which the border cuts off.
    """
    side = min(block, *sizes)
    side -= 1 - side % 2
    density = gamma * prod(size / (side * (size - side + 1)) for size in sizes)
    found: Flags = random.random((channels, *sizes)) < density
    reach = side // 2
    for axis in range(1, found.ndim):
        edges = [(reach, reach) if k == axis else (0, 0) for k in range(found.ndim)]
        found = np.logical_or.reduce(sliding_window_view(np.pad(found, edges), side, axis), axis=-1)
    return found


@lru_cache(maxsize=32)
def _amplitude(axes: tuple[int, ...], decay: float, published: bool) -> Floats:
    """Return the amplitude of each frequency of the half spectrum; the result is shared and must not be written to."""
    bins = _published_bins(axes) if published else [*map(np.fft.fftfreq, axes[:-1]), np.fft.rfftfreq(axes[-1])]
    squares: list[Floats] = [(f.astype(np.float64) ** 2).reshape(-1, *[1] * (len(bins) - 1 - k)) for k, f in enumerate(bins)]
    radius = np.sqrt(sum(squares, np.zeros(())))
    amplitude: Floats = np.maximum(radius, 1 / max(axes)) ** -decay
    return amplitude


def _published_bins(axes: Sequence[int]) -> list[NDArray[np.floating[Any]]]:
    """Return frequencies in the order of the authors' axes, which in three dimensions is first, last, middle."""
    if len(axes) == 1:
        return [np.fft.fftfreq(axes[0])]
    first, middle, *last = axes
    width = middle // 2 + 1 + middle % 2  # one bin too many where the size is odd
    return [np.fft.fftfreq(first), *(np.fft.fftfreq(size) for size in last), np.fft.fftfreq(middle)[:width]]
