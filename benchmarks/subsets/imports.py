"""Time to import.

Each time in a process of its own, with featmix and without in turns, after one of each that warms the files up.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.results import Row
from benchmarks.timing import Stopwatch, timing


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Torch and numpy alone, and featmix besides."""
    codes = ("import numpy, torch", "import numpy, torch, featmix")
    turns = [[_seconds(code) for code in codes] for _ in range(2 if watch.quick else 8)][1:]
    found = {code: timing(list(times)) for code, times in zip(codes, zip(*turns, strict=True), strict=True)}
    alone, both = (each.median for each in found.values())
    values = {"torch and numpy, s": alone, "featmix besides, ms": 1e3 * (both - alone)}
    yield Row({"what": "import"}, values, found)


def _seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start
