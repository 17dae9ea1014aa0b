"""Which tensors the fast paths take; all others go by the formula, which a compiler sees too."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

SMALLEST = 1 << 17  # elements; below, the formula's few calls cost less than the blocks' many

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def usable(x: Tensor) -> bool:
    """Whether the fast path can take this tensor: plain, on the CPU, dense, and not seen by a compiler or a transform."""
    return (
        not torch.compiler.is_compiling()
        and type(x) in (Tensor, torch.nn.Parameter)
        and x.device.type == "cpu"
        and x.numel() >= max(SMALLEST, 1)
        and _dense(x)
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
    )


def _dense(x: Tensor) -> bool:
    return x.is_contiguous() or (x.ndim in _CHANNELS_LAST and x.is_contiguous(memory_format=_CHANNELS_LAST[x.ndim]))
