import io

from rich.console import Console

from featmix.support.progress import LINES, progress


def lines(total, already, runs):
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    with progress(console, total, "runs", already=already) as advance:
        for number in range(runs):
            advance(f"run {number}")
    return console.file.getvalue().splitlines()


def test_a_few_lines_where_there_is_no_terminal():
    said = lines(200, 100, 100)
    assert 2 <= len(said) <= LINES + 2
    assert said[0].startswith("101 of 200 runs")
    assert said[-1].startswith("200 of 200 runs")
    assert all("left: run" in line for line in said)


def test_small_and_empty_experiments():
    assert len(lines(1, 0, 1)) == 1
    assert lines(5, 5, 0) == []


def test_a_bar_in_a_terminal():
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with progress(console, 3, "runs", already=1) as advance:
        advance("one")
        advance("two")
    text = console.file.getvalue()
    assert "2/2" in text
    assert "left" in text
