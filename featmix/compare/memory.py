"""Keeps the memory of a process that trains, so that no step waits for the system to hand it out again."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of malloc.h
_MOST, _MORE = 2**31 - 1, 1 << 26  # bytes
_LARGEST_BLOCK = 1 << 25  # that older versions keep


def keep_memory() -> None:
    """Let glibc keep freed memory, where it would give feature maps back to the system after each operation.

    The system then clears their pages anew in each step. Results stay the same. For processes that do nothing else: their
    memory never shrinks. Without glibc nothing changes.
    """
    try:
        change = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return
    if not change(_MMAP_THRESHOLD, _MOST):
        change(_MMAP_THRESHOLD, _LARGEST_BLOCK)
    change(_TRIM_THRESHOLD, _MOST)
    change(_TOP_PAD, _MORE)
