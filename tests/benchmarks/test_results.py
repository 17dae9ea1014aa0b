import json

import pytest

from benchmarks.results import Part, Results, Row, moment
from benchmarks.timing import Timing


def test_what_is_saved_comes_back(tmp_path):
    results = Results.here(quick=True)
    row = Row({"strategy": "moex"}, {"clones": 1.5}, {"featmix": Timing(0.1, 0.01, 7)})
    results.parts["exchange"] = Part([row], {"geometric mean": 4.5}, ["kornia: not installed"])
    path = tmp_path / "there" / "results.json"
    results.save(path)
    assert Results.load(path) == results
    assert [each.name for each in path.parent.iterdir()] == ["results.json"]


def test_what_was_there_stays_where_writing_fails(tmp_path):
    path, results = tmp_path / "results.json", Results.here(quick=True)
    results.save(path)
    before = path.read_text()
    results.parts["exchange"] = Part([Row({"strategy": object()}, {})])  # nothing that JSON knows
    with pytest.raises(TypeError):
        results.save(path)
    assert path.read_text() == before


def test_machine_and_versions_are_known():
    results = Results.here(quick=False)
    assert results.versions["torch"][0].isdigit()
    assert int(results.machine["threads"]) >= 1


def test_what_lies_aside_has_a_version(tmp_path, monkeypatch):
    (tmp_path / "torchvision-9.8.7.dist-info").mkdir()
    (tmp_path / "torchvision-9.8.7.dist-info" / "METADATA").write_text("Name: torchvision\nVersion: 9.8.7\n")
    monkeypatch.setenv("FEATMIX_TORCHVISION", str(tmp_path))
    monkeypatch.setattr("sys.path", [])
    assert Results.here(quick=True).versions["torchvision"] == "9.8.7"


def test_a_file_without_moments_is_read(tmp_path):
    results, path = Results.here(quick=True), tmp_path / "results.json"
    results.parts["exchange"] = Part([])
    results.save(path)
    plain = json.loads(path.read_text())
    del plain["parts"]["exchange"]["measured"]
    path.write_text(json.dumps(plain))
    assert Results.load(path).parts["exchange"].measured == ""


def test_a_moment_is_told_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert moment().endswith("UTC, commit unknown")
    assert moment("abc").endswith("UTC, commit abc")
