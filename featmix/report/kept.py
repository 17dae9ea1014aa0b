"""Figures and tables of the kept results of runs: learning curves, accuracy by class, and confusion matrices."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featmix.compare.contenders import label_of
from featmix.compare.escaping import for_figure, shown_labels
from featmix.compare.intervals import estimate
from featmix.compare.kept import HELD_OUT, IN_DOMAIN, KEPT, Kept, read_about, read_kept
from featmix.compare.report import percent
from featmix.compare.results import Row
from featmix.report.page import Section
from featmix.report.svg import inline_svg
from featmix.support.extras import imported

_MOST_CLASSES = 30  # that a picture of confusions has room for
_NAMED = {IN_DOMAIN: "training domains", HELD_OUT: "held-out domain"}

Groups = Mapping[str, Sequence[Kept]]


def kept_sections(folder: Path, rows: Sequence[Row]) -> list[Section]:
    """Return the sections on kept results; none if nothing was kept.

    Args:
        folder: The output folder.
        rows: Its runs.

    Raises:
        FeatmixError: If a kept file cannot be read.
    """
    if not (folder / KEPT).is_dir():
        return []
    groups: dict[str, list[Kept]] = defaultdict(list)
    for one in read_kept(folder / KEPT, [row.key for row in rows if not row.error]):
        groups[label_of(*one.key[:3])].append(one)
    if not groups:
        return []
    classes, _ = read_about(folder / KEPT)
    return [_curves(groups), _by_class(groups, classes), *_confusions(groups, classes)]


def _curves(groups: Groups) -> Section:
    figures = imported("matplotlib.figure", subject="report", install="featmix[compare]")
    names = shown_labels(groups)
    drawn = []
    held_out = any(point.held_out_accuracy is not None for runs in groups.values() for one in runs for point in one.curve)
    panels = {"loss": "training loss", "in_domain_accuracy": f"accuracy in %, {_NAMED[IN_DOMAIN]}"}
    panels |= {"held_out_accuracy": f"accuracy in %, {_NAMED[HELD_OUT]}"} if held_out else {}
    for column, title in panels.items():
        figure = figures.Figure(figsize=(5, 3.4), layout="constrained")
        panel = figure.subplots()
        for label, runs in groups.items():
            epochs: dict[int, list[float]] = defaultdict(list)
            for point in (point for one in runs for point in one.curve):
                if getattr(point, column) is not None:
                    epochs[point.epoch].append(getattr(point, column) * (1 if column == "loss" else 100))
            panel.plot(
                list(epochs),
                [statistics.fmean(values) for values in epochs.values()],
                marker=".",
                label=for_figure(names[label]),
            )
        panel.set_xlabel("epochs")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.set_title(title, loc="left", fontsize=11)
        panel.grid(color="#DDDDDD")
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize=8)
        drawn.append(inline_svg(figure, f"curve-{column}"))
    said = "Means over all runs of a strategy. Where labels are mixed, the loss is that of mixed labels, which is higher."
    return Section("Learning curves", drawn=drawn, below=[said])


def _by_class(groups: Groups, classes: Sequence[str]) -> Section:
    """Make a table with a line per class and a column per strategy: means over seeds of the means over held-out domains."""
    where = HELD_OUT if any(HELD_OUT in one.class_accuracy for runs in groups.values() for one in runs) else IN_DOMAIN
    names = shown_labels(groups)
    body = []
    for number, name in enumerate(classes):
        line = [name]
        for runs in groups.values():
            seeds: dict[int, list[float]] = defaultdict(list)
            for one in runs:
                share = one.class_accuracy.get(where, ())[number : number + 1]
                if share and share[0] is not None:
                    seeds[one.key[3]].append(share[0])
            line.append(percent(estimate([statistics.fmean(values) for values in seeds.values()])))
        body.append(line)
    said = f"Share of right answers in %, {_NAMED[where]}, with 95 % Student-t intervals over seeds."
    return Section("Accuracy by class", head=["class", *(names[label] for label in groups)], body=body, below=[said])


def _confusions(groups: Groups, classes: Sequence[str]) -> list[Section]:
    if len(classes) > _MOST_CLASSES:
        return []
    where = HELD_OUT if any(HELD_OUT in one.class_accuracy for runs in groups.values() for one in runs) else IN_DOMAIN
    names = shown_labels(groups)
    drawn = []
    for number, (label, runs) in enumerate(groups.items()):
        counts = sum((one.confusion(where) for one in runs), np.zeros((len(classes), len(classes)), dtype=np.int64))
        drawn.append(inline_svg(_matrix(counts, classes, names[label]), f"confusion{number}"))
    said = f"Rows are true classes, columns answers, in % of the row; {_NAMED[where]}, all runs together."
    return [Section("Who is taken for whom", drawn=drawn, below=[said])]


def _matrix(counts: np.ndarray[Any, Any], classes: Sequence[str], title: str) -> Any:
    figures = imported("matplotlib.figure", subject="report", install="featmix[compare]")
    side = 1.6 + 0.32 * len(classes)
    figure = figures.Figure(figsize=(side, side), layout="constrained")
    panel = figure.subplots()
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(*shares.shape):
        if shares[row, column] >= 1:
            shade = "white" if shares[row, column] > 55 else "black"
            panel.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", fontsize=7, color=shade)
    words = [for_figure(name) for name in classes]
    panel.set_xticks(range(len(words)), words, rotation=90 if max(map(len, words)) > 2 else 0, fontsize=8)
    panel.set_yticks(range(len(words)), words, fontsize=8)
    panel.set_title(for_figure(title), loc="left", fontsize=11)
    panel.tick_params(length=0)
    return figure
