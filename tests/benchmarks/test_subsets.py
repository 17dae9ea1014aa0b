"""Each subset in a rehearsal: what it gives, never how long anything took."""

import math
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import featmix as fm
from benchmarks import peers
from benchmarks.__main__ import app
from benchmarks.report import markdown, modules
from benchmarks.results import Part, Results, Row
from benchmarks.timing import Stopwatch, Timing

QUICK = Stopwatch(seconds=0.001, rounds=1, quick=True)
SHOWN = Path(__file__).parents[2] / "docs" / "benchmarks" / "results.json"


@pytest.mark.parametrize("name", modules())
def test_rows_have_the_same_columns_and_numbers(name):
    module = modules()[name]
    rows = list(module.rows(QUICK))
    assert rows or module.missing
    columns: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for row in rows:
        columns.setdefault(tuple(row.labels), set()).add(tuple(row.values))
    assert all(len(each) == 1 for each in columns.values())
    for row in rows:
        assert all(math.isfinite(value) for value in row.values.values())
        assert all(timing.median > 0 for timing in row.timings.values())
    if rows and hasattr(module, "summary"):
        assert all(math.isfinite(value) for value in module.summary(rows).values())
    if rows and hasattr(module, "figure"):
        assert module.figure(rows).axes


def test_the_whole_registry_is_measured():
    found = {row.labels["strategy"] for row in modules()["registry"].rows(QUICK)}
    assert found == set(fm.list_strategies())


@pytest.mark.parametrize("make", peers.out_of_place().values(), ids=peers.out_of_place())
def test_a_library_that_is_missing_is_named(make, monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(peers.importlib, "import_module", missing)
    with pytest.raises(ImportError, match="No module named"):
        make("mixup", 10)


def test_a_run_writes_results_and_a_report_reads_them(tmp_path):
    run = CliRunner().invoke(app, ["attached", "--quick", "--out", str(tmp_path)])
    assert run.exit_code == 0, run.output
    results = Results.load(tmp_path / "results.json")
    assert results.quick
    assert list(results.parts) == ["attached"]
    again = CliRunner().invoke(app, ["--report", "--out", str(tmp_path)])
    assert again.exit_code == 0, again.output
    assert "a draw for 64 samples" in again.output


@pytest.mark.parametrize("arguments", [["exchnage"], ["--report"]], ids=str)
def test_what_cannot_be_done_is_said(arguments, tmp_path):
    run = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert run.exit_code == 2


def test_the_documentation_shows_a_whole_run():
    shown = Results.load(SHOWN)
    assert not shown.quick
    left = set(modules()) - set(shown.parts) - {"device"}  # which has files of its own
    page = markdown(shown, "{}.png")
    assert set(shown.parts) <= set(modules())
    assert all(name in page.rpartition("Not measured in this run: ")[2] for name in left)


def test_a_page_says_what_was_not_measured():
    results = Results.here(quick=True)
    results.parts["mixing"] = Part([], missing=["kornia: not installed"])
    page = markdown(results, "{}.png")
    assert "not measured: kornia: not installed" in page
    assert "### Mixup and CutMix against other libraries" in page
    assert "Not measured in this run: across, attached, compiled, exchange" in page


def test_a_page_says_when_each_part_was_measured_and_how_steadily():
    results = Results.here(quick=True)
    rows = [Row({"what": what}, {"x": 1.0}, {"featmix": Timing(1.0, iqr, 5)}) for what, iqr in (("calm", 0.1), ("busy", 6.0))]
    results.parts["exchange"] = Part(rows, measured="some day")
    results.parts["growth"] = Part([])
    page = markdown(results, "{}.png")
    assert "at most 600% (busy, featmix)" in page
    assert "measured: some day" in page
    assert "measured: not recorded" in page


def test_growth_tells_a_machine_that_was_disturbed_and_where_the_formula_is_quicker():
    module = modules()["growth"]
    rows = [
        Row({"grows": what, "size": "32", "strategy": "moex"}, {"featmix, µs": t, "× formula": factor})
        for what, t, factor in (("a", 10.0, 2.0), ("b", 60.0, 0.5))
    ]
    assert module.summary(rows) == {
        "least, × formula (moex, b 32)": 0.5,
        "rows of 2 in which the formula is quicker": 1,
        "the starting shape again and again, slowest by quickest": 6.0,
    }


def test_torchvision_stays_out_of_others_sight():
    before = list(sys.path)
    try:
        peers.torchvision_v2()
    except ImportError as error:
        pytest.skip(f"no torchvision here: {error}")
    assert sys.path == before
