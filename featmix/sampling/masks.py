"""Randomness of places: low-frequency masks, blocks, and boxes that stay inside the map.

As in ``featmix.sampling.draws``: a ``torch.Generator`` or ``None``, draws in float64 on the generator's device.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import get_args

import torch
from torch import Generator, Tensor
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from featmix.sampling.draws import uniform
from featmix.sampling.words import Spectrum

SPECTRA = get_args(Spectrum)

_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def unequal_beta(n: int, a: float, b: float, *, per: str, generator: Generator | None = None) -> Tensor:
    """``n`` strengths from Beta(a, b), float64, one for all with ``per="batch"``; ``b`` 0 gives 1.

    Through logarithms of gamma variates, as :func:`featmix.sampling.draws.beta`, whose parameters are equal.
    """
    count = n if per == "sample" else 1
    device = uniform(0, generator).device
    if b == 0:
        return torch.ones(n, dtype=torch.float64, device=device)
    shape = torch.tensor([[a], [b]], dtype=torch.float64, device=device)
    log_u = (1 - uniform(2 * count, generator)).log().view(2, count)
    logs = torch._standard_gamma((shape + 1).expand(2, count).contiguous(), generator).log() + log_u / shape
    return torch.sigmoid(logs[0] - logs[1]).expand(n).clone()


def smooth_fields(
    n: int, sizes: Sequence[int], decay: float, *, spectrum: str = "intended", generator: Generator | None = None
) -> Tensor:
    """Noise whose amplitude falls with frequency ``f`` as ``1 / max(f, 1 / max(sizes)) ** decay``, for FMix's masks.

    Args:
        n: How many fields, 1 at least.
        sizes: Sizes of the position axes. Axes of one position carry no frequency and are left out.
        decay: The exponent.
        spectrum: ``intended`` fills the half spectrum of a real transform with complex Gaussians. ``published`` does what the
            authors' code does: it takes rows 0 and 1 of the spectrum for its real and imaginary parts, so that along the last
            axis only frequencies 0 and 1 remain.
        generator: Source of randomness.

    Returns:
        ``(n, *sizes)`` float64.
    """
    axes = [size for size in sizes if size > 1] or [1]
    published = spectrum == "published" and axes[0] > 1  # a single position has no second row
    device = uniform(0, generator).device
    bins = _published_bins(axes) if published else [torch.fft.fftfreq(s) for s in axes[:-1]] + [torch.fft.rfftfreq(axes[-1])]
    squares = [f.double().square().view(-1, *[1] * (len(bins) - 1 - k)) for k, f in enumerate(bins)]
    radius = sum(squares, torch.zeros((), dtype=torch.float64)).sqrt()
    amplitude = radius.clamp(min=1 / max(axes)).pow(-decay).unsqueeze(-1).to(device)
    waves = amplitude * torch.randn(n, *radius.shape, 2, dtype=torch.float64, generator=generator, device=device)
    halves = torch.complex(waves[:, 0], waves[:, 1]) if published else torch.view_as_complex(waves)
    fields: Tensor = torch.fft.irfftn(halves, s=axes, dim=tuple(range(1, len(axes) + 1)))
    return fields.reshape(n, *sizes)


def largest_share(fields: Tensor, share: Tensor, *, soft: float = 0.0, generator: Generator | None = None) -> Tensor:
    """1 at the largest entries of each field and 0 elsewhere, with a ramp between them where it is to be soft.

    Args:
        fields: ``(n, *sizes)``.
        share: ``(n,)``, how much is to be 1: the count is rounded up or down by a fair coin.
        soft: Half the width of the ramp as a share of all positions; at most the smaller side gets it.
        generator: Source of randomness.

    Returns:
        ``(n, *sizes)`` float64; its mean differs from ``share`` by less than one position.
    """
    rank = fields.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1).double()
    count, share = rank.shape[1], share.double().unsqueeze(1)
    up = (uniform(len(fields), generator) < 0.5).unsqueeze(1)
    top = torch.where(up, (share * count).ceil(), (share * count).floor())
    ramp = (torch.minimum(share, 1 - share).clamp(max=soft) * count).floor()
    sloped = (1 - (rank - top + ramp) / (2 * ramp - 1).clamp(min=1)).clamp(0, 1)
    return torch.where(ramp > 0, sloped, (rank < top).double()).view(fields.shape)


def blocks(channels: int, sizes: Sequence[int], gamma: float, block: int, generator: Generator | None = None) -> Tensor:
    """Blocks around random seeds, in each channel by itself: DropBlock's, which PatchUp uses.

    Args:
        channels: How many channels.
        sizes: Sizes of the position axes.
        gamma: Sets how dense seeds are: ``gamma * S / (b * (S - b + 1))``, a factor for each axis; where that is past 1 all
            positions are seeds.
        block: Side ``b`` of a block; on smaller maps the largest odd number that fits.
        generator: Source of randomness.

    Returns:
        ``(channels, *sizes)`` bool, True inside blocks, which the border cuts off.
    """
    side = min(block, *sizes)
    side -= 1 - side % 2
    density = gamma * prod(size / (side * (size - side + 1)) for size in sizes)
    seeds = (uniform(channels * prod(sizes), generator) < density).double().view(channels, *sizes)
    return _POOLS[len(sizes)](seeds, side, stride=1, padding=side // 2) > 0


def boxes_inside(n: int, sizes: Sequence[int], scale: Tensor, generator: Generator | None = None) -> Tensor:
    """Boxes of side ``floor(scale * S)``, 1 at least, around uniform centres, moved until they lie inside the map.

    Args:
        n: How many boxes, each at a place of its own.
        sizes: Sizes ``S`` of the position axes.
        scale: ``(n,)``, in (0, 1].
        generator: Source of randomness.

    Returns:
        ``(n, d, 2)`` int64: first position inside and first position past the box.
    """
    size = torch.tensor(sizes, dtype=torch.float64, device=scale.device)
    side = (scale.double().unsqueeze(1) * size).long().clamp(min=1)
    centre = (uniform(n * len(sizes), generator).to(scale.device).view(n, len(sizes)) * size).long()
    first = torch.minimum((centre - side // 2).clamp(min=0), size.long() - side)
    return torch.stack([first, first + side], dim=-1)


def _published_bins(axes: Sequence[int]) -> list[Tensor]:
    """Frequencies in the order of the authors' axes, which in three dimensions is first, last, middle."""
    if len(axes) == 1:
        return [torch.fft.fftfreq(axes[0])]
    first, middle, *last = axes
    width = middle // 2 + 1 + middle % 2  # one bin too many where the size is odd
    return [torch.fft.fftfreq(first), *(torch.fft.fftfreq(size) for size in last), torch.fft.fftfreq(middle)[:width]]
