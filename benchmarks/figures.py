"""Pictures of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from benchmarks.results import Row


def bars(labels: Sequence[str], columns: Mapping[str, Sequence[float]], title: str, *, line: float) -> Figure:
    """A group of horizontal bars for each label, and a line that they are compared with."""
    figure = Figure(figsize=(9, 0.35 * len(labels) * max(len(columns), 1) ** 0.5 + 1.2), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(columns)
    for number, (name, values) in enumerate(columns.items()):
        places = [row + number * height for row in range(len(labels))]
        drawn = axes.barh(places, values, height, label=name)
        axes.bar_label(drawn, fmt="%.2g", padding=2, fontsize=7)
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(labels))], labels, fontsize=8)
    axes.invert_yaxis()
    axes.axvline(line, color="black", linewidth=0.8)
    axes.set_xlabel(title)
    axes.margins(x=0.1)
    if len(columns) > 1:
        axes.legend(fontsize=8)
    return figure


def lines(rows: Sequence[Row], *, across: str, along: str, each: str, columns: tuple[str, str]) -> Figure:
    """A panel for each value of ``across``, a colour for each of ``each``; the second column is dashed."""
    panels, colours = (list(dict.fromkeys(row.labels[label] for row in rows)) for label in (across, each))
    figure = Figure(figsize=(4 * len(panels), 3.8), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        for number, name in enumerate(colours):
            chosen = [row for row in rows if row.labels[across] == panel and row.labels[each] == name]
            for column, style in zip(columns, ("-", ":"), strict=True):
                sizes, values = [int(row.labels[along]) for row in chosen], [row.values[column] for row in chosen]
                label = name if style == "-" and panel == panels[0] else None
                axes.plot(sizes, values, style, marker=".", color=f"C{number}", label=label)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel(panel)
    figure.axes[0].set_ylabel(" — and ".join(columns) + " (dotted)", fontsize=8)
    figure.axes[0].legend(fontsize=8)
    return figure
