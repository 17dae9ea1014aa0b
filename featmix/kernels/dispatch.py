"""Which tensors the fast paths take, and which path takes them; all others go by the formula, which a compiler sees too.

Three ways lead to the same result: the formula, which is the reference; blocks and samples on the CPU; Triton kernels on a GPU.
"""

from __future__ import annotations

import functools
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from featmix.kernels import blocks, samples
from featmix.kernels.mixing import Rows

SMALLEST = 1 << 17  # elements; below, the formula's few calls cost less than the blocks' many

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
ON_DEVICE = (torch.float32, torch.float16, torch.bfloat16)  # kernels compute in float32


class MomentKernels(Protocol):
    """What moment exchange needs; ``dims``, ``scale`` and the like are those of a normalizer's view of the features."""

    def moments(self, x: Tensor, dims: tuple[int, ...], *, eps: float, unbiased: bool) -> tuple[Tensor, Tensor]:
        """Mean and ``sqrt(var + eps)`` over ``dims``."""
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
    """What mixing rows needs."""

    def blend(self, x: Tensor, partner: Tensor, lam: Tensor) -> Rows | None:
        """Rows ``lam * x_i + (1 - lam) * x_j``; ``None`` where the formula is faster."""
        ...

    def paste(self, x: Tensor, partner: Tensor, box: Tensor, positions: tuple[int, ...]) -> Rows | None:
        """Rows that are the partner's inside ``box``, whose ends are along the axes ``positions``; ``None`` likewise."""
        ...


def moment_kernels(x: Tensor) -> MomentKernels | None:
    """Those for this tensor; ``None`` where the formula has to do."""
    if not plain(x):
        return None
    if x.device.type == "cuda":
        return cast(MomentKernels, import_module("featmix.kernels.gpu.moments")) if _on_device(x) else None
    return blocks if x.device.type == "cpu" and x.numel() >= SMALLEST and dense(x) else None


def row_kernels(x: Tensor) -> RowKernels | None:
    """Those for this tensor; ``None`` where the formula has to do."""
    if not plain(x):
        return None
    if x.device.type == "cuda":
        return cast(RowKernels, import_module("featmix.kernels.gpu.rows")) if _on_device(x) else None
    return samples if x.device.type == "cpu" and x.numel() >= SMALLEST and dense(x) else None


def plain(x: Tensor) -> bool:
    """Whether there is something to do, on a tensor that is not seen by a compiler or a transform."""
    return (
        not torch.compiler.is_compiling()
        and type(x) in (Tensor, torch.nn.Parameter)
        and x.numel() > 0
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
    )


def dense(x: Tensor) -> bool:
    """Whether samples lie one after the other in memory, and all their elements side by side."""
    return x.is_contiguous() or (x.ndim in _CHANNELS_LAST and x.is_contiguous(memory_format=_CHANNELS_LAST[x.ndim]))


def _on_device(x: Tensor) -> bool:
    return x.dtype in ON_DEVICE and dense(x) and _has_triton()


@functools.cache
def _has_triton() -> bool:
    return find_spec("triton") is not None
