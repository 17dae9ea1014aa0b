import io
import json

import pytest
from rich.console import Console

from featmix.compare.merging import merge
from featmix.compare.results import Row, read_rows, write_rows
from featmix.errors import FeatmixError

QUIET = Console(file=io.StringIO(), width=120)
RECORD = {
    "settings": {"data": "digits", "epochs": 4},
    "versions": {"featmix": "0.1.0"},
    "machines": [{"processor": "first"}],
    "calls": [{"runs": 4, "seconds": 1.0, "jobs": 2}],
}


def row(name, seed, held, accuracy=0.5, error=""):
    values = (None, None, None, None) if error else (accuracy, accuracy - 0.1, 0.1, 0.01)
    return Row(name, "", "" if name == "none" else "stem", seed, held, *values, error)


def folder(path, seeds, **changes):
    path.mkdir()
    (path / "settings.json").write_text(json.dumps({**RECORD, **changes}))
    rows = [row(name, seed, held, 0.5 + 0.01 * seed) for seed in seeds for held in "ab" for name in ("none", "moex")]
    write_rows(path / "runs.csv", rows)
    return path


def test_seeds_of_two_machines_are_one_experiment(tmp_path):
    other = [{"processor": "second"}]
    parts = [folder(tmp_path / "a", [0, 1]), folder(tmp_path / "b", [2], machines=other)]
    out = merge(parts, tmp_path / "all", console=QUIET)
    rows = read_rows(out / "runs.csv")
    assert [(one.seed, one.held_out, one.label) for one in rows] == [
        (seed, held, name) for seed in range(3) for held in "ab" for name in ("none", "moex")
    ]
    record = json.loads((out / "settings.json").read_text())
    assert record["machines"] == RECORD["machines"] + other
    assert record["calls"] == RECORD["calls"] * 2
    assert "| moex |" in (out / "summary.md").read_text()
    assert (out / "summary.png").exists()


def test_of_one_run_twice_the_first_that_did_not_fail_is_taken(tmp_path):
    parts = [folder(tmp_path / "a", [0]), folder(tmp_path / "b", [0])]
    write_rows(parts[0] / "runs.csv", [row("none", 0, "a", 0.7), row("moex", 0, "a", error="broke")])
    console = Console(file=io.StringIO(), width=120)
    rows = {(one.label, one.held_out): one for one in read_rows(merge(parts, tmp_path / "all", console=console) / "runs.csv")}
    assert rows["none", "a"].in_domain_accuracy == 0.7
    assert rows["moex", "a"].in_domain_accuracy == 0.5
    assert "1 run(s) came to another result" in console.file.getvalue()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": {"data": "digits", "epochs": 8}}, "merge: epochs: expected epochs = 4 in"),
        ({"versions": {"featmix": "0.2.0"}}, "merge: featmix: expected featmix = 0.1.0"),
        ({"calls": 3}, "calls is no list"),
    ],
)
def test_folders_that_are_no_part_of_one_experiment_are_refused(tmp_path, changes, said):
    parts = [folder(tmp_path / "a", [0]), folder(tmp_path / "b", [1], **changes)]
    with pytest.raises(FeatmixError, match=said):
        merge(parts, tmp_path / "all", console=QUIET)
    assert not (tmp_path / "all" / "runs.csv").exists()


def test_nothing_is_overwritten(tmp_path):
    parts = [folder(tmp_path / "a", [0]), folder(tmp_path / "b", [1])]
    before = (parts[0] / "runs.csv").read_text()
    with pytest.raises(FeatmixError, match="expected a folder without runs"):
        merge(parts, parts[0], console=QUIET)
    assert (parts[0] / "runs.csv").read_text() == before
    for given, said in (([parts[0]], "at least two"), ([parts[0], tmp_path / "no"], "a folder that featmix compare wrote")):
        with pytest.raises(FeatmixError, match=said):
            merge(given, tmp_path / "all", console=QUIET)
