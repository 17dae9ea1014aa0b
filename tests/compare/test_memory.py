"""Memory of processes that train."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

import featmix.compare.memory

PROGRAM = """
import resource, runpy, sys
import numpy as np

if sys.argv[2] == "kept":
    runpy.run_path(sys.argv[1])["keep_memory"]()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(40):
    maps = [np.ones(1 << 19, dtype=np.float32) for _ in range(20)]  # 2 MiB each, as a step has them
    del maps
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    """Pages that the system handed out."""
    file = Path(featmix.compare.memory.__file__)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(file), how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_pages_are_handed_out_once():
    assert faults("kept") < faults("given back") / 10
