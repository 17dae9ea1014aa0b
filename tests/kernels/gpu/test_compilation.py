"""Every program compiled for real devices, which needs none: the interpreter takes more than the compiler does."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="triton is not installed: make test-triton has it")

SPILLED = 16  # bytes: compilers of some versions move a few registers once, outside of loops, which costs nothing measurable
WIDEST = 128  # bits that a thread reads or writes at once
UNALIGNED = ("pono (64, 2048, 7, 7) False", "ln (1, 1, 1, 2) False")


@pytest.fixture(scope="module", params=[pytest.param(arch, marks=pytest.mark.xdist_group(f"sm_{arch}")) for arch in (80, 90)])
def compiled(request):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.kernels.gpu.compiled", str(request.param)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_every_program_compiles(compiled):
    assert {each["program"] for each in compiled["made"]} == set(compiled["programs"])


def test_next_to_nothing_spills(compiled):
    spilled = [each for each in compiled["made"] if each["spilled"] is None or each["spilled"] > SPILLED]
    assert not spilled, [(each["program"], each["case"], each["dtype"], each["spilled"]) for each in spilled]


def test_neighbours_are_read_and_written_together(compiled):
    for each in compiled["made"]:
        if each["program"] == "merge" or each["case"] in UNALIGNED:
            continue
        copied = each["program"].startswith(("exchange", "scale", "moments", "affine", "sums", "combine", "blend", "select"))
        if copied or "True" in each["case"]:
            assert WIDEST in each["loads"], each
        if each["program"] not in ("moments", "sums"):
            assert max(each["stores"]) >= (WIDEST // 2 if "gn" in each["case"] else WIDEST), (
                each
            )  # a line of 256 bytes for a warp
