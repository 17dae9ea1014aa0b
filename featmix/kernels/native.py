"""Groups that are rows in memory, by the kernels of torch's own normalization layers, which do several steps in one pass.

Each row ``(P, n)`` stands for a channel of a batch of one. Group normalization takes its moments (by Welford's method, merged
pairwise), batch normalization in evaluation mode is an affine map of each channel, and the backward of batch normalization
gives ``sum g`` and ``sum g * (x - mean)``, centred before they are multiplied.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from featmix.kernels.groups import Groups

NARROWEST = 64  # elements of a row; on shorter ones a call for each row costs more than the passes that it saves
SMALLEST = 1 << 15  # elements; on fewer, these kernels still wake up all threads
LONGEST = 1 << 13  # elements that are added up in one go, eight or sixteen sums side by side

_aten = torch.ops.aten


def takes(groups: Groups, x: Tensor) -> bool:
    """Whether these kernels are the faster ones."""
    return groups.in_rows and groups.shape[1] >= NARROWEST and x.numel() >= SMALLEST


def moments(blocks: Iterator[tuple[Tensor, ...]], *, divisor: int, eps: float) -> tuple[Tensor, Tensor]:
    """Return mean and ``sqrt(sum of squares / divisor + eps)`` of each row, each ``(P, 1)``.

    Args:
        blocks: The rows ``(P, n)`` in slices. The kernel writes normalized rows too, into memory that stays in the cache.
        divisor: Of the variance.
        eps: Inside the root.
    """
    found, n = [], 1
    for (block,) in blocks:
        rows, n = block.shape
        weight, bias = _unit(block.dtype)
        found.append(_aten.native_group_norm(block, weight, bias, rows, 1, n, 1, eps * divisor / n)[1:])
    mean, inverse = found[0] if len(found) == 1 else (torch.cat(side) for side in zip(*found, strict=True))
    return mean, inverse.reciprocal().mul_((n / divisor) ** 0.5)


def _unit(dtype: torch.dtype) -> tuple[Tensor | None, Tensor | None]:
    """Weight and bias that change nothing; beside half types they are float32, and so the moments are."""
    return (torch.ones(1), torch.zeros(1)) if dtype in (torch.float16, torch.bfloat16) else (None, None)


def scaled(x: Tensor, scale: Tensor, shift: Tensor, y: Tensor) -> None:
    """Write ``x * scale + shift`` of each row into ``y``; all of ``(P, n)`` and ``(P, 1)``."""
    scale, shift = scale.view(-1), shift.view(-1)
    zero = torch.zeros_like(scale)
    nothing = zero.new_empty(0)
    _aten.native_batch_norm.out(
        x.unsqueeze(0), scale, shift, zero, torch.ones_like(scale), False, 0.0, 0.0,
        out=y.unsqueeze(0), save_mean=nothing, save_invstd=nothing,
    )  # fmt: skip


def sums(g: Tensor, x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """``sum g`` and ``sum g * (x - mean)`` of each row of ``(P, n)``, each ``(P, 1)``."""
    pieces = _pieces(x.shape[1])
    mean = mean if pieces == 1 else mean.expand(-1, pieces)
    shape = (1, len(x) * pieces, x.shape[1] // pieces)
    mean = mean.reshape(-1)
    one = torch.ones_like(mean)
    _, against, total = _aten.native_batch_norm_backward(
        g.view(shape), x.view(shape), one, None, None, mean, one, True, 0.0, (False, True, True)
    )
    if pieces == 1:
        return total.view(-1, 1), against.view(-1, 1)
    return total.view(-1, pieces).sum(1, keepdim=True), against.view(-1, pieces).sum(1, keepdim=True)


@lru_cache(1024)
def _pieces(n: int) -> int:
    """Into how many equal pieces a row is cut; 1 where it has no divisor that would do."""
    return next((k for k in range(-(-n // LONGEST), 1 + n // NARROWEST) if n % k == 0), 1)
