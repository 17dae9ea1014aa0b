"""How many processes a machine can run."""

from __future__ import annotations

import os
from pathlib import Path

COPIES = 3  # of all images, that a run needs at most: the source, its split, and one without a domain
WORKER_BYTES = 1 << 30  # a worker with torch, the data of a small set and a network, generously


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int | None:
    """Return the bytes that new processes can use without swapping; None if unknown (known on Linux)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def bearable_jobs(wanted: int, runs: int, memory: int | None, data: int = 0) -> int:
    """Return the number of processes to start: at most the number of runs, limited by memory, and at least one.

    Args:
        wanted: Requested number of processes.
        runs: Number of runs to make.
        memory: Free bytes, if known.
        data: Bytes of the images, of which each process needs some copies.

    Example:
        >>> bearable_jobs(999, 120, 24 << 30), bearable_jobs(6, 4, None)
        (24, 4)
    """
    each = max(WORKER_BYTES, WORKER_BYTES // 2 + COPIES * data)
    bearable = wanted if memory is None else memory // each
    return max(1, min(wanted, runs, bearable))
