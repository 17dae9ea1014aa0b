"""``python -m benchmarks``: measure, print tables, write JSON and pictures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import cards
from benchmarks.report import draw, module, names, notes, on_card, show, title, told
from benchmarks.results import Part, Results, Row, moment
from benchmarks.timing import Stopwatch

app = typer.Typer(add_completion=False)
NAMES = ", ".join(names())


@app.command()
def main(
    chosen: Annotated[list[str] | None, typer.Argument(help=f"Which subsets; all where none is named: {NAMES}.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for results.json, a card's results and pictures.")] = Path(
        "benchmarks/results"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="A rehearsal on small shapes; its figures mean nothing.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Measure nothing: print and draw what is there.")] = False,
    minutes: Annotated[float, typer.Option(help="That `device` takes at most; the most important rows come first.")] = 4.0,
    only: Annotated[str, typer.Option(help="Groups of rows of `device`, with commas between; others stay as they are.")] = "",
    commit: Annotated[str, typer.Option(help="What is measured, where there is no git to ask.")] = "",
) -> None:
    """Measure on a quiet machine. Results are written after each subset; named subsets are measured anew, others stay.

    What is measured on a card stands in a file of its own, which is written after each row.
    """
    console, path = Console(), out / "results.json"
    unknown = sorted(set(chosen or []) - set(names()))
    if unknown:
        raise typer.BadParameter(f"no subset {', '.join(unknown)}; there are {NAMES}")
    if report and not path.is_file():
        raise typer.BadParameter(f"there is no {path}; measure first")
    if report:
        results = Results.load(path)
        for name, part in results.parts.items():
            show(name, part, console)
        _drawn(results, out, console)
        console.print(f"read {path}", highlight=False)
        return
    groups = tuple(each.strip() for each in only.split(",") if each.strip())
    short = {"seconds": 0.002, "rounds": 1, "quick": True} if quick else {}
    watch = Stopwatch(minutes=minutes, only=groups, **short)
    wanted = chosen or [name for name in names() if not groups or on_card(name)]
    for name in [name for name in wanted if on_card(name)]:
        _on_card(name, watch, out / cards.file_name(cards.card()), commit, console)
    here = [name for name in wanted if not on_card(name)]
    if here:
        _here(here, watch, path, commit, console, anew=not chosen)


def _here(wanted: list[str], watch: Stopwatch, path: Path, commit: str, console: Console, *, anew: bool) -> None:
    """What is no matter of a card: one file, written after each subset."""
    results = here = Results.here(quick=watch.quick)
    if path.is_file() and not anew:
        results = Results.load(path)
        if not results.continues(here):
            console.print("Results of another machine, other versions or a rehearsal are replaced.")
            results = here
    for name in wanted:
        with console.status(f"{title(module(name))} ...") as status:
            for part in measured(name, watch, commit):
                results.parts[name] = part
                if part.rows:
                    status.update(f"{title(module(name))}: {', '.join(part.rows[-1].labels.values())}")
        results.save(path)
        show(name, results.parts[name], console)
    _drawn(results, path.parent, console)
    console.print(f"wrote {path}", highlight=False)


def _on_card(name: str, watch: Stopwatch, path: Path, commit: str, console: Console) -> None:
    """What a card does: a file of its own, written after each row, so that a run that is ended keeps what it has."""
    begun, kept, results = time.monotonic(), [], Results.on_card(quick=watch.quick)
    if path.is_file():
        before = Results.load(path)
        if before.continues(results):
            results = before
        else:
            console.print(f"{path.name} is of another machine, other versions or a rehearsal, and is replaced.")
    if watch.only and name in results.parts:
        kept = [row for row in results.parts[name].rows if next(iter(row.labels)) not in watch.only]
    part, number = Part(kept), len(kept)
    for part in measured(name, watch, commit, kept):
        if not part.rows:
            continue
        new, number = len(part.rows) > number, len(part.rows)
        results.parts[name] = part
        results.save(path)
        if new:
            typer.echo(f"{time.monotonic() - begun:4.0f} s  {told(part.rows[-1])}")
    console.rule(title(module(name)))
    for line in notes(part):
        console.print(line, highlight=False)
    if part.rows:
        console.print(f"wrote {path}", highlight=False)


def measured(name: str, watch: Stopwatch, commit: str = "", kept: Sequence[Row] = ()) -> Iterator[Part]:
    """One subset as far as it is measured, after each row; whole at last.

    Args:
        name: Which.
        watch: How long to measure.
        commit: What is measured, where there is no git to ask.
        kept: Rows of an earlier run that stay.
    """
    chosen, rows, begun = module(name), list(kept), moment(commit)

    def part(*more: str) -> Part:
        summary = chosen.summary(rows) if rows and hasattr(chosen, "summary") else {}
        return Part(list(rows), summary, [*dict.fromkeys(getattr(chosen, "missing", [])), *more], begun)

    for row in chosen.rows(watch):
        rows.append(row)
        yield part("what comes after these rows: the run was not finished")
    yield part()


def _drawn(results: Results, folder: Path, console: Console) -> None:
    for picture in draw(results, folder):
        console.print(f"wrote {picture}", highlight=False)


if __name__ == "__main__":
    app()
