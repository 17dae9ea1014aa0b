"""``python -m benchmarks``: measure, print tables, write JSON and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.report import draw, modules, show, title
from benchmarks.results import Part, Results, moment
from benchmarks.timing import Stopwatch

app = typer.Typer(add_completion=False)
NAMES = ", ".join(modules())


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Which subsets; all where none is named: {NAMES}.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for results.json and pictures.")] = Path("benchmarks/results"),
    quick: Annotated[bool, typer.Option("--quick", help="A rehearsal on small shapes; its figures mean nothing.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Measure nothing: print and draw what is there.")] = False,
) -> None:
    """Measure on a quiet machine. Results are written after each subset; named subsets are measured anew, others stay."""
    console, path = Console(), out / "results.json"
    unknown = sorted(set(names or []) - set(modules()))
    if unknown:
        raise typer.BadParameter(f"no subset {', '.join(unknown)}; there are {NAMES}")
    if report and not path.is_file():
        raise typer.BadParameter(f"there is no {path}; measure first")
    results = Results.load(path) if report or (names and path.is_file()) else Results.here(quick=quick)
    watch = Stopwatch(seconds=0.002, rounds=1, quick=True) if quick else Stopwatch()
    if not report:
        here = Results.here(quick=quick)
        if (results.machine, results.versions, results.quick) != (here.machine, here.versions, here.quick):
            console.print("Results of another machine, other versions or a rehearsal are replaced.")
            results = here
        for name in names or modules():
            with console.status(f"{title(modules()[name])} ...") as status:
                results.parts[name] = _measured(name, watch, lambda text, status=status: status.update(text))
            results.save(path)
            show(name, results.parts[name], console)
    else:
        for name, part in results.parts.items():
            show(name, part, console)
    for picture in draw(results, out):
        console.print(f"wrote {picture}", highlight=False)
    console.print(f"wrote {path}" if not report else f"read {path}", highlight=False)


def _measured(name: str, watch: Stopwatch, tell: Callable[[str], None]) -> Part:
    module, rows, begun = modules()[name], [], moment()
    for row in module.rows(watch):
        rows.append(row)
        tell(f"{title(module)}: {', '.join(row.labels.values())}")
    summary = module.summary(rows) if rows and hasattr(module, "summary") else {}
    return Part(rows, summary, list(dict.fromkeys(getattr(module, "missing", []))), begun)


if __name__ == "__main__":
    app()
