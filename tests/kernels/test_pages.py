"""Memory for results."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from featmix.kernels import pages

SEEN = Path("/sys/kernel/mm/transparent_hugepage/enabled")
COUNT = """
import torch
from featmix.kernels import pages
y = pages.empty_like(torch.empty(12 << 20, device="meta")).zero_()
lines = open("/proc/self/smaps").read().splitlines()
print(max(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages")))
"""


@pytest.mark.parametrize("size", [0, 1, 5000, 9 << 20])
def test_memory_has_the_form_of_what_it_is_like(size):
    like = torch.empty(size, dtype=torch.float32, device="meta")
    y = pages.empty_like(like)
    assert (y.shape, y.dtype, y.stride(), y.device.type) == (like.shape, like.dtype, like.stride(), "cpu")
    assert y.fill_(2).sum() == 2 * size


def test_channels_last_stays():
    x = torch.empty(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    assert pages.empty_like(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not SEEN.is_file() or "[madvise]" not in SEEN.read_text(), reason="huge pages are not on request here")
@pytest.mark.parametrize(("wish", "huge"), [("1", True), ("0", False)])
def test_large_memory_is_in_huge_pages_unless_told_otherwise(wish, huge):
    environment = {**os.environ, "FEATMIX_HUGE_PAGES": wish, "THP_MEM_ALLOC_ENABLE": "0"}
    found = subprocess.run([sys.executable, "-c", COUNT], env=environment, capture_output=True, text=True, check=True)
    assert (int(found.stdout) >= 32 << 10) == huge
