"""What a lent card's minutes are spent on: no device is needed, and no time passes."""

import json
import subprocess
import sys
import time

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.device import budget, features
from benchmarks.device.budget import Job, carried_out
from benchmarks.device.clock import Clock
from benchmarks.results import Results, Row
from benchmarks.subsets import device, host
from benchmarks.timing import Stopwatch

CPU = Clock(torch.device("cpu"), seconds=0.0005, rounds=1)
CASE = features.Case((4, 8, 6, 6), torch.float32, "contiguous", "moex pono")


class Minutes:
    """A clock that jobs move."""

    now = 100.0

    def __call__(self):
        return self.now

    def job(self, name, estimate, takes, *, fails=None):
        def run():
            self.now += takes
            if fails is not None:
                raise fails
            yield Row({"features": name}, {"x": 1.0})

        return Job(name, "features", estimate, run)


def names(rows):
    return [row.labels["features"] for row in rows]


def test_what_time_is_left_for_is_carried_out_in_order():
    clock, missing = Minutes(), []
    jobs = [clock.job("a", 3, 5), clock.job("long", 6, 6), clock.job("b", 3, 4), clock.job("c", 2, 1)]
    assert names(carried_out(jobs, 10, missing, clock)) == ["a", "b"]
    assert missing == ["long: takes about 6 s, 5 of 10 were left", "c: takes about 2 s, 1 of 10 were left"]


def test_time_that_is_over_is_not_negative():
    clock, missing = Minutes(), []
    assert names(carried_out([clock.job("a", 1, 99), clock.job("b", 1, 1)], 10, missing, clock)) == ["a"]
    assert missing == ["b: takes about 1 s, 0 of 10 were left"]


def test_a_job_that_fails_leaves_its_reason_and_the_next_runs():
    clock, missing = Minutes(), []
    jobs = [clock.job("a", 1, 1, fails=RuntimeError("out of memory\nand more")), clock.job("b", 1, 1)]
    assert names(carried_out(jobs, 10, missing, clock)) == ["b"]
    assert missing == ["a: RuntimeError: out of memory"]


def test_rows_come_one_by_one():
    clock = Minutes()
    found = carried_out([clock.job("a", 1, 1), clock.job("b", 1, 1)], 10, [], clock)
    next(found)
    assert clock.now == 101


def test_a_job_is_stopped_when_time_is_over():
    def sleeps():
        time.sleep(30)
        yield Row({}, {})

    missing = []
    assert list(carried_out([Job("compiles", "features", 0, sleeps)], 0.05, missing)) == []
    assert missing == ["compiles: TimeIsOut: stopped after 0 s, which were left"]


def test_a_wrong_result_is_not_timed(monkeypatch):
    monkeypatch.setattr(features, "differ", lambda *_: float("nan"))
    missing, timed = [], []
    monkeypatch.setattr(Clock, "race", lambda *_: timed.append(1))
    job = Job("it", "features", 0, lambda: features.row(CASE, CPU))
    assert list(carried_out([job], 60, missing)) == []
    assert missing == ["it: WrongResultError: not timed: a sample is nan of its norm off the formula in float32"]
    assert not timed


@pytest.mark.parametrize("name", ["moex pono", "moex in", "mixstyle", "mixup", "cutmix"])
@pytest.mark.parametrize("dtype", features.LIMITS, ids=str)
def test_formulas_agree_within_the_limit(name, dtype):
    x, _, _ = features._made(features.Case((4, 8, 6, 6), dtype, "channels_last", name), CPU)
    assert x.dtype == dtype


def test_the_most_important_rows_come_first():
    jobs = list(device.jobs(CPU, quick=False))
    groups = list(dict.fromkeys(job.group for job in jobs))
    assert groups == ["features", "step", "images", "draw", "compiled formula", "compiled step"]
    headlines = [job.name for job in jobs if job.group == "features"][:30]
    assert all("bfloat16" in name for name in headlines)
    for shape in (device.EVERYDAY, device.LARGE, device.INPUT):
        assert sum("×".join(map(str, shape)) in name for name in headlines) == 10
    assert len({job.name for job in jobs}) == len(jobs)
    assert sum(job.seconds for job in jobs[:38]) < 240  # headlines, steps, images and draws fit by their estimates


def test_without_a_device_the_reason_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert list(device.rows(Stopwatch())) == []
    assert device.missing == ["there is no CUDA device"]


@pytest.fixture
def faked(monkeypatch):
    """Rows that cost nothing, on a machine without a card."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    device.missing.clear()
    rows = [Row({"features": "4×4", "strategy": "moex pono"}, {"forward: × formula": 2.0}), Row({"step": "s"}, {"x": 1.0})]
    monkeypatch.setattr(device, "rows", lambda watch: iter(rows))
    return rows


def test_a_run_that_is_ended_keeps_what_it_has(tmp_path, monkeypatch, faked):
    def ended(_):
        yield faked[0]
        kept = Results.load(tmp_path / "rehearsal.json").parts["device"]
        assert kept.rows == [faked[0]]
        assert "the run was not finished" in kept.missing[-1]
        raise KeyboardInterrupt

    monkeypatch.setattr(device, "rows", ended)
    run = CliRunner().invoke(app, ["device", "--quick", "--out", str(tmp_path)])
    assert run.exit_code != 0
    assert "4×4, moex pono: forward: × formula 2" in run.output
    part = json.loads((tmp_path / "rehearsal.json").read_text())["parts"]["device"]
    assert len(part["rows"]) == 1


def test_groups_are_measured_anew_and_others_stay(tmp_path, monkeypatch, faked):
    arguments = ["device", "--quick", "--out", str(tmp_path), "--commit", "abc"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    monkeypatch.setattr(device, "rows", lambda watch: iter([Row({"step": "again"}, {"x": 2.0})]))
    run = CliRunner().invoke(app, [*arguments, "--only", "step"])
    part = Results.load(tmp_path / "rehearsal.json").parts["device"]
    assert part.rows == [faked[0], Row({"step": "again"}, {"x": 2.0})]
    assert part.measured.endswith("commit abc")
    assert part.missing == []
    assert run.output.count("again") == 1
    assert not (tmp_path / "results.json").exists()


def test_only_chosen_groups_run():
    found = list(device.rows(Stopwatch(quick=True, only=("draw",))))
    assert {next(iter(row.labels)) for row in found} == {"draw"}


def test_a_rehearsal_without_time_says_what_it_left_out():
    assert list(device.rows(Stopwatch(quick=True, minutes=0.0))) == []
    assert len(device.missing) == len(list(device.jobs(CPU, quick=True)))


def test_host_measures_each_call_beside_others():
    found = list(host.rows(Stopwatch(seconds=0.0005, rounds=1, quick=True)))
    calls = {row.labels["call"] for row in found if "call" in row.labels}
    assert calls == {"make_params", "transform", "backward of transform", "strategy(x, target)", "loss"}
    assert {"featmix", "formula"} <= {row.labels["who"] for row in found if "who" in row.labels}
    draws = [row for row in found if "draw" in row.labels]
    assert all(row.values["randperm(128)s"] > 0 for row in draws)


def test_jobs_have_no_alarm_outside_the_main_thread(monkeypatch):
    monkeypatch.setattr(budget.threading, "main_thread", lambda: None)
    clock = Minutes()
    assert names(carried_out([clock.job("a", 1, 1)], 10, [], clock)) == ["a"]


@pytest.mark.parametrize("name", ["device", "host"])
def test_what_a_card_needs_is_little(name):
    absent = ["kornia", "lightning_fabric", "sklearn", "torchmetrics", "albumentations", "yaml", "hypothesis"]
    code = f"""
import sys
sys.modules.update(dict.fromkeys({absent}))
from benchmarks.__main__ import app
app(["{name}", "--help"], standalone_mode=False)
from benchmarks.report import module
assert module("{name}").rows
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
