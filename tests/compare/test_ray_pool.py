"""Runs as tasks of a real Ray on this machine, one of whose processes is killed in the middle."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from featmix import FeatmixError
from featmix.compare.contenders import contenders
from featmix.compare.data import read
from featmix.compare.experiment import compare, make_grid
from featmix.compare.ray_pool import RayPool
from featmix.compare.repeatable import prepared_torch
from featmix.compare.settings import resolve
from featmix.compare.training import train

ray = pytest.importorskip("ray", reason="Ray is an extra")


@pytest.fixture(autouse=True)
def nothing_at_home(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else Ray writes a file into the user's folder


def working():
    """The processes that make a run just now."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::_make" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def bare(row):
    return replace(row, seconds_per_step=None)


def test_rows_are_those_of_this_process_bit_for_bit_though_a_worker_is_killed():
    settings = resolve({"limit": 70, "epochs": 1, "batch_size": 32})
    source = read("digits")
    grid = make_grid(contenders(["moex", "mixup"]), [0, 1], source)[:8]
    with RayPool(2) as pool:
        pool.start(limit=2)
        rows = pool.make(grid, settings, source)
        found = [next(rows)]
        deadline = time.monotonic() + 60
        while not (busy := working()) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(busy[0], signal.SIGKILL)
        found += rows
    assert not working()
    with prepared_torch():
        expected = [train(run, settings, source) for run in grid]
    key = [run.key for run in grid].index
    assert [bare(row) for row in sorted(found, key=lambda row: key(row.key))] == [bare(row) for row in expected]


def test_what_a_cluster_cannot_give_is_refused_before_the_first_run(tmp_path):
    with pytest.raises(FeatmixError, match="a cluster with 64 GPU for each run"):
        compare(["moex"], out=tmp_path, quick=True, executor="ray", resources="gpu=64", jobs=1)
    assert not ray.is_initialized()
    assert not (tmp_path / "runs.csv").exists()
