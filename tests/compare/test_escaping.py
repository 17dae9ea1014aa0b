"""What stands in a folder of results may come from anywhere: it is shown, and steers nothing."""

from __future__ import annotations

import io
import re
import warnings

import pytest
from PIL import Image
from rich.console import Console

from featmix.compare.escaping import for_figure, for_markdown, for_terminal, shown_labels
from featmix.compare.report import Circumstances, print_results, write_report
from featmix.compare.results import Row
from featmix.compare.statistics import summarize
from featmix.support.progress import progress

HOSTILE = [
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m",
    "a\u202eb",
    "a\rb\nc",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt;",
    "![x](http://evil/x.png) [y](javascript:alert(1))",
    "https://evil.example",
    "a | b",
    "**bold** _em_ `code` ~~gone~~",
    "# heading",
    "- item",
    "[red]rich[/red] [/]",
    r"$\frac{$ $x$",
    "\\",
    "x" * 3000,
    "\ud800",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_it_is_shown_and_steers_nothing(text):
    assert for_terminal(text).isprintable()
    assert len(for_terminal(text)) <= 500
    written = for_markdown(text)
    assert written.isprintable()
    assert "<" not in written
    assert not re.search(r"(?<!\\)(\\\\)*[|`*\[\]]", written)
    assert for_figure(text).isprintable()


def test_what_is_usual_stays_as_it_is():
    for text in ("moex@layer1:lam=0.9,norm=in", "at stem, num_classes=None, p=0.5", "RuntimeError: 3 != 4", "räume"):
        assert for_terminal(text) == for_markdown(text) == for_figure(text) == text


def test_short_labels_are_as_long_as_they_have_to_be():
    one, two = "pipeline:a-" + "0" * 32, "pipeline:a-" + "0" * 10 + "1" * 22
    assert shown_labels([one]) == {one: "pipeline:a-000000"}
    assert shown_labels([one, two]) == {one: "pipeline:a-" + "0" * 11, two: "pipeline:a-" + "0" * 10 + "1"}
    old = "pipeline:a-000000"  # as an earlier version called it
    assert shown_labels([one, old]) == {one: "pipeline:a-0000000", old: old}
    assert shown_labels(["moex"]) == {"moex": "moex"}


def test_a_whole_report_of_hostile_words(tmp_path):
    rows = [
        Row("moex", f"x={text}", "stem", seed, text, 0.5 + seed / 10, 0.5, 0.1, 0.01, error="" if seed else text)
        for text in HOSTILE
        for seed in range(2)
    ]
    machines = [{"system": text} for text in HOSTILE]
    about = Circumstances({"data": HOSTILE[0], "more": HOSTILE[4]}, rows, [], machines)
    summaries = summarize(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="constrained_layout")  # such long names leave no room for the axes
        write_report(tmp_path, summaries, about)
    text = (tmp_path / "summary.md").read_text()
    for line in text.splitlines():
        assert line.isprintable()
    assert not re.search(r"<(script|img)", text)
    assert r"\[y\](javascript:alert(1))" in text
    with Image.open(tmp_path / "summary.png") as image:
        assert image.width > 200
    for terminal in (True, False):
        console = Console(width=90, file=io.StringIO(), force_terminal=terminal, no_color=True)
        print_results(console, summaries, about)
        shown = console.file.getvalue()
        assert "\x1b[2J" not in shown
        assert "\x07" not in shown
        assert "\u202e" not in shown
        assert "[red]rich[/red]" in shown


def test_a_line_of_progress_is_no_markup():
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    with progress(console, 2, "runs") as advance:
        advance("[/nonsense] [red]x")
    assert "[/nonsense] [red]x" in console.file.getvalue()
