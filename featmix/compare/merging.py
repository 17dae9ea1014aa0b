"""Joins folders of one experiment: each machine makes some of the seeds, and one folder gets them all."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from featmix.compare.contenders import BASELINE
from featmix.compare.escaping import for_terminal
from featmix.compare.finished import Finished, read_finished
from featmix.compare.intervals import SEEDS, Interval
from featmix.compare.kept import KEPT, copy
from featmix.compare.output import OutputFolder
from featmix.compare.pipelines import PIPELINE, file_of
from featmix.compare.report import Circumstances, print_results, write_report
from featmix.compare.results import Key, Row
from featmix.compare.settings import completed
from featmix.compare.statistics import summarize
from featmix.errors import FeatmixError

_SAME = 1e-9


def merge(
    folders: Sequence[Path | str],
    out: Path | str,
    *,
    baseline: str = BASELINE,
    interval: str = SEEDS,
    console: Console | None = None,
) -> Path:
    """Join folders that `featmix compare` wrote with the same settings and versions, and write the report of all runs.

    The folders are only read. If a run is in several folders, the first that did not fail is used, with a message if others
    have a different result, since machines may differ in rounding.

    Args:
        folders: Two or more folders.
        out: The folder to write to: a new one, or an empty one.
        baseline: The strategy with which all others are compared.
        interval: Kind of confidence interval, as in `featmix.compare.compare`.
        console: Console for the report; None writes to standard output.

    Returns:
        The folder that was written.

    Raises:
        FeatmixError: If one is no such folder, settings or versions differ, or ``out`` contains runs.
    """
    console = console or Console()
    if len(folders) < 2:
        raise FeatmixError("merge", "folders", expected="at least two", got=len(folders))
    parts = [read_finished(Path(folder), subject="merge", argument="folders") for folder in folders]
    for part in parts[1:]:
        _check_alike(parts[0], part)
    joined, differing = _joined(parts)
    if baseline not in {row.label for row in joined}:
        raise FeatmixError("merge", "baseline", expected="a strategy of the runs", got=repr(baseline))
    machines = [machine for part in parts for machine in part.record.machines]
    distinct = [machine for number, machine in enumerate(machines) if machine not in machines[:number]]
    calls = [call for part in parts for call in part.record.calls]
    sure = Interval(interval, parts[0].test_share)
    with OutputFolder(Path(out)) as folder:
        if folder.has_runs:
            raise FeatmixError("merge", "out", expected="a folder without runs", got=str(folder.path), fix="Name another one.")
        folder.join(parts[0].record, joined, distinct, calls)
        for part in parts:
            for row in part.rows:
                if row.strategy == PIPELINE and (part.path / file_of(row.settings)).is_file():
                    shutil.copyfile(part.path / file_of(row.settings), folder.path / file_of(row.settings))
        made_by = {id(row): part.path for part in parts for row in part.rows}
        for row in joined:
            copy(row.key, made_by[id(row)] / KEPT, folder.path / KEPT)
        summaries = summarize(joined, baseline, sure)
        about = Circumstances(dict(parts[0].record.settings), joined, calls, distinct, baseline, sure, parts[0].record.versions)
        write_report(folder.path, summaries, about)
    print_results(console, summaries, about)
    if differing:
        note = f"{differing} run(s) came to another result in a later folder; the first's were taken."
        console.print(note, style="yellow", highlight=False)
    names = ", ".join(str(part.path) for part in parts)
    console.print(for_terminal(f"{len(joined)} run(s) of {names} joined in {folder.path}"), markup=False, highlight=False)
    return folder.path


def _check_alike(first: Finished, other: Finished) -> None:
    made = [{**completed(part.record.settings), **part.record.versions} for part in (first, other)]
    changed = [name for name in {**made[0], **made[1]} if made[0].get(name) != made[1].get(name)]
    if changed:
        expected, got = (
            f"{', '.join(f'{name} = {one.get(name)}' for name in changed)} in {part.path}"
            for one, part in zip(made, (first, other), strict=True)
        )
        raise FeatmixError("merge", ", ".join(changed), expected=expected, got=got)


def _joined(parts: Sequence[Finished]) -> tuple[list[Row], int]:
    """Return all runs, each once, and the number of runs with another result in a later folder."""
    found: dict[Key, Row] = {}
    differing = 0
    for row in (row for part in parts for row in part.rows):
        before = found.get(row.key)
        if before is None or (before.error and not row.error):
            found[row.key] = row
        elif not row.error and not _same(before, row):
            differing += 1
    order = {label: number for number, label in enumerate(dict.fromkeys(row.label for part in parts for row in part.rows))}
    return sorted(found.values(), key=lambda row: (row.seed, row.held_out, order[row.label])), differing


def _same(one: Row, other: Row) -> bool:
    pairs = ((getattr(one, name), getattr(other, name)) for name in ("in_domain_accuracy", "held_out_accuracy"))
    return all(a == b or (a is not None and b is not None and abs(a - b) < _SAME) for a, b in pairs)
