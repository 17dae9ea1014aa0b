import pytest

from benchmarks.results import Part, Results, Row
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
