"""Results as tables, for the terminal and for the documentation, and as pictures."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from statistics import median
from types import ModuleType

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks import subsets
from benchmarks.results import Part, Results, Row


def modules() -> dict[str, ModuleType]:
    """The subsets, by name."""
    names = sorted(found.name for found in pkgutil.iter_modules(subsets.__path__))
    return {name: importlib.import_module(f"benchmarks.subsets.{name}") for name in names}


def title(module: ModuleType) -> str:
    """Of a subset: the first line of its docstring."""
    return (module.__doc__ or "").splitlines()[0].rstrip(".")


def show(name: str, part: Part, console: Console) -> None:
    """Print one subset."""
    console.rule(title(modules()[name]))
    if part.rows:
        table = Table(*_columns(part.rows), box=None)
        for row in part.rows:
            table.add_row(*_cells(row))
        console.print(table)
    for line in _notes(part):
        console.print(line, highlight=False)


def markdown(results: Results, picture: str) -> str:
    """All subsets, as a section of a page; ``picture`` is where its figures are, with the subset's name for ``{}``."""
    machine = ", ".join(f"{name}: {value}" for name, value in results.machine.items())
    versions = ", ".join(f"{name} {value}" for name, value in results.versions.items())
    lines = [f"Begun on {results.date}. {machine}. {versions}.", ""]
    for name, part in results.parts.items():
        module = modules()[name]
        about = (module.__doc__ or "").partition("\n\n")[2].strip().replace("``", "`")
        lines += [f"### {title(module)}", "", about, ""]
        if part.rows:
            columns = _columns(part.rows)
            lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
            lines += ["| " + " | ".join(_cells(row)) + " |" for row in part.rows]
            lines.append("")
        lines += [f"- {line}" for line in _notes(part)] + [""]
        if part.rows and hasattr(module, "figure"):
            lines += [f"![{title(module)}]({picture.format(name)})", ""]
    return "\n".join(lines)


def drawn(results: Results) -> dict[str, Figure]:
    """The pictures of those subsets that have one."""
    return {
        name: modules()[name].figure(part.rows)
        for name, part in results.parts.items()
        if part.rows and hasattr(modules()[name], "figure")
    }


def draw(results: Results, folder: Path) -> list[Path]:
    """Write the pictures."""
    paths = []
    for name, figure in drawn(results).items():
        figure.savefig(folder / f"{name}.png", dpi=110)
        paths.append(folder / f"{name}.png")
    return paths


def _columns(rows: list[Row]) -> list[str]:
    return [*rows[0].labels, *rows[0].values]


def _cells(row: Row) -> list[str]:
    return [*row.labels.values(), *(_number(value) for value in row.values.values())]


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"


def _notes(part: Part) -> list[str]:
    return [
        *(f"{name}: {value:.2f}" for name, value in part.summary.items()),
        *_spread(part),
        f"measured: {part.measured or 'not recorded'}",
        *(f"not measured: {why}" for why in part.missing),
    ]


def _spread(part: Part) -> list[str]:
    """How far runs of one call lie apart: what a busy machine does to a part is seen here."""
    spreads = [(each.iqr / each.median, row, who) for row in part.rows for who, each in row.timings.items()]
    if not spreads:
        return []
    usual = median(spread for spread, _, _ in spreads)
    most, row, who = max(spreads, key=lambda each: each[0])
    where = ", ".join([*row.labels.values(), who])
    return [f"spread: the quartiles are {usual:.0%} of the median apart, at most {most:.0%} ({where})"]
