"""The experiment with runs that are made up in this process; test_interruption.py makes real ones."""

import io
import json
import re

import albumentations as A
import pytest
import torch
from rich.console import Console

import featmix as fm
from featmix.compare import experiment, output
from featmix.compare.contenders import contender, contenders
from featmix.compare.digits import read_digits
from featmix.compare.experiment import compare, make_grid, rehearse, usual_jobs
from featmix.compare.results import read_rows
from featmix.compare.settings import Settings
from featmix.errors import FeatmixError
from tests.compare.made_up import MadeUp


@pytest.fixture
def pool(monkeypatch):
    monkeypatch.setattr(MadeUp, "failing", frozenset())
    monkeypatch.setattr(MadeUp, "stop_after", None)
    monkeypatch.setattr(experiment, "make_executor", MadeUp)
    return MadeUp


@pytest.fixture
def run(tmp_path, pool):
    def call(*strategies, **settings):
        console = Console(file=io.StringIO(), width=200)
        found = compare(strategies, out=tmp_path / "out", console=console, **{"seeds": 2, **settings})
        return found, console.file.getvalue()

    return call


def test_a_whole_experiment(run, pool, tmp_path):
    found, said = run("moex", "mixup@layer2:alpha=2")
    assert len(found.rows) == len(pool.made) == 2 * 4 * 3
    assert [summary.label for summary in found.summaries] == ["none", "moex", "mixup@layer2:alpha=2"]
    assert found.failures == 0
    assert {"runs.csv", "settings.json", "summary.csv", "summary.md", "summary.png"} <= {p.name for p in found.out.iterdir()}
    assert read_rows(found.out / "runs.csv") == list(found.rows)
    assert "24 of 24 runs" in said
    assert "summary.png" in said
    assert "mixup@layer2:alpha=2" in said


def test_pipelines_are_compared_as_strategies_are(run, pool, tmp_path):
    fm.save(fm.Pipeline(mix={"input": fm.CutMix(p=0.5), "layer1": fm.MoEx("pono")}), tmp_path / "aug.yaml")
    found, _ = run(pipelines=[tmp_path / "aug.yaml"])
    labels = [summary.label for summary in found.summaries]
    assert labels[0] == "none"
    assert labels[1].startswith("pipeline:aug-")
    (copy,) = found.out.glob("pipeline-aug-*.yaml")
    assert fm.to_dict(fm.load(copy)) == fm.to_dict(fm.load(tmp_path / "aug.yaml"))
    assert copy.name in (found.out / "summary.md").read_text()
    fm.save(fm.Pipeline(mix={"layer1": fm.MoEx("pono")}), tmp_path / "aug.yaml")
    edited, _ = run("moex", pipelines=[tmp_path / "aug.yaml"])
    assert len(edited.summaries) == 4  # the runs of the file as it was stay apart
    assert len(pool.made) == 2 * 4 * 2


def test_a_pipeline_that_does_not_fit_is_refused_before_the_first_run(run, pool, tmp_path):
    fm.save(fm.Pipeline(mix={"layer9": fm.MoEx("pono")}), tmp_path / "aug.yaml")
    with pytest.raises(FeatmixError, match="layer9"):
        run(pipelines=[tmp_path / "aug.yaml"])
    fm.save(fm.Pipeline(sample=A.Normalize()), tmp_path / "aug.yaml")
    with pytest.raises(FeatmixError, match="Leave normalization out"):
        run(pipelines=[tmp_path / "aug.yaml"])
    assert pool.made == []


def test_all_strategies_of_a_cell_are_made_before_the_next(run, pool):
    run("moex")
    assert [key[3:] for key in pool.made[::2]] == [key[3:] for key in pool.made[1::2]]


def test_the_same_again_makes_nothing(run, pool):
    first, _ = run("moex")
    text = (first.out / "summary.csv").read_text()
    again, _ = run("moex")
    assert pool.made == []
    assert again.rows == first.rows
    assert (first.out / "summary.csv").read_text() == text


def test_strategies_and_seeds_can_be_added(run, pool):
    run("moex")
    found, said = run("mixup", seeds=3)
    assert len(pool.made) == 3 * 4 + 4  # mixup, and the third seed of the baseline
    assert "8 of 24 runs are in" in said
    assert [summary.label for summary in found.summaries] == ["none", "mixup", "moex"]
    assert [summary.held_out.seeds for summary in found.summaries] == [3, 3, 2]
    assert [summary.held_out_difference.seeds for summary in found.summaries] == [0, 3, 2]


def test_a_changed_setting_is_refused(run, pool):
    found, _ = run("moex")
    for changed in ({"epochs": 9}, {"lr": 0.5}, {"limit": 100}, {"precision": "bf16-mixed"}, {"quick": True}):
        with pytest.raises(FeatmixError, match="--fresh"):
            run("moex", **changed)
    assert len(read_rows(found.out / "runs.csv")) == 16
    again, _ = run("moex", epochs=9, fresh=True)
    assert len(pool.made) == 16
    assert json.loads((again.out / "settings.json").read_text())["settings"]["epochs"] == 9


def test_an_interrupted_experiment_goes_on(run, pool, monkeypatch, tmp_path):
    monkeypatch.setattr(pool, "stop_after", 5)
    with pytest.raises(KeyboardInterrupt):
        run("moex")
    kept = read_rows(tmp_path / "out" / "runs.csv")
    assert [row.key for row in kept] == pool.made
    with (tmp_path / "out" / "runs.csv").open("a") as file:
        file.write("moex,,stem,1,pl")  # torn by a crash
    monkeypatch.setattr(pool, "stop_after", None)
    found, said = run("moex")
    assert len(pool.made) == 11
    assert len(found.rows) == 16
    assert "5 of 16 runs" in said
    assert "5 runs in interrupted calls" in (found.out / "summary.md").read_text()


def test_an_interruption_says_how_to_go_on(pool, monkeypatch, tmp_path):
    monkeypatch.setattr(pool, "stop_after", 3)
    console = Console(file=io.StringIO(), width=200)
    with pytest.raises(KeyboardInterrupt):
        compare(["moex"], out=tmp_path, console=console, fresh=True)
    assert "3 of 48 runs are kept" in console.file.getvalue()
    assert "without --fresh" in console.file.getvalue()


def test_failed_runs_are_told_and_made_again(run, pool, monkeypatch):
    monkeypatch.setattr(pool, "failing", frozenset({"moex"}))
    found, said = run("moex", "mixup")
    assert found.failures == 8
    assert "8 run(s) failed" in said
    assert "RuntimeError: made up" in said
    assert [(s.runs, s.failures) for s in found.summaries] == [(8, 0), (0, 8), (8, 0)]
    other, _ = run("mixup")
    assert other.failures == 0
    assert sum(bool(row.error) for row in other.rows) == 8
    monkeypatch.setattr(pool, "failing", frozenset())
    found, _ = run("moex", "mixup")
    assert found.failures == 0
    assert len(pool.made) == 8
    assert len(found.rows) == 24


@pytest.mark.parametrize(
    ("strategies", "settings", "message"),
    [
        (["mixpu"], {}, "'mixup'"),
        (["moex:lam=3"], {}, "lam"),
        (["moex:norm=gn3"], {}, "gn3"),  # fits no network of 8 channels: found out by the rehearsal
        (["moex"], {"site": "layr1"}, "'layer1'"),
        (["moex"], {"data": "digit"}, "'digits'"),
        (["moex"], {"seeds": 0}, "seeds"),
        (["moex"], {"jobs": 0}, "jobs"),
        (["moex"], {"device": "gpu"}, "device"),
    ],
)
def test_everything_is_refused_before_the_first_run(run, pool, tmp_path, strategies, settings, message):
    pool.made = []
    with pytest.raises(FeatmixError, match=message):
        run(*strategies, **settings)
    assert pool.made == []
    assert not (tmp_path / "out" / "runs.csv").exists()


def test_the_grid():
    grid = make_grid(contenders(["moex"]), range(2), read_digits())
    assert len(grid) == len({run.key for run in grid}) == 2 * 4 * 2


@pytest.mark.parametrize("name", fm.list_strategies())
def test_rehearsals_leave_the_random_state_alone(name):
    before = torch.random.get_rng_state()
    for site in ("input", "stem", "layer3"):
        rehearse(contender(f"{name}@{site}"), Settings(), read_digits())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_jobs():
    assert usual_jobs(Settings()) >= 1
    assert usual_jobs(Settings(devices=1000, batch_size=2000)) == 1


QUIET = Console(file=io.StringIO(), width=200)


def test_another_baseline(tmp_path, pool):
    found = compare(["moex", "mixup"], baseline="moex", seeds=2, out=tmp_path, console=QUIET)
    assert [summary.label for summary in found.summaries] == ["moex", "none", "mixup"]
    assert found.summaries[1].held_out_difference.mean == pytest.approx(0.0, abs=1e-3)
    assert "vs moex" in (tmp_path / "summary.md").read_text()
    assert (tmp_path / "pairs.csv").read_text().count("\n") == 1 + 2 * 3
    with pytest.raises(FeatmixError, match=r"baseline.*mixup"):
        compare(["moex", "mixup"], baseline="mixp", seeds=2, out=tmp_path, console=QUIET)


def test_no_more_processes_than_memory_bears(tmp_path, pool, monkeypatch):
    monkeypatch.setattr(experiment, "available_memory", lambda: 3 << 30)
    compare(["moex"], seeds=1, jobs=999, out=tmp_path, console=QUIET)
    assert '"jobs": 3' in (tmp_path / "settings.json").read_text()


@pytest.mark.parametrize(
    ("strategies", "settings", "said"),
    [
        ([fm.MoEx()], {}, "the name of a strategy, got MoEx"),
        ("moex", {}, "a list of names"),
        (["moex"], {"data": object()}, "data: expected a name, or a data set"),
        (["moex"], {"batch_size": 100_000}, "100000 with"),
        (["moex"], {"limit": 5}, "64 with 15 training images"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_run_with_a_word_on_why(tmp_path, pool, strategies, settings, said):
    with pytest.raises(FeatmixError, match=re.escape(said)):
        compare(strategies, out=tmp_path, console=QUIET, **settings)
    assert not (tmp_path / "runs.csv").exists()


def test_another_machine_is_told(tmp_path, pool, monkeypatch):
    compare(["moex"], seeds=1, out=tmp_path, console=QUIET)
    monkeypatch.setattr(output, "machine", lambda: {"system": "elsewhere"})
    console = Console(file=io.StringIO(), width=200)
    compare(["moex"], seeds=2, out=tmp_path, console=console)
    assert "come from 2 machines" in console.file.getvalue()
    assert len(json.loads((tmp_path / "settings.json").read_text())["machines"]) == 2
    assert "- Machine: system elsewhere" in (tmp_path / "summary.md").read_text()


def test_what_another_node_kept_on_its_own_disk_is_not_taken_for_kept(run, tmp_path):
    with pytest.raises(FeatmixError, match="a folder that all nodes share"):
        run("moex", keep=True)  # runs that are made up keep nothing
    assert len(read_rows(tmp_path / "out" / "runs.csv")) == 1  # and the row is not lost
