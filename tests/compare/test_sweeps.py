import csv
import io

import pytest
from rich.console import Console

from featmix.compare.results import Row
from featmix.compare.statistics import summarize
from featmix.compare.sweep_report import draw_sweep, print_sweeps, write_sweeps
from featmix.compare.sweeps import expanded
from featmix.errors import FeatmixError


def summaries_of(*texts):
    """What four seeds could have given, better by a hundredth for each strategy."""
    written, sweeps = expanded(texts)
    rows = []
    for number, text in enumerate(["none", *written]):
        place, _, settings = text.partition(":")
        name, _, site = place.partition("@")
        for seed in range(4):
            level = 0.5 + 0.01 * number + 0.001 * seed
            rows += [
                Row(name, settings, "" if name == "none" else site or "stem", seed, held, level, level - 0.1, 0.1, 0.01)
                for held in ("a", "b")
            ]
    return sweeps, summarize(rows)


@pytest.mark.parametrize(
    ("texts", "site", "meant"),
    [
        (["mixup", "moex"], None, ["mixup", "moex"]),
        (["moex:lam=0.5..0.6/3"], None, ["moex:lam=0.5", "moex:lam=0.55", "moex:lam=0.6"]),
        (["moex:norm=pono|in"], None, ["moex:norm=pono", "moex:norm=in"]),
        (["moex@stem,stage2"], None, ["moex", "moex@layer2"]),
        (["moex@stem|layer1"], None, ["moex@stem|layer1"]),
        (["moex", "mixup@input"], "stem,layer1", ["moex", "moex@layer1", "mixup@input"]),
        (["moex:lam=0.5|0.6,norm=in|ln"], None, [f"moex:lam={v},norm={n}" for v in (0.5, 0.6) for n in ("in", "ln")]),
        (["moex:lam=0.5|0.6", "moex:lam=0.6"], None, ["moex:lam=0.5", "moex:lam=0.6"]),
        (["cutmix+moex", "moex/imagenet-resnet50"], None, ["cutmix+moex", "moex/imagenet-resnet50"]),
    ],
)
def test_sweeps_stand_for_strategies(texts, site, meant):
    assert expanded(texts, site)[0] == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("moex:lam=0.5..0.9", "expected a range as FIRST..LAST/COUNT"),
        ("moex:lam=0.5..0.9/1", "with at least two values"),
        ("moex:lam=0.5..x/3", "expected a range"),
        ("moex:lam=0.5..1.5/3", "MoEx: lam"),
        ("moex:lam=0.5..0.9/999999999", "expected a range"),
        ("moex@stem,layr1", "Did you mean 'layer1'"),
        ("moex:lam=0.1..0.9/500,p=0.1..0.9/500", "expected at most 1000 strategies"),
    ],
)
def test_what_is_no_sweep_is_refused(text, said):
    with pytest.raises(FeatmixError, match=said):
        expanded([text])


def test_a_sweep_of_numbers_is_drawn_where_they_belong():
    sweeps, summaries = summaries_of("moex:lam=0.5..0.9/3")
    (panel,) = draw_sweep(sweeps[0], summaries).axes
    held_out, in_domain = (container.lines[0].get_xydata().tolist() for container in panel.containers)
    assert [x for x, _ in held_out] == pytest.approx([0.5, 0.7, 0.9])
    assert [y for _, y in held_out] == pytest.approx([41.15, 42.15, 43.15])
    assert [y for _, y in in_domain] == pytest.approx([51.15, 52.15, 53.15])


def test_words_stand_beside_each_other_and_a_second_axis_has_panels():
    sweeps, summaries = summaries_of("moex:norm=pono|in,lam=0.5|0.9")
    panels = draw_sweep(sweeps[0], summaries).axes
    assert [panel.get_title() for panel in panels] == ["norm pono", "norm in"] or [p.get_title() for p in panels] == [
        "lam 0.5",
        "lam 0.9",
    ]
    labels = [tick.get_text() for tick in draw_sweep(*_words()).axes[0].get_xticklabels()]
    assert labels == ["pono", "in"]


def _words():
    sweeps, summaries = summaries_of("moex:norm=pono|in")
    return sweeps[0], summaries


def test_tables_are_in_the_order_of_the_values(tmp_path):
    sweeps, summaries = summaries_of("moex:lam=0.9..0.5/3")
    assert write_sweeps(tmp_path, sweeps, summaries) == ["sweeps.csv", "sweep-1.png"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "sweeps.csv").read_text())))
    assert [row["values"] for row in rows] == ["lam=0.9", "lam=0.7", "lam=0.5"]
    assert [float(row["held_out_difference_mean"]) for row in rows] == pytest.approx([0.01, 0.02, 0.03])
    console = Console(file=io.StringIO(), width=100)
    print_sweeps(console, sweeps, summaries, "none")
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert [line[0] for line in lines if line[:1] in (["0.9"], ["0.7"], ["0.5"])] == ["0.9", "0.7", "0.5"]


def test_files_of_earlier_sweeps_go(tmp_path):
    sweeps, summaries = summaries_of("moex:lam=0.5|0.9")
    write_sweeps(tmp_path, sweeps, summaries)
    assert write_sweeps(tmp_path, [], summaries) == []
    assert not list(tmp_path.iterdir())
