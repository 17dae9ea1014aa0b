"""Moment exchange on a GPU: one launch forward, one backward, and nothing small between them on the host.

Nothing waits for the device, and no choice depends on values: a step can be captured in a CUDA graph. Besides the result,
forward makes one small tensor, the moments; backward makes none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.kernels.exchange import Blend
from featmix.kernels.gpu import exchange_programs as programs
from featmix.kernels.gpu.launch import Launch
from featmix.kernels.gpu.loops import Loops, loops, power_of_two
from featmix.kernels.gpu.tiles import Tile, back_tile, forward_tile, search_tile

BY_TAKER = True


def exchange(x: Tensor, blend: Blend, *, keep: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """New moments for all rows, from their own and from those of their partners.

    Args:
        x: A normalizer's view of the features: samples lie one after the other, and their elements side by side.
        blend: Partners and how much is taken from them.
        keep: Whether there will be a backward pass.

    Returns:
        The result in the memory format of ``x``, and what :func:`exchange_back` needs: the moments.
    """
    made = _launches(x.shape, x.stride(), blend.dims, x.element_size(), blend.unbiased)
    y = torch.empty_like(x)
    moments = torch.empty((2, len(x), made.groups), dtype=torch.float32, device=x.device) if keep else None
    made.forward((x, y, blend.partner, blend.lam, moments), blend.eps, blend.outside)
    return y, () if moments is None else (moments,)


def exchange_back(g: Tensor, x: Tensor | None, saved: tuple[Tensor, ...], blend: Blend) -> Tensor:
    """The gradient of the features.

    Args:
        g: That of the result, with the strides of the features.
        x: The features; ``None`` where all moments are constants.
        saved: What :func:`exchange` kept.
        blend: What it was given.
    """
    made = _launches(g.shape, g.stride(), blend.dims, g.element_size(), blend.unbiased)
    dx = torch.empty_like(g)
    if blend.detach:
        made.scale((g, dx, blend.partner, blend.lam, saved[0]), blend.outside)
        return dx
    back = made.back[(0 if blend.detach_partner else 2 if blend.taker is None else 1)]
    back((g, x, dx, blend.partner, blend.taker, blend.lam, saved[0]), blend.outside)
    return dx


@dataclass(frozen=True, eq=False)
class _Launches:
    """All launches for features of a shape and memory format; backward's by how often rows lent: never, once, or more often."""

    groups: int
    forward: Launch
    scale: Launch
    back: tuple[Launch, Launch, Launch]


@lru_cache(maxsize=1024)
def _launches(shape: tuple[int, ...], strides: tuple[int, ...], dims: tuple[int, ...], width: int, unbiased: bool) -> _Launches:
    found = loops(shape, strides, dims)
    if found is None:
        raise FeatmixError("kernels", "x", expected="axes that follow one another in memory", got=f"strides {strides}")
    rows = shape[0]
    forward, back, search = (tile(found, rows, width) for tile in (forward_tile, back_tile, search_tile))
    return _Launches(
        found.groups,
        _launch(programs.exchange_program, found, forward, rows, unbiased),
        _launch(programs.scale_program, found, forward, rows, unbiased),
        (
            _launch(programs.exchange_back_program, found, back, rows, unbiased, False, 1),
            _launch(programs.exchange_back_program, found, back, rows, unbiased, True, 1),
            _launch(programs.exchange_back_program, found, search, rows, unbiased, True, power_of_two(rows)),
        ),
    )


def _launch(program: object, found: Loops, tile: Tile, rows: int, unbiased: bool, *more: int) -> Launch:
    columns = found.outer[0] * -(-found.inner[0] // tile.width)
    n = found.elements * found.bundle
    arguments = (
        rows, *found.arguments(), 1 / n, 1 / max(n - unbiased, 1), *found.constants(), *tile.constants(found), *more,
    )  # fmt: skip
    return Launch(program, rows * columns, arguments, tile.warps)
