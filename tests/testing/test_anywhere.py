"""A check passes, and leaves nothing running, wherever its code stands: a plain script, stdin, ``python -c``, a notebook."""

import subprocess
import sys

import pytest

PROGRAM = """
import os
import threading
from pathlib import Path

import torch

import featmix as fm
from featmix.testing import check_strategy


class Mine(fm.Mixup):
    def act(self, x, params):
        lam = params.strength(x)
        return lam * x + (1 - lam) * x[params.partner]


def fade(x, partner):
    return 0.75 * x + 0.25 * x[partner]


def children():
    return [child for task in Path("/proc/self/task").glob("*/children") for child in task.read_text().split()]


before, running = threading.active_count(), children()
for subject in (Mine(), fade, lambda x, partner: fade(x, partner)):
    records = check_strategy(subject, only=["ddp", "fires", "identity"], dtypes=[torch.float32], examples=3)
    assert [record.status for record in records] == ["passed"] * 3, records
assert threading.active_count() == before, threading.enumerate()
assert children() == running
assert not torch.distributed.is_initialized()
print("all", "passed")
"""


def python(folder, *arguments, **given):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=folder, timeout=300, **given)


@pytest.mark.parametrize("way", ["script", "stdin", "-c"])
def test_a_check_at_the_top(way, tmp_path):
    if way == "script":
        (tmp_path / "mine.py").write_text(PROGRAM)  # no guard of __main__
        done = python(tmp_path, "mine.py")
    elif way == "stdin":
        done = python(tmp_path, "-", input=PROGRAM)
    else:
        done = python(tmp_path, "-c", PROGRAM)
    assert (done.returncode, done.stdout) == (0, "all passed\n"), done.stderr


def test_a_check_in_a_notebook(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(PROGRAM)])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    (output,) = [output for output in notebook.cells[0].outputs if output.get("name") == "stdout"]
    assert output.text == "all passed\n"
