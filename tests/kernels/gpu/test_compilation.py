"""Every program compiled for real devices, which needs none: the interpreter takes more than the compiler does."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="triton is not installed: make test-triton has it")


@pytest.fixture(scope="module", params=[80, 90])
def compiled(request):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.kernels.gpu.compiled", str(request.param)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_every_program_compiles(compiled):
    assert {each["program"] for each in compiled} >= {"moments_program", "affine_program", "sums_program", "combine_program"}


def test_nothing_spills(compiled):
    assert not [each for each in compiled if each["local"]]


def test_neighbours_are_read_and_written_together(compiled):
    features = [each for each in compiled if each["program"].startswith(("moments", "affine", "sums", "combine"))]
    assert not [each for each in features if not each["wide"]]
    assert not [each for each in features if each["program"].startswith(("affine", "combine")) and not each["stores"]]
