"""The results of an experiment: `summary.csv` for machines, `summary.md` and a table in the terminal for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from featmix.compare.contenders import BASELINE, TreeContender, contender
from featmix.compare.escaping import for_markdown, for_terminal, shown_labels
from featmix.compare.figure import draw_figure
from featmix.compare.intervals import COVERS, PLAIN, Estimate, Interval
from featmix.compare.models import SMALL
from featmix.compare.output import PAIRS, SUMMARY_FIGURE, SUMMARY_TABLE, SUMMARY_TEXT, machine, versions
from featmix.compare.pairs import METRICS, Pair, pairwise
from featmix.compare.pipelines import PIPELINE, file_of
from featmix.compare.record import Call
from featmix.compare.results import Row
from featmix.compare.statistics import Summary
from featmix.errors import FeatmixError, printable
from featmix.support.files import write

MARK = "*"
SEEDS, STEP_TIME = "seeds", "ms per step"
SPARED = (SEEDS, STEP_TIME)  # the columns that a narrow terminal loses first
_ANY_WIDTH = 10_000
HOW_TO_READ = (
    "Accuracies and expected calibration error in percent, differences in percentage points. A difference is taken to the "
    f"baseline on the same seeds and splits, and {MARK} marks those whose interval excludes zero: read the others as noise. "
    "Marks are not corrected for how many there are; the table of all pairs is."
)
HOW_TO_READ_PAIRS = (
    "Every pair on the same seeds and splits, first minus second, with its 95 % interval. p is that of a paired t-test after "
    f"Holm's correction for all pairs; {MARK} marks those below 0.05. The last column says how many seeds of this spread would "
    "give an interval of at most ±1 point."
)

_ESTIMATES = (
    "held_out",
    "held_out_difference",
    "in_domain",
    "in_domain_difference",
    "calibration",
    "calibration_difference",
)


@dataclass(frozen=True)
class Circumstances:
    """The conditions of an experiment, for a reader who judges or repeats it.

    Args:
        settings: Settings of all runs.
        rows: All runs.
        calls: The calls that made them, except calls that were interrupted.
        machines: The machines that made runs; if empty, this one.
        baseline: Label of the strategy with which all others are compared.
        interval: Kind of confidence interval.
        versions: Versions of packages that made the runs; if empty, the installed ones.
    """

    settings: Mapping[str, object]
    rows: Sequence[Row]
    calls: Sequence[Call]
    machines: Sequence[Mapping[str, object]] = ()
    baseline: str = BASELINE
    interval: Interval = PLAIN
    versions: Mapping[str, str] = field(default_factory=dict)

    def pairs(self, metric: str) -> list[Pair]:
        """Return all pairs of strategies, see :func:`featmix.compare.pairs.pairwise`."""
        return pairwise(self.rows, metric, self.interval)

    def shown_pairs(self) -> list[Pair]:
        """Return the pairs to show, by held-out accuracy if there is one.

        There are none if the table of differences has them all already, or if a single seed allows no test.
        """
        pairs = self.pairs("held_out" if any(row.held_out for row in self.rows) else "in_domain")
        return pairs if len(pairs) > 1 and any(pair.p is not None for pair in pairs) else []


def write_report(folder: Path, summaries: Sequence[Summary], about: Circumstances) -> None:
    """Write `summary.csv`, `pairs.csv`, `summary.md` and `summary.png`."""
    write(folder / SUMMARY_TABLE, to_csv(summaries))
    write(folder / PAIRS, pairs_to_csv([pair for metric in METRICS for pair in about.pairs(metric)]))
    draw_figure(folder / SUMMARY_FIGURE, summaries, about.settings, about.baseline, about.shown_pairs())
    write(folder / SUMMARY_TEXT, to_markdown(summaries, about))


def to_csv(summaries: Sequence[Summary]) -> str:
    """Return one line per strategy: every estimate with its interval and number of seeds; empty if unknown."""
    parts = ("mean", "low", "high", "seeds")
    domains = list(summaries[0].by_domain) if summaries else []
    groups = [*_ESTIMATES, *(f"held_out[{printable(domain)}]" for domain in domains)]
    groups += [f"held_out_difference[{printable(domain)}]" for domain in domains]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["label", "strategy", "settings", "site", "runs", "failures", "seconds_per_step"]
    writer.writerow([*head, *(f"{group}_{part}" for group in groups for part in parts)])
    for summary in summaries:
        estimates = [getattr(summary, name) for name in _ESTIMATES]
        estimates += [summary.by_domain[domain] for domain in domains]
        estimates += [summary.by_domain_difference[domain] for domain in domains]
        cells = [_cell(getattr(summary, name)) for name in head]
        writer.writerow([*cells, *(_cell(getattr(estimate, part)) for estimate in estimates for part in parts)])
    return text.getvalue()


def pairs_to_csv(pairs: Sequence[Pair]) -> str:
    """Return one line per pair and metric; cells are empty if unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    parts = ("mean", "low", "high", "seeds")
    writer.writerow(["metric", "first", "second", *(f"difference_{part}" for part in parts), "p", "p_holm", "seeds_needed"])
    for pair in pairs:
        estimates = [_cell(getattr(pair.difference, part)) for part in parts]
        tests = ["" if p is None else f"{p:.6g}" for p in (pair.p, pair.adjusted)]
        writer.writerow([pair.metric, _cell(pair.first), _cell(pair.second), *estimates, *tests, _cell(pair.seeds_needed)])
    return text.getvalue()


def to_markdown(summaries: Sequence[Summary], about: Circumstances) -> str:
    """Return the whole report: results, how to read them, results by domain, and the conditions."""
    sections = [
        "# featmix compare",
        f"![Accuracy and paired differences to the baseline]({SUMMARY_FIGURE})",
        markdown_table(*result_table(summaries, about.baseline)),
        f"{HOW_TO_READ} {COVERS[about.interval.kind]}",
    ]
    pairs = about.shown_pairs()
    if pairs:
        sections += [f"## All pairs, {metric_in_words(pairs)}", markdown_table(*pair_table(pairs)), HOW_TO_READ_PAIRS]
    sections += [for_markdown(text) for text in (underfitting(summaries, about),) if text]
    if summaries and summaries[0].by_domain:
        sections += ["## Accuracy by held-out domain", markdown_table(*domain_table(summaries))]
    failed = [row for row in about.rows if row.error]
    if failed:
        names = shown_labels(row.label for row in about.rows)
        listed = [
            f"- {for_markdown(names[row.label])}, seed {row.seed}, held out {for_markdown(row.held_out or 'none')}: "
            + for_markdown(row.error)
            for row in failed
        ]
        sections += [f"## Failed runs: {len(failed)} of {len(about.rows)}", "\n".join(listed)]
    sections += ["## What was run", "\n".join(f"- {for_markdown(point)}" for point in circumstances(summaries, about))]
    return "\n\n".join(sections) + "\n"


def underfitting(summaries: Sequence[Summary], about: Circumstances) -> str:
    """Return a note on strategies that lose in-domain accuracy, which more epochs may restore; empty if there are none."""
    names = shown_labels([about.baseline, *(summary.label for summary in summaries)])
    differences = {names[summary.label]: summary.in_domain_difference for summary in summaries}
    losing = [name for name, difference in differences.items() if difference.high is not None and difference.high < 0]
    epochs = about.settings.get("epochs")
    if not losing or not isinstance(epochs, int):
        return ""
    return (
        f"In-domain accuracy is below that of {names[about.baseline]} for {', '.join(losing)}. Strategies that mix labels fit "
        f"more slowly, and {epochs} epoch(s) may be too few: --epochs {epochs},{3 * epochs} shows two lengths side by side."
    )


def metric_in_words(pairs: Sequence[Pair]) -> str:
    """Return the metric of the pairs in words, for a title."""
    return f"{METRICS[pairs[0].metric].replace('_', ' ')} in percentage points"


def pair_table(pairs: Sequence[Pair]) -> tuple[list[str], list[list[str]]]:
    """Return head and body of the table of all pairs."""
    body = []
    names = shown_labels(label for pair in pairs for label in (pair.first, pair.second))
    for pair in pairs:
        tested = "" if pair.adjusted is None else f"{pair.adjusted:.3f}" + (f" {MARK}" if pair.decided else "")
        needed = "" if pair.seeds_needed is None else str(pair.seeds_needed)
        body.append(
            [f"{names[pair.first]} - {names[pair.second]}", points(pair.difference).removesuffix(f" {MARK}"), tested, needed]
        )
    return ["pair", "difference", "p (Holm)", "seeds for ±1"], body


def print_results(console: Console, summaries: Sequence[Summary], about: Circumstances) -> None:
    """Print the main table and the table of all pairs, without cropping."""
    seeds = sorted({summary.in_domain.seeds for summary in summaries})
    counted = " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))) if seeds else "no"
    print_table(console, f"Mean over {counted} seed(s) in %, with 95 % interval", *result_table(summaries, about.baseline))
    console.print(f"{HOW_TO_READ} {COVERS[about.interval.kind]}")
    said = underfitting(summaries, about)
    if said:
        console.print(said, style="yellow", markup=False, highlight=False)
    pairs = about.shown_pairs()
    if pairs:
        console.print()
        print_table(console, f"All pairs, {metric_in_words(pairs)}", *pair_table(pairs))
        console.print(HOW_TO_READ_PAIRS)


def print_table(console: Console, title: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    """Print a table without cropping.

    In a narrow terminal the columns of ``SPARED`` are omitted; if that is not enough, each row takes one line per value. Piped
    output is complete.
    """
    every = list(range(len(head)))
    for columns in (every, [k for k in every if head[k] not in SPARED]):
        table = _as_table(title, [head[k] for k in columns], [[line[k] for k in columns] for line in body])
        needed = console.measure(table, options=console.options.update(width=_ANY_WIDTH)).maximum
        if needed <= console.width:
            console.print(table)
            return
        if not console.is_terminal:
            wide = Console(width=needed, file=io.StringIO(), color_system=None)
            wide.print(table)
            console.out(wide.file.getvalue(), end="", highlight=False)  # type: ignore[attr-defined]
            return
    console.print(title, style="italic", highlight=False)
    for first, *rest in body:
        console.print(f"\n{for_terminal(first)}", style="bold", markup=False, highlight=False)
        for name, cell in zip(head[1:], rest, strict=True):
            if cell:
                console.print(f"  {for_terminal(name)}: {for_terminal(cell)}", markup=False, highlight=False)
    console.print()


def _as_table(title: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(head):
        table.add_column(escape(for_terminal(name)), justify="right" if number else "left", no_wrap=True)
    for line in body:
        table.add_row(*(escape(for_terminal(cell)) for cell in line))
    return table


def result_table(summaries: Sequence[Summary], baseline: str = BASELINE) -> tuple[list[str], list[list[str]]]:
    """Return head and body of the main table, without empty columns."""
    held_out = any(summary.held_out_difference.seeds or summary.held_out.seeds for summary in summaries)
    failures = any(summary.failures for summary in summaries)
    names = shown_labels([baseline, *(summary.label for summary in summaries)])
    against = f"vs {names[baseline]}"
    head = ["strategy"]
    head += ["held-out", against] if held_out else []
    head += ["in-domain", against, "calibration", SEEDS, STEP_TIME]
    head += ["failed"] if failures else []
    body = []
    for s in summaries:
        line = [names[s.label]]
        line += [percent(s.held_out), points(s.held_out_difference)] if held_out else []
        line += [percent(s.in_domain), points(s.in_domain_difference), percent(s.calibration)]
        line += [str(s.in_domain.seeds), "" if s.seconds_per_step is None else f"{1000 * s.seconds_per_step:.1f}"]
        line += [str(s.failures)] if failures else []
        body.append(line)
    return head, body


def domain_table(summaries: Sequence[Summary]) -> tuple[list[str], list[list[str]]]:
    """Return head and body of the table by held-out domain: accuracy, and below the baseline the paired difference."""
    domains, names = list(summaries[0].by_domain), shown_labels(summary.label for summary in summaries)
    body = []
    for s in summaries:
        line = [names[s.label]]
        for domain in domains:
            difference = points(s.by_domain_difference[domain])
            line.append(percent(s.by_domain[domain]) + (f" ({difference})" if difference else ""))
        body.append(line)
    return ["strategy", *domains], body


def percent(estimate: Estimate) -> str:
    """Return a share in percent, with half the width of its interval if known.

    Example:
        >>> percent(Estimate(0.5, 0.48, 0.52, 3)), percent(Estimate(0.5, seeds=1)), percent(Estimate())
        ('50.0 ±2.0', '50.0', '')
    """
    if estimate.mean is None:
        return ""
    half = "" if estimate.high is None else f" ±{100 * (estimate.high - estimate.mean):.1f}"
    return f"{100 * estimate.mean:.1f}{half}"


def points(difference: Estimate) -> str:
    """Return a difference in percentage points, marked if its interval excludes zero.

    Example:
        >>> points(Estimate(0.05, 0.02, 0.08, 3)), points(Estimate(-0.01, -0.03, 0.01, 3))
        ('+5.0 ±3.0 *', '-1.0 ±2.0')
    """
    if difference.mean is None:
        return ""
    half = "" if difference.high is None else f" ±{100 * (difference.high - difference.mean):.1f}"
    mean = round(100 * difference.mean, 1) + 0.0  # no negative zero
    return f"{mean:+.1f}{half}" + (f" {MARK}" if difference.excludes_zero else "")


def markdown_table(head: list[str], body: list[list[str]]) -> str:
    """Return a table in Markdown, with the first column aligned left."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    lines = [list(map(for_markdown, head)), rule, *(list(map(for_markdown, line)) for line in body)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def circumstances(summaries: Sequence[Summary], about: Circumstances) -> list[str]:
    """Return a list of points on the runs: strategies, settings, machines, versions and times."""
    seeds = sorted({row.seed for row in about.rows})
    domains = [domain for domain in dict.fromkeys(row.held_out for row in about.rows) if domain]
    names = shown_labels(summary.label for summary in summaries)
    any_site = about.settings.get("model", SMALL) != SMALL
    shared = ", ".join(f"{name} {value}" for name, value in about.settings.items() if value not in (None, ""))
    machines = [", ".join(f"{name} {value}" for name, value in one.items()) for one in about.machines or [machine()]]
    return [
        f"{len(about.rows)} runs: {len(summaries)} strategies, seeds {', '.join(map(str, seeds))}, "
        + (f"each of {', '.join(domains)} held out in turn" if domains else "one domain, so none held out"),
        f"Settings: {shared}",
        *(f"{names[s.label]}: {_in_effect(s, any_site)}" for s in summaries if s.strategy != BASELINE),
        f"Calibration error: expected calibration error, 15 bins, {'held-out' if domains else 'in-domain'} images; "
        "lower is better",
        f"Time: {_time(about)}. Times per step are medians and depend on what else ran.",
        "Versions: " + ", ".join(f"{name} {value}" for name, value in (about.versions or versions()).items()),
        *(f"Machine: {one}" for one in machines),
    ]


def _time(about: Circumstances) -> str:
    calls = [f"{call['runs']} runs in {call['seconds']:.0f} s with {call['jobs']} process(es)" for call in about.calls]
    untimed = len(about.rows) - sum(call["runs"] for call in about.calls)
    return ", ".join([*calls, *([f"{untimed} runs in interrupted calls"] if untimed > 0 else [])])


def _in_effect(summary: Summary, any_site: bool) -> str:
    """Return site and all settings, including defaults; only those of the row if the strategy no longer exists."""
    if summary.strategy == PIPELINE:
        return f"see {file_of(summary.settings)}"
    try:
        spec = contender(summary.label, any_site=any_site)
    except FeatmixError:  # a strategy that is gone, or settings that nobody could have given
        return f"at {summary.site}, {summary.settings or 'default settings'}"
    if isinstance(spec, TreeContender):
        return f"as {spec.made!r}"
    settings = spec.strategy().settings()
    written = ", ".join(f"{name}={value}" for name, value in settings.items() if value is not None)
    return f"at {summary.site}, {written}"


def _cell(value: object) -> object:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else printable(value) if isinstance(value, str) else value
