"""Real runs in real processes: killed, interrupted, gone on with, and equal to the last digit."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from featmix.compare.contenders import contenders
from featmix.compare.digits import read_digits
from featmix.compare.experiment import make_grid
from featmix.compare.results import read_rows
from featmix.compare.settings import Settings
from featmix.compare.training import train

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")]

STRATEGIES = ["moex", "cutmix@layer1", "mixstyle"]
SETTINGS = Settings(epochs=1, limit=150, width=8)
ARGUMENTS = [*STRATEGIES, "--seeds", "1", "--epochs", "1", "--limit", "150", "--width", "8"]


@pytest.fixture
def one_thread():
    """As the workers have it."""
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    torch.random.set_rng_state(state)


def command(out, *more):
    code = "from featmix.cli.main import main; main()"
    return [sys.executable, "-c", code, "compare", *ARGUMENTS, "--out", str(out), *more]


def start(out, *more):
    return subprocess.Popen(
        command(out, *more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def wait_for_rows(process, path, count):
    deadline = time.monotonic() + 120
    while len(read_rows(path)) < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def members(session):
    """Processes of a session that still run, zombies aside."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def gone(session):
    deadline = time.monotonic() + 20
    while members(session) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not members(session)


def untimed(rows):
    return [dataclasses.replace(row, seconds_per_step=None) for row in rows]


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc to see which processes are left")
def test_killed_and_interrupted_it_goes_on_to_the_same_rows(tmp_path, one_thread):
    broken, digits = tmp_path / "broken", read_digits()

    process = start(broken, "--jobs", "2")
    wait_for_rows(process, broken / "runs.csv", 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process of the group gets it
    said = process.communicate(timeout=30)[0]
    assert process.returncode == 130, said
    assert "Interrupted" in said
    assert "goes on from there" in said
    assert "Traceback" not in said
    assert gone(process.pid)

    before = len(read_rows(broken / "runs.csv"))
    process = start(broken, "--jobs", "1")
    wait_for_rows(process, broken / "runs.csv", before + 2)
    process.kill()
    process.communicate()
    assert gone(process.pid)  # the worker ends with its parent
    kept = read_rows(broken / "runs.csv")
    with (broken / "runs.csv").open("a") as file:
        file.write("cutmix,,layer1,0,tex")

    rest = subprocess.run(command(broken, "--jobs", "2"), capture_output=True, text=True, timeout=120)
    assert rest.returncode == 0, rest.stdout + rest.stderr
    rows = read_rows(broken / "runs.csv")
    assert all(row in rows for row in kept)
    assert untimed(rows) == untimed(train(run, SETTINGS, digits) for run in make_grid(contenders(STRATEGIES), range(1), digits))
