"""The picture of an experiment: accuracies with intervals, and paired differences to the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from featmix.compare.contenders import BASELINE
from featmix.compare.statistics import Estimate, Summary
from featmix.pictures import as_png
from featmix.support.extras import imported
from featmix.support.files import write

# Okabe and Ito's colors, which stay apart under all common kinds of color blindness; marker shapes differ as well.
HELD_OUT = {"color": "#0072B2", "marker": "o", "label": "held-out domain"}
IN_DOMAIN = {"color": "#E69F00", "marker": "s", "label": "training domains"}

_APART = 0.16  # vertical distance of the two markers of a strategy from its line, in lines


def draw_figure(path: Path, summaries: Sequence[Summary], settings: Mapping[str, object]) -> None:
    """Draw `summary.png`.

    Args:
        path: Where to write it.
        summaries: Strategies, from top to bottom, the baseline first.
        settings: What all runs shared, for the title.
    """
    figures = imported("matplotlib.figure", subject="compare", install="featmix[compare]")
    figure = figures.Figure(figsize=(10, 1.9 + 0.5 * len(summaries)), layout="constrained", dpi=150)
    left, right = figure.subplots(1, 2)
    lines = {summary.label: -number for number, summary in enumerate(summaries)}
    others = [summary for summary in summaries if summary.strategy != BASELINE]
    held_out = any(summary.held_out.mean is not None for summary in summaries)
    for style, name in ((HELD_OUT, "held_out"), (IN_DOMAIN, "in_domain")):
        shift = (_APART if style is HELD_OUT else -_APART) if held_out else 0.0
        _plot(left, [(lines[s.label] + shift, getattr(s, name)) for s in summaries], style)
        _plot(right, [(lines[s.label] + shift, getattr(s, f"{name}_difference")) for s in others], style)
    _mark(right, others, lines)
    right.axvline(0, color="black", linewidth=1)
    if len(others) < len(summaries):
        right.annotate("baseline", (0, 0), (6, 0), textcoords="offset points", va="center", color="#555555")
    left.set_xlabel("accuracy in %")
    right.set_xlabel(f"paired difference to {BASELINE} in percentage points")
    seeds = max((summary.in_domain.seeds for summary in summaries), default=0)
    left.set_title("Accuracy", loc="left", fontsize=11)
    right.set_title("Difference to the baseline", loc="left", fontsize=11)
    for panel in (left, right):
        panel.set_yticks(list(lines.values()), list(lines) if panel is left else [""] * len(lines))
        panel.set_ylim(-len(lines) + 0.5, 0.5)
        panel.grid(axis="x", color="#DDDDDD")
        panel.set_axisbelow(True)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
    if seeds > 1:
        caption = f"mean over {seeds} seeds, bars: 95 % interval over seeds, *: interval excludes zero"
    else:
        caption = "one seed: no interval is known"
    figure.suptitle(f"featmix compare on {_short(settings)}: {caption}", x=0.01, ha="left", fontsize=12)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False)
    write(path, as_png(figure))


def _plot(panel: Any, points: Sequence[tuple[float, Estimate]], style: Mapping[str, str]) -> None:
    """Markers in percent with bars for the intervals that are known."""
    known = [(height, estimate) for height, estimate in points if estimate.mean is not None]
    if not known:
        return
    heights = [height for height, _ in known]
    means = [100 * (estimate.mean or 0.0) for _, estimate in known]
    below = [mean - 100 * e.low if e.low is not None else 0.0 for mean, (_, e) in zip(means, known, strict=True)]
    above = [100 * e.high - mean if e.high is not None else 0.0 for mean, (_, e) in zip(means, known, strict=True)]
    panel.errorbar(
        means,
        heights,
        xerr=[below, above],
        fmt=style["marker"],
        color=style["color"],
        label=style["label"],
        capsize=3,
        markersize=6,
        linewidth=1.6,
    )


def _mark(panel: Any, summaries: Sequence[Summary], lines: Mapping[str, int]) -> None:
    """A star beside the name of every strategy one of whose differences excludes zero, in that difference's color."""
    for summary in summaries:
        for style, shift, difference in (
            (HELD_OUT, _APART, summary.held_out_difference),
            (IN_DOMAIN, -_APART, summary.in_domain_difference),
        ):
            if difference.excludes_zero and difference.high is not None:
                place = (100 * difference.high, lines[summary.label] + shift)
                panel.annotate(
                    "*", place, (5, -5), textcoords="offset points", color=style["color"], fontsize=14, fontweight="bold"
                )


def _short(settings: Mapping[str, object]) -> str:
    kind, colon, path = str(settings.get("data", "")).partition(":")
    return f"{kind} {Path(path).name}" if colon else kind
