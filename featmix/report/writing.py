"""The report of a folder: reads results, computes, draws and writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from featmix.compare.contenders import BASELINE
from featmix.compare.escaping import for_terminal, shown_labels
from featmix.compare.figure import draw_domains, draw_levels, draw_pairs
from featmix.compare.finished import Finished, read_finished
from featmix.compare.intervals import COVERS, SEEDS, Interval
from featmix.compare.pairs import METRICS
from featmix.compare.report import (
    HOW_TO_READ,
    HOW_TO_READ_PAIRS,
    Circumstances,
    circumstances,
    domain_table,
    metric_in_words,
    pair_table,
    result_table,
    underfitting,
)
from featmix.compare.statistics import Summary, summarize
from featmix.errors import FeatmixError
from featmix.report.kept import kept_sections
from featmix.report.latex import table
from featmix.report.page import Section, as_html
from featmix.report.svg import inline_svg
from featmix.support.extras import imported
from featmix.support.files import write

PAGE, DATA, TABLES = "report.html", "report.json", "report.tex"
_MOST_PAIRS, _MOST_DOMAINS = 150, 24  # that a picture has room for; all are in the tables


@dataclass(frozen=True)
class _Found:
    """The content of a report."""

    summaries: list[Summary]
    about: Circumstances


def report(
    folder: Path | str,
    *,
    out: Path | str | None = None,
    baseline: str = BASELINE,
    interval: str = SEEDS,
    console: Console | None = None,
) -> Path:
    """Write the report of a folder that `featmix compare` or `featmix merge` wrote.

    Args:
        folder: The folder with the results; only the report is written there.
        out: Folder for ``report.html``, ``report.json`` and ``report.tex``; None uses the folder of the results.
        baseline: The strategy with which all others are compared.
        interval: Kind of confidence interval, as in `featmix.compare.compare`.
        console: Console for messages; None writes to standard output.

    Returns:
        Path of the page, one file without external files.

    Raises:
        FeatmixError: If the folder has no results, or the baseline is not among them.
    """
    console = console or Console()
    finished = read_finished(Path(folder), subject="report", argument="folder")
    target = Path(out) if out is not None else finished.path
    if baseline not in {row.label for row in finished.rows}:
        labels = ", ".join(dict.fromkeys(row.label for row in finished.rows)) or "none"
        raise FeatmixError("report", "baseline", expected=f"one of the strategies of the runs: {labels}", got=repr(baseline))
    sure = Interval(interval, finished.test_share)
    summaries = summarize(finished.rows, baseline, sure)
    record = finished.record
    about = Circumstances(dict(record.settings), finished.rows, record.calls, record.machines, baseline, sure, record.versions)
    found = _Found(summaries, about)
    target.mkdir(parents=True, exist_ok=True)
    write(target / DATA, json.dumps(_data(finished, found), indent=2, allow_nan=False) + "\n")
    write(target / TABLES, _tables(found))
    write(target / PAGE, as_html(_title(record.settings), _facts(found), _sections(found, finished.path)))
    console.print(for_terminal(f"Written to {target}: {PAGE}, {DATA}, {TABLES}"), markup=False, highlight=False)
    return target / PAGE


def _title(settings: Mapping[str, object]) -> str:
    return f"featmix compare on {settings.get('data', 'unknown data')}"


def _facts(found: _Found) -> list[str]:
    seeds = sorted({row.seed for row in found.about.rows})
    failed = sum(bool(row.error) for row in found.about.rows)
    facts = [f"{len(found.summaries)} strategies", f"{len(seeds)} seeds", f"{len(found.about.rows)} runs"]
    return facts + ([f"{failed} failed"] if failed else [])


def _sections(found: _Found, folder: Path) -> list[Section]:
    sections = [_result(found), *_pairs(found), *_domains(found), *kept_sections(folder, found.about.rows), *_failures(found)]
    return [*sections, Section("What was run", points=tuple(circumstances(found.summaries, found.about)))]


def _result(found: _Found) -> Section:
    head, body = result_table(found.summaries, found.about.baseline)
    below = (f"{HOW_TO_READ} {COVERS[found.about.interval.kind]}", underfitting(found.summaries, found.about))
    return Section("Result", drawn=(_levels(found),), head=head, body=body, below=[text for text in below if text])


def _pairs(found: _Found) -> list[Section]:
    pairs = found.about.shown_pairs()
    if not pairs:
        return []
    drawn = [_figure("pairs", (5.6, 1.2 + 0.32 * len(pairs)), draw_pairs, pairs)] if len(pairs) <= _MOST_PAIRS else []
    head, body = pair_table(pairs)
    return [Section(f"All pairs, {metric_in_words(pairs)}", drawn=drawn, head=head, body=body, below=[HOW_TO_READ_PAIRS])]


def _domains(found: _Found) -> list[Section]:
    domains = list(found.summaries[0].by_domain) if found.summaries else []
    if not domains:
        return []
    size = (4.4, 1.2 + 0.34 * len(found.summaries))
    shown = domains if len(domains) <= _MOST_DOMAINS else []
    drawn = [_figure(f"domain{number}", size, draw_domains, found.summaries, [one]) for number, one in enumerate(shown)]
    head, body = domain_table(found.summaries)
    return [Section("Accuracy by held-out domain", drawn=drawn, head=head, body=body)]


def _failures(found: _Found) -> list[Section]:
    failed = [row for row in found.about.rows if row.error]
    names = shown_labels(row.label for row in found.about.rows)
    body = [[names[row.label], str(row.seed), row.held_out or "-", row.error] for row in failed]
    return [Section("Failed runs", head=["strategy", "seed", "held out", "error"], body=body)] if failed else []


def _levels(found: _Found) -> str:
    return _figure("levels", (9, 1.4 + 0.4 * len(found.summaries)), draw_levels, found.summaries, found.about.baseline)


def _figure(name: str, size: tuple[float, float], draw: Any, *arguments: Any) -> str:
    figures = imported("matplotlib.figure", subject="report", install="featmix[compare]")
    figure = figures.Figure(figsize=size, layout="constrained")
    drawn = draw(figure, *arguments)
    if drawn is not None:
        figure.legend(*drawn, loc="outside lower left", ncols=2, frameon=False)
    return inline_svg(figure, name)


def _data(finished: Finished, found: _Found) -> dict[str, object]:
    """Return all results, for programs."""
    record = finished.record
    return {
        "settings": dict(record.settings),
        "versions": dict(record.versions),
        "machines": record.machines,
        "calls": record.calls,
        "interval": {"kind": found.about.interval.kind, "covers": COVERS[found.about.interval.kind]},
        "baseline": found.about.baseline,
        "strategies": [asdict(summary) for summary in found.summaries],
        "pairs": [asdict(pair) for metric in METRICS for pair in found.about.pairs(metric)],
        "runs": [asdict(row) for row in found.about.rows],
    }


def _tables(found: _Found) -> str:
    """Return the tables for a paper."""
    about = found.about
    head, body = result_table(found.summaries, about.baseline)
    caption = f"{_title(about.settings)}. {COVERS[about.interval.kind]}"
    parts = ["% needs \\usepackage{booktabs}", table(head, body, caption=caption, label="tab:result")]
    pairs = about.shown_pairs()
    if pairs:
        parts.append(table(*pair_table(pairs), caption=f"All pairs, {metric_in_words(pairs)}.", label="tab:pairs"))
    if found.summaries and found.summaries[0].by_domain:
        parts.append(table(*domain_table(found.summaries), caption="Accuracy by held-out domain.", label="tab:domains"))
    return "\n\n".join(parts) + "\n"
