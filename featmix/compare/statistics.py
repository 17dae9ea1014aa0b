"""Means over seeds with confidence intervals, and paired differences to the baseline.

A seed's result is the average over the held-out domains; seeds are the independent repetitions, so the usual interval is
Student's t over seeds: held-out domains of one seed share their split and are *not* counted as repetitions. Others can be
chosen, see `featmix.compare.intervals`. A seed with a failed run is left out, in levels and differences alike.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from featmix.compare.contenders import BASELINE
from featmix.compare.intervals import PLAIN, Estimate, Interval, differences
from featmix.compare.results import Row

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Summary:
    """One strategy over all its runs.

    Args:
        label: Its name in tables.
        strategy: Name in the registry.
        settings: The settings as the user wrote them, sorted.
        site: Its site.
        runs: Number of finished runs.
        failures: Number of failed runs.
        in_domain: Accuracy in the training domains.
        held_out: Accuracy in the held-out domains, averaged over them.
        calibration: Calibration error.
        in_domain_difference: Paired difference to the baseline.
        held_out_difference: Paired difference to the baseline.
        calibration_difference: Paired difference to the baseline.
        by_domain: Accuracy in each held-out domain.
        by_domain_difference: Paired difference to the baseline in each.
        seconds_per_step: Time of a training step, the median over runs.
    """

    label: str
    strategy: str
    settings: str
    site: str
    runs: int
    failures: int
    in_domain: Estimate
    held_out: Estimate
    calibration: Estimate
    in_domain_difference: Estimate
    held_out_difference: Estimate
    calibration_difference: Estimate
    by_domain: Mapping[str, Estimate]
    by_domain_difference: Mapping[str, Estimate]
    seconds_per_step: float | None


def summarize(rows: Sequence[Row], baseline: str = BASELINE, interval: Interval = PLAIN) -> list[Summary]:
    """Summarize runs by strategy, in the order in which strategies first appear, the baseline first.

    Args:
        rows: All runs of an experiment, failed ones included.
        baseline: Label of the strategy with which all others are compared.
        interval: Kind of confidence interval.
    """
    groups = list(runs_by_strategy(sorted(rows, key=lambda row: row.label != baseline)).values())
    compared = next((group for group in groups if group[0].label == baseline), [])
    domains = domains_of(rows)
    return [_summarize(group, compared, domains, interval) for group in groups]


def runs_by_strategy(rows: Iterable[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """Return the runs of each strategy, in the order in which strategies first appear."""
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.strategy, row.settings, row.site].append(row)
    return groups


def domains_of(rows: Iterable[Row]) -> list[str]:
    """Return the domains that were held out, in the order in which they first appear; one empty name if none was."""
    return list(dict.fromkeys(row.held_out for row in rows))


def complete(rows: Iterable[Row], domains: Iterable[str]) -> list[Row]:
    """Return the finished runs of those seeds that have all domains: a run that failed leaves its whole seed out."""
    finished, wanted = [row for row in rows if not row.error], set(domains)
    held_out: dict[int, set[str]] = defaultdict(set)
    for row in finished:
        held_out[row.seed].add(row.held_out)
    return [row for row in finished if held_out[row.seed] >= wanted]


def cells_of(rows: Iterable[Row], column: str, domains: Sequence[str]) -> dict[tuple[int, str], float]:
    """Return the value of a column in each cell (seed, held-out domain), without failed runs."""
    values = ((row, getattr(row, column)) for row in rows if row.held_out in domains and not row.error)
    return {(row.seed, row.held_out): value for row, value in values if value is not None}


def _summarize(rows: list[Row], baseline: list[Row], domains: list[str], interval: Interval) -> Summary:
    first, finished = rows[0], [row for row in rows if not row.error]
    good, compared = complete(finished, domains), complete(baseline, domains)
    seconds = [row.seconds_per_step for row in finished if row.seconds_per_step is not None]

    def level(column: str, within: list[str]) -> Estimate:
        return interval.estimate(cells_of(good, column, within), within)

    def difference(column: str, within: list[str]) -> Estimate:
        if rows is baseline:
            return Estimate()
        return interval.estimate(differences(cells_of(good, column, within), cells_of(compared, column, within)), within)

    named = [domain for domain in domains if domain]
    return Summary(
        label=first.label,
        strategy=first.strategy,
        settings=first.settings,
        site=first.site,
        runs=len(finished),
        failures=len(rows) - len(finished),
        in_domain=level("in_domain_accuracy", domains),
        held_out=level("held_out_accuracy", domains),
        calibration=level("calibration_error", domains),
        in_domain_difference=difference("in_domain_accuracy", domains),
        held_out_difference=difference("held_out_accuracy", domains),
        calibration_difference=difference("calibration_error", domains),
        by_domain={domain: level("held_out_accuracy", [domain]) for domain in named},
        by_domain_difference={domain: difference("held_out_accuracy", [domain]) for domain in named},
        seconds_per_step=statistics.median(seconds) if seconds else None,
    )
