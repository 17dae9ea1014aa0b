"""Means over seeds with honest intervals, and paired differences to the baseline.

A seed's result is the average over the held-out domains; seeds are the independent repetitions, so every interval is
Student's t over seeds. Held-out domains of one seed share their split and are *not* counted as repetitions. A seed with a
failed run is left out, of levels and differences alike.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from featmix.compare.contenders import BASELINE
from featmix.compare.results import Row
from featmix.support.extras import imported

CONFIDENCE = 0.95

Cells = Mapping[tuple[int, str], float]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval.

    Args:
        mean: None where there is nothing to average.
        low: Lower end of the interval; None with fewer than two seeds, where no spread is known.
        high: Upper end.
        seeds: How many seeds it rests on.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0

    @property
    def excludes_zero(self) -> bool:
        """True where the interval is known and zero is outside."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Summary:
    """One strategy over all its runs.

    Args:
        label: As tables call it.
        strategy: Name in the registry.
        settings: Those that differ from the defaults.
        site: Where it acts.
        runs: Finished runs.
        failures: Failed runs.
        in_domain: Accuracy in the training domains.
        held_out: Accuracy in the held-out domains, averaged over them.
        calibration: Calibration error.
        in_domain_difference: Paired difference to the baseline.
        held_out_difference: Paired difference to the baseline.
        calibration_difference: Paired difference to the baseline.
        by_domain: Accuracy in each held-out domain.
        by_domain_difference: Paired difference to the baseline in each.
        seconds_per_step: Median over runs.
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


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and 95 % Student-t interval.

    Args:
        values: One per seed.

    Example:
        >>> found = estimate([1.0, 2.0, 3.0])
        >>> found.mean, round(found.low, 3), round(found.high, 3), found.seeds
        (2.0, -0.484, 4.484, 3)
        >>> estimate([0.5])
        Estimate(mean=0.5, low=None, high=None, seeds=1)
    """
    count = len(values)
    if count == 0:
        return Estimate()
    mean = statistics.fmean(values)
    if count == 1:
        return Estimate(mean, seeds=1)
    special = imported("scipy.special", subject="compare", install="featmix[compare]")
    half = float(special.stdtrit(count - 1, 0.5 + CONFIDENCE / 2)) * statistics.stdev(values) / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, count)


def per_seed(cells: Cells, domains: Iterable[str]) -> list[float]:
    """Average over the held-out domains within each seed, for seeds that have all of them.

    Args:
        cells: Value by (seed, held-out domain).
        domains: Those that a complete seed has.
    """
    wanted = set(domains)
    seeds = _by_seed(cells)
    return [statistics.fmean(found.values()) for _, found in sorted(seeds.items()) if set(found) >= wanted]


def paired_per_seed(cells: Cells, baseline: Cells, domains: Iterable[str]) -> list[float]:
    """Difference to the baseline within each seed, averaged over the held-out domains, for seeds of which both have all.

    Args:
        cells: Value by (seed, held-out domain).
        baseline: The same for the baseline.
        domains: Those that a complete seed has.
    """
    return per_seed({cell: cells[cell] - baseline[cell] for cell in cells if cell in baseline}, domains)


def summarize(rows: Sequence[Row], baseline: str = BASELINE) -> list[Summary]:
    """Summarize runs by strategy, in the order in which strategies first appear, the baseline first.

    Args:
        rows: All runs of an experiment, failed ones included.
        baseline: The label of the strategy that differences are taken to.
    """
    groups = list(runs_by_strategy(sorted(rows, key=lambda row: row.label != baseline)).values())
    compared = next((group for group in groups if group[0].label == baseline), [])
    domains = domains_of(rows)
    return [_summarize(group, compared, domains) for group in groups]


def runs_by_strategy(rows: Iterable[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """Return the runs of each strategy, in the order in which strategies first appear."""
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.strategy, row.settings, row.site].append(row)
    return groups


def domains_of(rows: Iterable[Row]) -> list[str]:
    """Return the domains that were held out, in the order in which they first appear; one without a name where none was."""
    return list(dict.fromkeys(row.held_out for row in rows))


def complete(rows: Iterable[Row], domains: Iterable[str]) -> list[Row]:
    """Return the finished runs of those seeds that have all domains: a run that failed leaves its whole seed out."""
    finished, wanted = [row for row in rows if not row.error], set(domains)
    held_out: dict[int, set[str]] = defaultdict(set)
    for row in finished:
        held_out[row.seed].add(row.held_out)
    return [row for row in finished if held_out[row.seed] >= wanted]


def cells_of(rows: Iterable[Row], column: str, domains: Sequence[str]) -> dict[tuple[int, str], float]:
    """Return what was measured in each cell (seed, held-out domain); failed runs measured nothing."""
    values = ((row, getattr(row, column)) for row in rows if row.held_out in domains and not row.error)
    return {(row.seed, row.held_out): value for row, value in values if value is not None}


def _summarize(rows: list[Row], baseline: list[Row], domains: list[str]) -> Summary:
    first, finished = rows[0], [row for row in rows if not row.error]
    good, compared = complete(finished, domains), complete(baseline, domains)
    seconds = [row.seconds_per_step for row in finished if row.seconds_per_step is not None]

    def level(column: str, within: list[str]) -> Estimate:
        return estimate(per_seed(cells_of(good, column, within), within))

    def difference(column: str, within: list[str]) -> Estimate:
        if rows is baseline:
            return Estimate()
        return estimate(paired_per_seed(cells_of(good, column, within), cells_of(compared, column, within), within))

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


def _by_seed(cells: Cells) -> dict[int, dict[str, float]]:
    seeds: dict[int, dict[str, float]] = defaultdict(dict)
    for (seed, domain), value in cells.items():
        seeds[seed][domain] = value
    return seeds
