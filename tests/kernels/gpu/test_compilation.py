"""Every program compiled for real devices, which needs none: the interpreter takes more than the compiler does."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="triton is not installed: make test-triton has it")


READ = {
    "moments": 1,
    "affine": 1,
    "sums": 2,
    "combine": 2,
    "blend": 2,
    "blend_back": 2,
}  # values a program reads for an element
WRITING = ("affine", "combine", "blend", "blend_back", "paste", "paste_back")
WIDEST = 128  # bits that a thread reads or writes at once


@pytest.fixture(scope="module", params=[pytest.param(arch, marks=pytest.mark.xdist_group(f"sm_{arch}")) for arch in (80, 90)])
def compiled(request):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.kernels.gpu.compiled", str(request.param)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return [{**each, "program": each["program"].removesuffix("_program")} for each in json.loads(done.stdout)]


def test_every_program_compiles(compiled):
    assert {each["program"] for each in compiled} == {*READ, *WRITING, "merge"}


def test_nothing_spills(compiled):
    assert {each["spilled"] for each in compiled} == {0}  # ptxas said so of each


def test_neighbours_are_read_together(compiled):
    flat = [each for each in compiled if each["program"] in READ and each["case"] != "gn last" and not each["WIDE"]]
    assert len(flat) > 30
    for each in flat:
        assert each["loads"].count(WIDEST) >= READ[each["program"]] * each["tile"] // WIDEST, each
        assert 16 not in each["loads"], each  # one element in bfloat16


def test_neighbours_are_written_together(compiled):
    for each in compiled:
        if each["program"] in WRITING and each["case"] != "gn last" and not each["WIDE"]:
            assert set(each["stores"]) == {WIDEST}, each
