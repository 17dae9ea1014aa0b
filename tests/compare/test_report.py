import csv
import io
import re
import warnings

import pytest
from PIL import Image
from rich.console import Console

from featmix.compare.figure import draw_figure
from featmix.compare.intervals import Estimate
from featmix.compare.report import (
    SPARED,
    Circumstances,
    pair_table,
    points,
    print_results,
    result_table,
    to_csv,
    to_markdown,
    underfitting,
    write_report,
)
from featmix.compare.results import Row
from featmix.compare.statistics import summarize

NAMES = (("none", "", ""), ("moex", "lam=0.5,norm=in", "layer1"), ("gone", "", "stem"))


def make_rows(seeds, domains=("plain", "colors")):
    return [
        Row(*name, seed, d, 0.9 + number / 100 + seed / 1000, 0.5 + number / 10 + seed / 1000 if d else None, 0.1, 0.01)
        for seed in range(seeds)
        for d in domains
        for number, name in enumerate(NAMES)
    ]


def about(rows):
    return Circumstances({"data": "digits", "limit": None}, rows, [{"runs": 3, "seconds": 5.0, "jobs": 2}])


def table_cells(text):
    return next(iter(csv.DictReader(io.StringIO(text)))), list(csv.DictReader(io.StringIO(text)))


def test_the_csv_says_all_of_it():
    _, lines = table_cells(to_csv(summarize(make_rows(3))))
    assert [line["label"] for line in lines] == ["none", "moex@layer1:lam=0.5,norm=in", "gone@stem"]
    assert lines[1]["held_out_difference_mean"] == "0.100000"
    assert lines[1]["held_out_seeds"] == "3"
    assert lines[1]["held_out[colors]_mean"]
    assert lines[0]["held_out_difference_mean"] == ""


def test_one_seed_leaves_intervals_empty():
    first, _ = table_cells(to_csv(summarize(make_rows(1))))
    assert first["held_out_mean"]
    assert first["held_out_low"] == first["held_out_high"] == ""
    assert "±" not in to_markdown(summarize(make_rows(1)), about(make_rows(1)))


def test_the_text_tells_the_circumstances_and_the_failures():
    rows = [*make_rows(2), Row("moex", "lam=0.5,norm=in", "layer1", 2, "plain", error="RuntimeError: a | b")]
    text = to_markdown(summarize(rows), about(rows))
    for expected in (
        "summary.png",
        "interval excludes zero",
        "## Accuracy by held-out domain",
        "## Failed runs: 1 of 13",
        "RuntimeError",
        "seeds 0, 1, 2",
        "lam=0.5",
        "unbiased=True",  # settings left at their defaults are told as well
        "3 runs in 5 s with 2 process(es), 10 runs in interrupted calls",
        "torch",
    ):
        assert expected in text
    assert "limit" not in text


def test_a_single_domain_has_no_held_out_column():
    text = to_markdown(summarize(make_rows(2, ("",))), about(make_rows(2, ("",))))
    assert "held-out |" not in text
    assert "in-domain |" in text
    assert "one domain" in text


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("width", [30, 50, 80, 200])
def test_the_terminal_shows_every_figure_whole_at_any_width(width, terminal):
    rows = make_rows(3)
    console = Console(width=width, file=io.StringIO(), force_terminal=terminal, no_color=True)
    print_results(console, summarize(rows), about(rows))
    text = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())
    assert "…" not in text
    assert "3 seed(s)" in text
    flat = "".join(text.split())
    for head, body in (result_table(summarize(rows)), pair_table(Circumstances({}, rows, []).shown_pairs())):
        for cell in (cell for line in body for name, cell in zip(head, line, strict=True) if name not in SPARED):
            assert "".join(cell.split()) in flat
    assert terminal or "10.0 \n" in text  # what is piped has all columns


def test_differences_are_marked_and_never_minus_zero():
    assert points(Estimate(-0.0001, -0.1, 0.1, 3)) == "+0.0 ±10.0"
    assert points(Estimate(-0.2, -0.3, -0.1, 3)).endswith("*")


@pytest.mark.parametrize(("seeds", "domains"), [(3, ("plain", "colors")), (1, ("plain",)), (2, ("",))])
def test_the_figure_is_drawn(tmp_path, seeds, domains):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = make_rows(seeds, domains)
        pairs = Circumstances({}, rows, []).shown_pairs()
        draw_figure(tmp_path / "summary.png", summarize(rows), {"data": "folder:/a/pacs"}, pairs=pairs)
    with Image.open(tmp_path / "summary.png") as image:
        assert image.width > image.height > 200
    assert [path.name for path in tmp_path.iterdir()] == ["summary.png"]


def test_what_may_be_underfitted_is_named():
    rows = [Row("none", "", "", seed, "", 0.9 + seed / 100, None, 0.1, 0.01) for seed in range(3)]
    rows += [Row("cutmix", "", "input", seed, "", 0.8 + seed / 99, None, 0.1, 0.01) for seed in range(3)]
    rows += [Row("moex", "", "stem", seed, "", 0.9 + seed / 90, None, 0.1, 0.01) for seed in range(3)]
    said = underfitting(summarize(rows), Circumstances({"epochs": 4}, rows, []))
    assert "for cutmix. " in said
    assert "--epochs 4,12" in said
    assert said in " ".join(to_markdown(summarize(rows), Circumstances({"epochs": 4}, rows, [])).split())
    assert underfitting(summarize(rows[:3] + rows[6:]), Circumstances({"epochs": 4}, rows, [])) == ""


def test_a_report_of_failures_alone(tmp_path):
    rows = [Row("none", "", "", 0, "plain", error="x"), Row("moex", "", "stem", 0, "plain", error="y")]
    write_report(tmp_path, summarize(rows), about(rows))
    assert {path.name for path in tmp_path.iterdir()} == {"summary.csv", "pairs.csv", "summary.md", "summary.png"}
