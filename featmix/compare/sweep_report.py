"""Results of sweeps along their axes: a table and a figure of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from featmix.compare.contenders import BASELINE
from featmix.compare.figure import HELD_OUT, IN_DOMAIN
from featmix.compare.intervals import Estimate
from featmix.compare.report import percent, points, print_table
from featmix.compare.statistics import Summary
from featmix.compare.sweeps import Sweep
from featmix.pictures import as_png
from featmix.support.extras import imported
from featmix.support.files import write

SWEEPS = "sweeps.csv"

_LINES = 6  # values of a second axis that have lines of their own


def write_sweeps(folder: Path, sweeps: Sequence[Sweep], summaries: Sequence[Summary]) -> list[str]:
    """Write a figure for each sweep, and one table; files of earlier sweeps are removed.

    Args:
        folder: The folder to write to.
        sweeps: The sweeps; without any, nothing is written.
        summaries: Summaries of all strategies.

    Returns:
        Names of the files.
    """
    for old in (*folder.glob("sweep-*.png"), folder / SWEEPS):
        old.unlink(missing_ok=True)
    if not sweeps:
        return []
    names = [SWEEPS]
    write(folder / SWEEPS, _to_csv(sweeps, summaries))
    for number, sweep in enumerate(sweeps, start=1):
        names.append(f"sweep-{number}.png")
        write(folder / names[-1], as_png(draw_sweep(sweep, summaries)))
    return names


def print_sweeps(console: Console, sweeps: Sequence[Sweep], summaries: Sequence[Summary], baseline: str) -> None:
    """Print the table of each sweep, in the order of its values."""
    for sweep in sweeps:
        console.print()
        print_table(console, f"Sweep {sweep.text}, in %", *_table(sweep, summaries, baseline))


def draw_sweep(sweep: Sweep, summaries: Sequence[Summary]) -> Any:
    """Draw accuracies along the first axis, with intervals and the level without mixing.

    Numbers are placed to scale on the axis, words at equal distances. A second axis has a panel for each of its values; values
    of further axes are in the panels' titles.

    Args:
        sweep: The sweep.
        summaries: Summaries of all strategies.
    """
    figures = imported("matplotlib.figure", subject="compare", install="featmix[compare]")
    known = {summary.label: summary for summary in summaries}
    panels = list(dict.fromkeys(values[1:] for values, _ in sweep.points))[:_LINES]
    figure = figures.Figure(figsize=(1.5 + 4.2 * len(panels), 4), layout="constrained", dpi=130)
    for axis, rest in zip(figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels, strict=True):
        here = [(values[0], known[label]) for values, label in sweep.points if values[1:] == rest and label in known]
        _draw_panel(axis, here, known.get(BASELINE))
        axis.set(xlabel=sweep.axes[0], title=", ".join(f"{k} {v}" for k, v in zip(sweep.axes[1:], rest, strict=True)))
        axis.grid(alpha=0.3)
    first = figure.axes[0]
    first.set_ylabel("accuracy in %, 95 % interval over seeds")
    figure.suptitle(f"{sweep.text}: dotted is training without mixing", fontsize=10)
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_panel(axis: Any, here: Sequence[tuple[str, Summary]], baseline: Summary | None) -> None:
    numbers = [_number(value) for value, _ in here]
    along = numbers if all(number is not None for number in numbers) else list(range(len(here)))
    for style, name in ((HELD_OUT, "held_out"), (IN_DOMAIN, "in_domain")):
        found: list[tuple[Any, Estimate]] = [(x, getattr(s, name)) for x, (_, s) in zip(along, here, strict=True)]
        found = [(x, estimate) for x, estimate in found if estimate.mean is not None]
        if found:
            means = [100 * (estimate.mean or 0.0) for _, estimate in found]
            half = [0.0 if e.high is None else 100 * e.high - mean for mean, (_, e) in zip(means, found, strict=True)]
            look = {"color": style["color"], "marker": style["marker"], "label": style["label"], "capsize": 3}
            axis.errorbar([x for x, _ in found], means, yerr=half, **look)
        level = None if baseline is None else getattr(baseline, name).mean
        if level is not None:
            axis.axhline(100 * level, color=style["color"], linestyle=":")
    if along != numbers:
        axis.set_xticks(along, [value for value, _ in here])


def _table(sweep: Sweep, summaries: Sequence[Summary], baseline: str) -> tuple[list[str], list[list[str]]]:
    known = {summary.label: summary for summary in summaries}
    here = [(values, known[label]) for values, label in sweep.points if label in known]
    held_out = any(summary.held_out.seeds for _, summary in here)
    head = [*sweep.axes, *(["held-out", f"vs {baseline}"] if held_out else []), "in-domain", f"vs {baseline}", "seeds"]
    body = []
    for values, s in here:
        outside = [percent(s.held_out), points(s.held_out_difference)] if held_out else []
        body.append([*values, *outside, percent(s.in_domain), points(s.in_domain_difference), str(s.in_domain.seeds)])
    return head, body


def _to_csv(sweeps: Sequence[Sweep], summaries: Sequence[Summary]) -> str:
    known = {summary.label: summary for summary in summaries}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    ends = ("mean", "low", "high", "seeds")
    metrics = ("held_out", "held_out_difference", "in_domain", "in_domain_difference")
    table.writerow(["sweep", "values", "strategy", *(f"{metric}_{end}" for metric in metrics for end in ends)])
    for sweep in sweeps:
        for values, label in sweep.points:
            if label in known:
                at = ", ".join(f"{axis}={value}" for axis, value in zip(sweep.axes, values, strict=True))
                cells = [getattr(getattr(known[label], metric), end) for metric in metrics for end in ends]
                written = ["" if cell is None else f"{cell:.6f}" if isinstance(cell, float) else cell for cell in cells]
                table.writerow([sweep.text, at, label, *written])
    return text.getvalue()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
