"""Results as tables, for the terminal and for the documentation, and as pictures."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from types import ModuleType

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks import subsets
from benchmarks.results import Part, Results, Row

WIDEST = 7  # columns of a table that a page has room for


def names() -> list[str]:
    """Of the subsets; none is imported, for each may need something that is not installed."""
    return sorted(found.name for found in pkgutil.iter_modules(subsets.__path__))


def module(name: str) -> ModuleType:
    """A subset."""
    return importlib.import_module(f"benchmarks.subsets.{name}")


def modules() -> dict[str, ModuleType]:
    """The subsets, by name."""
    return {name: module(name) for name in names()}


def on_card(name: str) -> bool:
    """Whether the results of a subset stand in the file of this machine's card."""
    chosen = module(name)
    return hasattr(chosen, "on_card") and bool(chosen.on_card())


def title(module: ModuleType) -> str:
    """Of a subset: the first line of its docstring."""
    return (module.__doc__ or "").splitlines()[0].rstrip(".")


def show(name: str, part: Part, console: Console) -> None:
    """Print one subset."""
    console.rule(title(module(name)))
    for rows in _tables(part.rows):
        columns = _columns(rows)
        table = Table(*columns, box=None)
        for row in rows:
            table.add_row(*_cells(row, columns))
        console.print(table)
    for line in notes(part):
        console.print(line, highlight=False)


def told(row: Row) -> str:
    """A row in one line."""
    values = ", ".join(f"{name} {_number(value)}" for name, value in row.values.items())
    return f"{', '.join(row.labels.values())}: {values}"


def markdown(results: Results, picture: str) -> str:
    """All subsets, as a section of a page; ``picture`` is where its figures are, with the subset's name for ``{}``."""
    lines = [f"Begun on {results.date}. {_where(results)}.", ""]
    for name, part in results.parts.items():
        lines += _section(name, part, "###")
        if part.rows and hasattr(module(name), "figure"):
            lines += [f"![{title(module(name))}]({picture.format(name)})", ""]
    left = [name for name in names() if name not in results.parts and not on_card(name)]
    return "\n".join([*lines, *([f"Not measured in this run: {', '.join(left)}.", ""] if left else [])])


def shown(folder: Path) -> list[Results]:
    """The results of cards that a page shows: of earlier code only as long as no card has measured the present one."""
    found = [Results.load(path) for path in sorted(folder.glob("*.json")) if path.name != "results.json"]
    whole = [results for results in found if not results.quick]
    return [results for results in whole if not results.note] or whole


def card_markdown(results: Results) -> str:
    """What was measured on one card, as a section of a page."""
    lines = [f"### {results.machine['card']}", "", f"Begun on {results.date}. {_where(results)}.", ""]
    if results.note:
        lines += [f"**{results.note}**", ""]
    for name, part in results.parts.items():
        lines += _section(name, part, "####")
    return "\n".join(lines)


def sentence(results: Results) -> str:
    """What was measured on one card, where and with what, in a sentence or two."""
    versions = ", ".join(f"{name} {results.versions[name]}" for name in ("torch", "triton") if name in results.versions)
    where = f"On an {results.machine['card']} ({versions}, {results.date})"
    if results.note:
        return f"{where}: {results.note[0].lower()}{results.note[1:]}"
    part = results.parts["device"]
    said = [f"{size}: {', '.join(each)}" for size, each in module("device").headlines(part.rows).items()]
    steps = [
        f"{row.values['extra time, %']:+.1f} % with {row.labels['with']}"
        for row in part.rows
        if row.labels.get("mode") == "eager"
    ]
    text = f"{where}, times as fast as the eager published formula, forward and with backward: {'; '.join(said)}."
    return f"{text} An eager training step of resnet50: {', '.join(steps)}." if steps else text


def _where(results: Results) -> str:
    machine = ", ".join(f"{name}: {value}" for name, value in results.machine.items())
    return f"{machine}. {', '.join(f'{name} {value}' for name, value in results.versions.items())}"


def _section(name: str, part: Part, heading: str) -> list[str]:
    about = (module(name).__doc__ or "").partition("\n\n")[2].strip().replace("``", "`")
    lines = [f"{heading} {title(module(name))}", "", about, ""]
    for rows in _tables(part.rows):
        for title_of, table in _narrow(rows):
            lines += [title_of, ""] if title_of else []
            lines += ["| " + " | ".join(table[0]) + " |", "|" + "---|" * len(table[0])]
            lines += ["| " + " | ".join(cells) + " |" for cells in table[1:]]
            lines.append("")
    return [*lines, *(f"- {line}" for line in notes(part)), ""]


def drawn(results: Results) -> dict[str, Figure]:
    """The pictures of those subsets that have one."""
    return {
        name: module(name).figure(part.rows)
        for name, part in results.parts.items()
        if part.rows and hasattr(module(name), "figure")
    }


def draw(results: Results, folder: Path) -> list[Path]:
    """Write the pictures."""
    paths = []
    for name, figure in drawn(results).items():
        figure.savefig(folder / f"{name}.png", dpi=110)
        paths.append(folder / f"{name}.png")
    return paths


def _tables(rows: list[Row]) -> list[list[Row]]:
    """Rows with the same labels are one table."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row.labels), []).append(row)
    return list(found.values())


def _narrow(rows: list[Row]) -> Iterator[tuple[str, list[list[str]]]]:
    """Tables that fit a page, each with its title.

    In a wide one all labels share a column, and columns ``forward: x`` stand in a table of their own, titled ``Forward``.
    """
    columns = _columns(rows)
    if len(columns) <= WIDEST:
        yield "", [columns, *(_cells(row, columns) for row in rows)]
        return
    labels, values = list(rows[0].labels), columns[len(rows[0].labels) :]
    for what in dict.fromkeys(name.partition(": ")[0] for name in values if ": " in name) or [""]:
        chosen = [name for name in values if ": " not in name or name.partition(": ")[0] == what]
        header = [", ".join(labels), *(name.removeprefix(f"{what}: ") for name in chosen)]
        yield what.capitalize(), [header, *([", ".join(row.labels.values()), *_cells(row, chosen)] for row in rows)]


def _columns(rows: list[Row]) -> list[str]:
    return [*rows[0].labels, *dict.fromkeys(name for row in rows for name in row.values)]


def _cells(row: Row, columns: list[str]) -> list[str]:
    return [row.labels.get(name) or (_number(row.values[name]) if name in row.values else "") for name in columns]


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"


def notes(part: Part) -> list[str]:
    """What is said of one subset besides its rows."""
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
