import runpy
import subprocess
from pathlib import Path

import pytest
import torch

from benchmarks import cards
from benchmarks.report import _narrow, card_markdown, sentence, shown
from benchmarks.results import Part, Results, Row

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "benchmarks"


def measured(folder, name, **changes):
    row = Row({"features": "64×64×56×56", "strategy": "moex pono"},
              {"forward: × formula": 3.0, "with backward: × formula": 4.0})  # fmt: skip
    step = Row({"step": "resnet50", "mode": "eager", "with": "moex at maxpool"}, {"extra time, %": 0.84})
    parts = {"device": Part([row, step], measured="some day")}
    results = Results({"card": name, "driver": "1"}, {"torch": "9", "triton": "8"}, "2030-01-01", False, parts)
    results = Results(**{**vars(results), **changes})
    results.save(folder / cards.file_name(name))
    return results


def test_a_file_is_named_after_its_card():
    assert cards.file_name("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3.json"


def test_a_machine_without_a_card_is_a_rehearsal(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cards.facts() == {"card": "rehearsal"}


def test_a_driver_that_cannot_be_asked_is_unknown(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)
    assert cards._driver() == "unknown"


def test_earlier_code_is_shown_until_a_card_has_measured_the_present_one(tmp_path):
    measured(tmp_path, "old", note="Measured before.")
    measured(tmp_path, "tried", quick=True)
    assert [each.machine["card"] for each in shown(tmp_path)] == ["old"]
    measured(tmp_path, "new")
    measured(tmp_path, "other")
    assert [each.machine["card"] for each in shown(tmp_path)] == ["new", "other"]


def test_a_card_is_a_section_with_a_table_for_each_kind_of_row(tmp_path):
    page = card_markdown(measured(tmp_path, "new"))
    assert page.startswith("### new\n\nBegun on 2030-01-01. card: new, driver: 1. torch 9, triton 8.")
    assert "| features | strategy | forward: × formula | with backward: × formula |" in page
    assert "| resnet50 | eager | moex at maxpool | 0.84 |" in page
    assert "measured: some day" in page


def test_a_sentence_says_what_was_measured_where(tmp_path):
    said = sentence(measured(tmp_path, "new"))
    assert said.startswith("On an new (torch 9, triton 8, 2030-01-01)")
    assert "everyday sizes: moex 3.0 and 4.0" in said
    assert "+0.8 % with moex at maxpool" in said


def test_what_the_documentation_shows_is_no_rehearsal_and_says_what_is_old():
    found = shown(DOCS)
    assert found
    for results in found:
        assert results.machine["card"] in sentence(results)
        assert results.parts["device"].rows


def test_the_readme_takes_the_sentence_between_its_markers(tmp_path):
    main = runpy.run_path(str(ROOT / "tools" / "readme_results.py"))["main"]
    page = tmp_path / "README.md"
    page.write_text("a\n<!-- cards:begin -->\nold\n<!-- cards:end -->\nb\n", encoding="utf-8")
    assert main(["--speed", "--readme", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert sentence(shown(DOCS)[0]) in text
    assert "old\n" not in text
    assert text.endswith("<!-- cards:end -->\nb\n")
    page.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="once each"):
        main(["--speed", "--readme", str(page)])


def test_the_sentence_of_the_readme_is_current():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    if "<!-- cards:begin -->" not in text:
        pytest.skip("the README says nothing of cards")
    assert all(sentence(each) in text for each in shown(DOCS))


def test_a_wide_table_is_several_that_fit_a_page():
    labels = {"features": "64×64×56×56", "dtype": "float32", "format": "contiguous", "strategy": "moex pono"}
    values = {f"{when}: {what}": 2.0 for when in ("forward", "with backward") for what in ("µs", "× formula")}
    rows = [Row(labels, {"copy, µs": 1.0, **values})]
    (first, forward), (second, backward) = _narrow(rows)
    assert (first, second) == ("Forward", "With backward")
    assert forward == backward
    assert forward[0] == ["features, dtype, format, strategy", "copy, µs", "µs", "× formula"]
    assert forward[1] == ["64×64×56×56, float32, contiguous, moex pono", "1", "2", "2"]
