"""Hypothesis strategies: features whose rows are structured, because noise alone does not find numerical faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from hypothesis import strategies as st
from torch import Generator, Tensor

from featmix.layouts import layout as layout_named


def _normal(x: Tensor, magnitude: float, big: float) -> Tensor:
    return x


def _constant(x: Tensor, magnitude: float, big: float) -> Tensor:
    return torch.full_like(x, magnitude)


def _relu_ties(x: Tensor, magnitude: float, big: float) -> Tensor:
    return x.round().clamp(min=0)


def _spike(x: Tensor, magnitude: float, big: float) -> Tensor:
    spike = torch.zeros_like(x)
    spike.view(-1)[:1] = magnitude
    return spike


def _tiny(x: Tensor, magnitude: float, big: float) -> Tensor:
    return x * 1e-4


def _big(x: Tensor, magnitude: float, big: float) -> Tensor:
    return x * big


def _offset(x: Tensor, magnitude: float, big: float) -> Tensor:
    return x + magnitude


ROW_MODES: dict[str, Callable[[Tensor, float, float], Tensor]] = {  # simple ones first: there the search ends
    "normal": _normal,
    "constant": _constant,
    "relu_ties": _relu_ties,
    "spike": _spike,
    "tiny": _tiny,
    "big": _big,
    "offset": _offset,
}


def rows(
    modes: Sequence[str], shape: Sequence[int], *, seed: int, magnitude: float, dtype: torch.dtype, whole: bool = False
) -> Tensor:
    """A batch with one row for each mode.

    Args:
        modes: Names from ``ROW_MODES``.
        shape: Shape of one sample.
        seed: Of the noise.
        magnitude: Of constants, spikes and offsets.
        dtype: Of the result; float16 gets smaller big rows, so that a legal exchange does not overflow.
        whole: Round the noise, for counter-examples that people can read.
    """
    noise = torch.randn(len(modes), *shape, generator=Generator().manual_seed(seed), dtype=torch.float64)
    noise = (2 * noise).round() if whole else noise
    big = 1e2 if dtype == torch.float16 else 1e4
    made = [ROW_MODES[mode](row, magnitude, big) for mode, row in zip(modes, noise, strict=True)]
    return torch.stack(made).to(dtype) if made else noise.to(dtype)


@st.composite
def features(
    draw: st.DrawFn,
    *,
    layout: str = "bchw",
    dtype: torch.dtype = torch.float32,
    channel_multiple: int = 1,
    min_batch: int = 1,
) -> Tensor:
    """Feature maps of 1-6 rows, 1-4 channel groups and 1-9 positions an axis, each row of a mode of its own.

    Args:
        draw: Given by hypothesis.
        layout: Names the axes.
        dtype: Of the tensor.
        channel_multiple: What the number of channels is a multiple of.
        min_batch: Fewest rows.

    Example:
        >>> features(layout="bnc").example().ndim  # doctest: +SKIP
        3
    """
    lay = layout_named(layout)
    shape = [draw(st.integers(1, 9)) for _ in range(lay.ndim - 1)]
    shape[lay.channel - 1] = channel_multiple * draw(st.integers(1, 4))
    modes = draw(st.lists(st.sampled_from(list(ROW_MODES)), min_size=min_batch, max_size=6))
    magnitude = draw(st.sampled_from([1.0, -1.0])) * 10 ** draw(st.floats(0, 3.5))
    seed, whole = draw(st.integers(0, 2**32 - 1)), not draw(st.booleans())  # hypothesis shrinks towards False
    return rows(modes, shape, seed=seed, magnitude=magnitude, dtype=dtype, whole=whole)
