"""Compares several lengths of training, since strategies that mix labels converge more slowly than others."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from featmix.checks import whole
from featmix.compare.contenders import BASELINE
from featmix.compare.escaping import for_figure, for_markdown, shown_labels
from featmix.compare.experiment import DEFAULT_OUT, QUICK_OUT, Comparison, compare
from featmix.compare.figure import HELD_OUT, IN_DOMAIN
from featmix.compare.report import markdown_table, percent, points, print_table
from featmix.compare.statistics import Summary
from featmix.errors import FeatmixError
from featmix.pictures import as_png
from featmix.support.extras import imported
from featmix.support.files import write

LENGTHS_TABLE, LENGTHS_TEXT, LENGTHS_FIGURE = "lengths.csv", "lengths.md", "lengths.png"

_METRICS = {"held_out": "held-out", "in_domain": "in-domain"}


def chosen_lengths(epochs: str | int | Iterable[int]) -> tuple[int, ...]:
    """Read the numbers of epochs.

    Args:
        epochs: One number, several, or text with several numbers separated by commas.

    Raises:
        FeatmixError: If they are invalid, or one is named twice.

    Example:
        >>> chosen_lengths("4,12"), chosen_lengths(4)
        ((4, 12), (4,))
    """
    if isinstance(epochs, str):
        texts = [part.strip() for part in epochs.split(",")]
        if not all(re.fullmatch(r"[0-9]{1,6}", text) for text in texts):
            raise FeatmixError("compare", "epochs", expected="a number, or several: 4,12", got=repr(epochs))
        epochs = [int(text) for text in texts]
    numbers = [epochs] if isinstance(epochs, int) or not isinstance(epochs, Iterable) else list(epochs)
    found = tuple(whole("compare", "epochs", number, least=1) for number in numbers)
    if not found or len(set(found)) < len(found):
        raise FeatmixError("compare", "epochs", expected="each number of epochs once, and at least one", got=repr(numbers))
    return found


def compare_lengths(
    strategies: Sequence[str] = (),
    *,
    epochs: str | Iterable[int],
    out: Path | str | None = None,
    quick: bool = False,
    console: Console | None = None,
    baseline: str = BASELINE,
    **arguments: Any,
) -> dict[int, Comparison]:
    """Make the same comparison with several numbers of epochs, and show the results side by side.

    Each has its own folder, such as ``epochs-4``, in which `compare` continues after an interruption.

    Args:
        strategies: As for :func:`~featmix.compare.experiment.compare`.
        epochs: Several numbers of epochs.
        out: The folder that contains those of all lengths.
        quick: Few images; the results mean nothing.
        console: Console for the report; None writes to standard output.
        baseline: The strategy with which all others are compared.
        arguments: Other arguments of `compare`.

    Returns:
        The comparisons, by number of epochs.

    Raises:
        FeatmixError: As `compare`, before the first run of each length.
    """
    console = console or Console()
    folder = Path(out) if out is not None else QUICK_OUT if quick else DEFAULT_OUT
    found: dict[int, Comparison] = {}
    for number in chosen_lengths(epochs):
        console.print(f"{number} epoch(s):", style="bold", highlight=False)
        found[number] = compare(
            strategies,
            epochs=number,
            out=folder / f"epochs-{number}",
            quick=quick,
            console=console,
            baseline=baseline,
            **arguments,
        )
        console.print()
    summaries = {number: each.summaries for number, each in found.items()}
    write(folder / LENGTHS_TABLE, _to_csv(summaries))
    write(folder / LENGTHS_FIGURE, as_png(_draw(summaries)))
    head, body = lengths_table(summaries)
    said = sentences(summaries)
    lines = ["# featmix compare", f"![Accuracy after each number of epochs]({LENGTHS_FIGURE})", markdown_table(head, body)]
    write(folder / LENGTHS_TEXT, "\n\n".join([*lines, *map(for_markdown, said)]) + "\n")
    print_table(console, "Accuracy in %, and differences to the baseline, by epochs", head, body)
    for sentence in said:
        console.print(sentence, markup=False, highlight=False)
    console.print(
        f"Written to {folder}: {', '.join((LENGTHS_TEXT, LENGTHS_TABLE, LENGTHS_FIGURE))}", markup=False, highlight=False
    )
    return found


def lengths_table(summaries: Mapping[int, Sequence[Summary]]) -> tuple[list[str], list[list[str]]]:
    """Return head and body of a table: for each metric a column per length, with the difference to the baseline."""
    metrics = [metric for metric in _METRICS if _measured(summaries, metric)]
    labels = _labels(summaries)
    names = shown_labels(labels)
    head = ["strategy", *(f"{_METRICS[metric]}, {number}" for metric in metrics for number in summaries)]
    body = []
    for label in labels:
        line = [names[label]]
        for metric in metrics:
            for each in summaries.values():
                one = next((summary for summary in each if summary.label == label), None)
                level = "" if one is None else percent(getattr(one, metric))
                difference = "" if one is None else points(getattr(one, f"{metric}_difference"))
                line.append(level + (f" ({difference})" if difference else ""))
        body.append(line)
    return head, body


def sentences(summaries: Mapping[int, Sequence[Summary]]) -> list[str]:
    """Return a sentence for each strategy that loses in-domain accuracy at the shortest training: what longer ones change."""
    shortest, longest = min(summaries), max(summaries)
    names = shown_labels(_labels(summaries))
    later = {summary.label: summary.in_domain_difference for summary in summaries[longest]}
    said = []
    for summary in summaries[shortest]:
        before, after = summary.in_domain_difference, later.get(summary.label)
        if before.high is None or before.high >= 0 or shortest == longest or after is None or after.high is None:
            continue
        verdict = (
            "it is underfitted at the short training: judge it by the long one"
            if after.high >= 0
            else "some of it stays, so that it costs accuracy here, or needs longer training still"
        )
        said.append(
            f"{names[summary.label]}: in-domain accuracy {_plain(before)} points after {shortest} epoch(s), "
            f"{_plain(after)} after {longest}: {verdict}."
        )
    return said


def _plain(difference: Any) -> str:
    return points(difference).removesuffix(" *")


def _labels(summaries: Mapping[int, Sequence[Summary]]) -> list[str]:
    return list(dict.fromkeys(summary.label for each in summaries.values() for summary in each))


def _measured(summaries: Mapping[int, Sequence[Summary]], metric: str) -> bool:
    return any(getattr(summary, metric).mean is not None for each in summaries.values() for summary in each)


def _to_csv(summaries: Mapping[int, Sequence[Summary]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{metric}{kind}" for metric in _METRICS for kind in ("", "_difference")]
    writer.writerow(
        ["epochs", "label", *(f"{column}_{part}" for column in columns for part in ("mean", "low", "high", "seeds"))]
    )
    for number, each in summaries.items():
        for summary in each:
            cells = [getattr(getattr(summary, column), part) for column in columns for part in ("mean", "low", "high", "seeds")]
            written = ["" if cell is None else f"{cell:.6f}" if isinstance(cell, float) else cell for cell in cells]
            writer.writerow([number, summary.label, *written])
    return text.getvalue()


def _draw(summaries: Mapping[int, Sequence[Summary]]) -> Any:
    """Draw a panel for each metric: accuracy over epochs, with a line per strategy."""
    figures = imported("matplotlib.figure", subject="compare", install="featmix[compare]")
    metrics = [metric for metric in _METRICS if _measured(summaries, metric)]
    figure = figures.Figure(figsize=(5 * len(metrics), 4.2), layout="constrained", dpi=150)
    labels = _labels(summaries)
    names = shown_labels(labels)
    for panel, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        for place, label in enumerate(labels):
            known = [
                (number, getattr(one, metric))
                for number, each in summaries.items()
                for one in each
                if one.label == label and getattr(one, metric).mean is not None
            ]
            at = [number * (1 + 0.012 * (place - len(labels) / 2)) for number, _ in known]  # so that bars stand side by side
            means = [100 * one.mean for _, one in known]
            half = [100 * (one.high - one.mean) if one.high is not None else 0.0 for _, one in known]
            panel.errorbar(at, means, yerr=half, marker="o", capsize=3, label=for_figure(names[label]))
        style = HELD_OUT if metric == "held_out" else IN_DOMAIN
        panel.set_title(f"Accuracy, {style['label']}", loc="left", fontsize=11)
        panel.set_xscale("log")
        panel.set_xticks(list(summaries), list(map(str, summaries)))
        panel.minorticks_off()
        panel.set_xlabel("epochs")
        panel.set_ylabel("%")
        panel.grid(axis="y", color="#DDDDDD")
        panel.spines[["top", "right"]].set_visible(False)
    handles, texts = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower left", ncols=5, frameon=False)
    return figure
