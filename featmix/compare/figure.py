"""The picture of an experiment: accuracies with intervals, paired differences, and a panel for each held-out domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from featmix.compare.contenders import BASELINE
from featmix.compare.escaping import for_figure, shown_labels
from featmix.compare.intervals import Estimate
from featmix.compare.pairs import Pair
from featmix.compare.statistics import Summary
from featmix.pictures import as_png
from featmix.support.extras import imported
from featmix.support.files import write

# Okabe and Ito's colors, which stay apart under all common kinds of color blindness; marker shapes differ as well.
HELD_OUT = {"color": "#0072B2", "marker": "o", "label": "held-out domain"}
IN_DOMAIN = {"color": "#E69F00", "marker": "s", "label": "training domains"}

_MOST_DOMAINS, _MOST_PAIRS = 24, 150  # that have room in a picture; all are in the tables
_LETTERS = 105  # of a line of the title
_APART = 0.16  # vertical distance of the two markers of a strategy from its line, in lines


def draw_figure(
    path: Path,
    summaries: Sequence[Summary],
    settings: Mapping[str, object],
    baseline: str = BASELINE,
    pairs: Sequence[Pair] = (),
) -> None:
    """Draw `summary.png`: levels and differences to the baseline, all pairs, and a panel for each held-out domain.

    Args:
        path: Path of the file.
        summaries: Strategies, from top to bottom, the baseline first.
        settings: Settings of all runs, for the title.
        baseline: Label of the strategy with which all others are compared.
        pairs: All pairs of one metric; without pairs there is no panel for them.
    """
    figures = imported("matplotlib.figure", subject="compare", install="featmix[compare]")
    domains = list(summaries[0].by_domain) if summaries else []
    domains, pairs = domains if len(domains) <= _MOST_DOMAINS else [], pairs if len(pairs) <= _MOST_PAIRS else ()
    heights = [1.2 + 0.5 * len(summaries)]
    heights += [1.2 + 0.3 * len(pairs)] if pairs else []
    heights += [1.2 + 0.3 * len(summaries)] if domains else []
    figure = figures.Figure(figsize=(10, 0.7 + sum(heights)), layout="constrained", dpi=150)
    rows = iter(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    handles, labels = draw_levels(next(rows), summaries, baseline)
    if pairs:
        draw_pairs(next(rows), pairs)
    if domains:
        draw_domains(next(rows), summaries, domains)
    title = fill(f"featmix compare on {for_figure(_short(settings))}: {_caption(summaries)}", _LETTERS)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    figure.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False)
    write(path, as_png(figure))


def draw_levels(figure: Any, summaries: Sequence[Summary], baseline: str) -> tuple[Any, Any]:
    """Draw two panels side by side; return handles and labels of a legend."""
    left, right = figure.subplots(1, 2)
    lines = {summary.label: -number for number, summary in enumerate(summaries)}
    shown = shown_labels([baseline, *lines])
    others = [summary for summary in summaries if summary.label != baseline]
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
    right.set_xlabel(f"paired difference to {for_figure(shown[baseline])} in percentage points")
    _finish(left, "Accuracy", [shown[label] for label in lines])
    _finish(right, "Difference to the baseline", [""] * len(lines))
    handles, labels = left.get_legend_handles_labels()
    return handles, labels


def draw_pairs(figure: Any, pairs: Sequence[Pair]) -> None:
    """Draw one panel with all pairs."""
    panel = figure.subplots()
    shown = shown_labels(label for pair in pairs for label in (pair.first, pair.second))
    style = HELD_OUT if pairs[0].metric == "held_out" else IN_DOMAIN
    _plot(panel, [(-number, pair.difference) for number, pair in enumerate(pairs)], style)
    for number, pair in enumerate(pairs):
        if pair.decided and pair.difference.high is not None:
            _star(panel, (100 * pair.difference.high, -number), style)
    panel.axvline(0, color="black", linewidth=1)
    panel.set_xlabel(f"{style['label']}, percentage points; *: p < 0.05 (Holm)")
    _finish(panel, "All pairs, first minus second", [f"{shown[pair.first]} - {shown[pair.second]}" for pair in pairs])


def draw_domains(figure: Any, summaries: Sequence[Summary], domains: Sequence[str]) -> None:
    """Draw a panel for each held-out domain, side by side."""
    panels = figure.subplots(1, len(domains), squeeze=False, sharex=True)[0]
    for panel, domain in zip(panels, domains, strict=True):
        _plot(panel, [(-number, summary.by_domain[domain]) for number, summary in enumerate(summaries)], HELD_OUT)
        shown = shown_labels(summary.label for summary in summaries)
        names = [shown[summary.label] for summary in summaries] if panel is panels[0] else [""] * len(summaries)
        panel.set_xlabel("accuracy in %")
        _finish(panel, f"{for_figure(domain)} held out", names)


def _finish(panel: Any, title: str, names: Sequence[str]) -> None:
    panel.set_title(title, loc="left", fontsize=11)
    panel.set_yticks([-number for number in range(len(names))], list(map(for_figure, names)))
    panel.set_ylim(-len(names) + 0.5, 0.5)
    panel.grid(axis="x", color="#DDDDDD")
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)


def _caption(summaries: Sequence[Summary]) -> str:
    """Return a caption with the basis of means and intervals."""
    counts = sorted({summary.in_domain.seeds for summary in summaries})
    if not counts or counts[-1] < 2:
        return "one seed: no interval is known" if counts and counts[-1] else "no complete seed"
    if len(counts) == 1:
        counted = f"{counts[0]} seeds"
    else:
        shown = shown_labels(summary.label for summary in summaries)
        counted = (
            "seeds ("
            + ", ".join(f"{for_figure(shown[summary.label])} {summary.in_domain.seeds}" for summary in summaries)
            + ")"
        )
    return f"mean over {counted}, bars: 95 % interval over seeds, *: interval excludes zero"


def _plot(panel: Any, points: Sequence[tuple[float, Estimate]], style: Mapping[str, str]) -> None:
    """Draw markers in percent, with bars for known intervals."""
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
    """Draw a star beside each strategy with a difference that excludes zero, in the color of that difference."""
    for summary in summaries:
        for style, shift, difference in (
            (HELD_OUT, _APART, summary.held_out_difference),
            (IN_DOMAIN, -_APART, summary.in_domain_difference),
        ):
            if difference.excludes_zero and difference.high is not None:
                _star(panel, (100 * difference.high, lines[summary.label] + shift), style)


def _star(panel: Any, place: tuple[float, float], style: Mapping[str, str]) -> None:
    panel.annotate("*", place, (5, -5), textcoords="offset points", color=style["color"], fontsize=14, fontweight="bold")


def _short(settings: Mapping[str, object]) -> str:
    kind, colon, path = str(settings.get("data", "")).partition(":")
    return f"{kind} {Path(path).name}" if colon else kind
