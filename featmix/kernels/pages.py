"""Memory for results: where it is fresh, its pages cost more than what is written to them.

Linux gives a process the memory of a large result anew each time, filled with zeros one small page after the other. Asked for
pages of 2 MiB, where programs may ask (``/sys/kernel/mm/transparent_hugepage/enabled`` says ``madvise`` or ``always``), it does
so several times faster. The request is a hint: where it is refused, memory is what it would have been. With
``FEATMIX_HUGE_PAGES=0`` in the environment it is not made.
"""

from __future__ import annotations

import ctypes
import mmap
import os

import torch
from torch import Tensor

FRESH_BYTES = 32 << 20  # from here on, the C library's allocator never keeps memory for later
_HUGE = getattr(mmap, "MADV_HUGEPAGE", None) if os.environ.get("FEATMIX_HUGE_PAGES") != "0" else None


def empty_like(x: Tensor) -> Tensor:
    """Uninitialized memory on the CPU, of the shape, dtype and memory format of ``x``."""
    y = torch.empty_like(x) if x.device.type == "cpu" else torch.empty_like(x, device="cpu")
    size = y.numel() * y.element_size()
    if _HUGE is not None and size >= FRESH_BYTES:
        first = -(-y.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        past = (y.data_ptr() + size) // mmap.PAGESIZE * mmap.PAGESIZE
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(past - first), _HUGE)
    return y


def copied(x: Tensor) -> Tensor:
    """Return a copy, in such memory where it is large."""
    return x.clone() if x.numel() * x.element_size() < FRESH_BYTES else empty_like(x).copy_(x)
