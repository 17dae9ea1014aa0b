"""Which tensors the fast paths take, and which path takes them; all others go by the formula, which a compiler sees too.

Three ways lead to the same result: the formula, which is the reference; blocks and samples on the CPU; Triton kernels on a GPU.
The environment variable ``FEATMIX_KERNELS`` chooses among them each time that features are mixed:

- ``auto``, as without the variable: the CPU's own way on the CPU, Triton's on a CUDA device where triton is installed;
- ``formula``: the formula everywhere;
- ``cpu``: the CPU's own way on the CPU, and the formula on other devices;
- ``triton``: Triton's way on CUDA devices, and on the CPU too in Triton's interpreter, that is with ``TRITON_INTERPRET=1``.

Whatever is chosen, tensors that a path cannot take go by the formula: those with gaps in memory, those seen by a compiler, by
``torch.func`` or in forward mode, and float64 on Triton's way.
"""

from __future__ import annotations

import functools
import os
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from featmix.errors import FeatmixError, nearest
from featmix.kernels import blocks, exchange_cpu, samples
from featmix.kernels.exchange import ExchangeKernels
from featmix.kernels.mixing import Rows
from featmix.layouts import CHANNELS_LAST

CHOICES = ("auto", "formula", "cpu", "triton")
ON_DEVICE = (torch.float32, torch.float16, torch.bfloat16)  # Triton's kernels compute in float32

SMALLEST = 1 << 16  # elements; below, the formula of new moments that are no blend costs less on the CPU


class MomentKernels(Protocol):
    """What other new moments need; ``dims``, ``scale`` and the like are those of a normalizer's view of the features."""

    def moments(self, x: Tensor, dims: tuple[int, ...], *, eps: float, unbiased: bool) -> tuple[Tensor, Tensor]:
        """Return mean and ``sqrt(var + eps)`` over ``dims``."""
        ...

    def affine(self, x: Tensor, scale: Tensor, shift: Tensor | None, active: Tensor) -> Tensor:
        """``x * scale + shift`` in rows that are active, ``x`` bit for bit elsewhere."""
        ...

    def sums(self, g: Tensor, x: Tensor, mean: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """``sum g`` and ``sum g * (x - mean)`` over ``dims``."""
        ...

    def combine(self, g: Tensor, a: Tensor, x: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """``g * a + x * b + c``."""
        ...


class RowKernels(Protocol):
    """What mixing rows needs. ``None`` comes back where the formula is faster.

    ``partner`` is the row that each row takes from, itself where it is idle; ``taker`` the other row that takes from each, -1
    where none does, or ``None`` where that is not known.
    """

    BY_TAKER: bool
    """True if ``taker`` is of use."""

    def blend(self, x: Tensor, partner: Tensor, lam: Tensor, taker: Tensor | None) -> Rows | None:
        """Return rows ``lam * x_i + (1 - lam) * x_j``."""
        ...

    def paste(self, x: Tensor, partner: Tensor, box: Tensor, positions: tuple[int, ...], taker: Tensor | None) -> Rows | None:
        """Return rows that are the partner's inside ``box``, whose ends are along the axes ``positions``."""
        ...

    def select(self, x: Tensor, partner: Tensor, share: Tensor, taker: Tensor | None) -> Rows | None:
        """Return rows ``x_i + share * (x_j - x_i)``; with a share that is bool, the partner's where it is true."""
        ...

    def shrink(self, x: Tensor, partner: Tensor, box: Tensor, positions: tuple[int, ...], taker: Tensor | None) -> Rows | None:
        """Return rows that hold the whole partner inside ``box``, shrunk to it by taking the nearest."""
        ...


def exchange_kernels(x: Tensor, dims: tuple[int, ...] | None = None) -> ExchangeKernels | None:
    """Return the kernels for this tensor; ``None`` where the formula has to do.

    Args:
        x: The features.
        dims: Axes of theirs that a mean is taken over, where they are to be looked at: Triton's kernels have two loops over the
            elements of a mean and two over means, and axes may be too many apart for that.
    """
    path = path_for(x)
    if path == "formula" or (path == "triton" and _too_many_apart(x, dims)):
        return None
    return cast(ExchangeKernels, exchange_cpu if path == "cpu" else import_module("featmix.kernels.gpu.exchange"))


def moment_kernels(x: Tensor, dims: tuple[int, ...] | None = None) -> MomentKernels | None:
    """Return the kernels for this tensor; ``None`` where the formula has to do. Arguments as in :func:`exchange_kernels`."""
    path = path_for(x)
    if path == "formula" or (path == "cpu" and x.numel() < SMALLEST) or (path == "triton" and _too_many_apart(x, dims)):
        return None
    return cast(MomentKernels, blocks if path == "cpu" else import_module("featmix.kernels.gpu.moments"))


def row_kernels(x: Tensor) -> RowKernels | None:
    """Return the kernels for this tensor; ``None`` where the formula has to do."""
    path = path_for(x)
    if path == "formula":
        return None
    return cast(RowKernels, samples if path == "cpu" else import_module("featmix.kernels.gpu.rows"))


def path_for(x: Tensor) -> str:
    """``formula``, ``cpu`` or ``triton``: the way that this tensor goes.

    Raises:
        FeatmixError: If ``FEATMIX_KERNELS`` holds another word, or asks for Triton where it cannot run.
    """
    if torch.compiler.is_compiling():
        return "formula"
    wish = os.environ.get("FEATMIX_KERNELS", "auto")
    if wish not in CHOICES:
        raise FeatmixError(
            "FEATMIX_KERNELS", expected=f"one of {', '.join(CHOICES)}", got=repr(wish), fix=nearest(wish, CHOICES)
        )
    on_cpu = x.device.type == "cpu"
    if wish == "triton":
        _check_triton(on_cpu=on_cpu)
    if wish == "formula" or not (on_cpu or x.device.type == "cuda") or not plain(x) or not dense(x):
        return "formula"
    if on_cpu and wish != "triton":
        return "cpu"
    return "triton" if wish != "cpu" and x.dtype in ON_DEVICE and _has_triton() else "formula"


def plain(x: Tensor) -> bool:
    """Whether there is something to do, on a tensor that is not seen by a transform."""
    return (
        type(x) in (Tensor, torch.nn.Parameter)
        and x.numel() > 0
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
    )


def dense(x: Tensor) -> bool:
    """Whether samples lie one after the other in memory, and all their elements side by side."""
    return x.is_contiguous() or (x.ndim in CHANNELS_LAST and x.is_contiguous(memory_format=CHANNELS_LAST[x.ndim]))


def _too_many_apart(x: Tensor, dims: tuple[int, ...] | None) -> bool:
    if dims is None:
        return False
    return import_module("featmix.kernels.gpu.loops").loops(tuple(x.shape), x.stride(), dims) is None


def _check_triton(*, on_cpu: bool) -> None:
    if not _has_triton():
        raise FeatmixError(
            "FEATMIX_KERNELS",
            expected="triton to be installed",
            got="'triton' without it",
            fix="pip install triton, or 'auto'.",
        )
    if on_cpu and os.environ.get("TRITON_INTERPRET") != "1":
        raise FeatmixError(
            "FEATMIX_KERNELS",
            expected="features on a CUDA device",
            got="'triton' with features on the CPU",
            fix="Set TRITON_INTERPRET=1 before triton is imported, or choose 'auto'.",
        )


@functools.cache
def _has_triton() -> bool:
    return find_spec("triton") is not None
