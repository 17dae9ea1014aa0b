"""Every strategy against every other one: paired differences, with a correction for how many there are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from featmix.compare.results import Row
from featmix.compare.statistics import CONFIDENCE, Estimate, cells_of, domains_of, estimate, paired_per_seed, runs_by_strategy
from featmix.support.extras import imported

PRECISION = 0.01  # half the width of an interval that `Pair.seeds_needed` asks for
MOST_SEEDS = 10_000

METRICS = {"held_out": "held_out_accuracy", "in_domain": "in_domain_accuracy"}


@dataclass(frozen=True)
class Pair:
    """Two strategies on the same seeds and splits.

    Args:
        first: The label of the strategy that is subtracted from.
        second: The label of the one that is subtracted.
        metric: One of ``METRICS``.
        difference: First minus second, with its plain 95 % interval.
        p: Of a paired t-test that the difference is zero; None with fewer than two seeds.
        adjusted: The same after Holm's correction for all pairs of the metric: with all below 0.05 called different, the
            chance that any of these calls is wrong is at most 5 %.
        seeds_needed: How many seeds of the observed spread would give an interval of at most ±1 point; None where no spread
            is known.
    """

    first: str
    second: str
    metric: str
    difference: Estimate
    p: float | None
    adjusted: float | None
    seeds_needed: int | None

    @property
    def decided(self) -> bool:
        """True if the two differ, with the correction for all pairs."""
        return self.adjusted is not None and self.adjusted < 1 - CONFIDENCE


def pairwise(rows: Sequence[Row], metric: str = "held_out") -> list[Pair]:
    """Return all pairs of strategies, in the order in which strategies first appear.

    A seed counts for a pair if both strategies have all its held-out domains.

    Args:
        rows: All runs of an experiment, failed ones included.
        metric: One of ``METRICS``.
    """
    domains = domains_of(rows)
    cells = {group[0].label: cells_of(group, METRICS[metric], domains) for group in runs_by_strategy(rows).values()}
    names = list(combinations(cells, 2))
    values = [paired_per_seed(cells[first], cells[second], domains) for first, second in names]
    tests = [_p(each) for each in values]
    adjusted = iter(holm([p for p in tests if p is not None]))
    return [
        Pair(first, second, metric, estimate(each), p, None if p is None else next(adjusted), seeds_needed(each))
        for (first, second), each, p in zip(names, values, tests, strict=True)
    ]


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values after Holm's step-down correction (Scandinavian Journal of Statistics, 1979), in the order given.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, least = [0.0] * len(p), 0.0
    for rank, k in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
        least = max(least, min(1.0, (len(p) - rank) * p[k]))
        adjusted[k] = least
    return adjusted


def seeds_needed(values: Sequence[float], half_width: float = PRECISION) -> int | None:
    """Return the least number of seeds whose 95 % interval would be at most ±``half_width``, if they spread as these do.

    Args:
        values: One difference a seed.
        half_width: Half the width of the interval.

    Returns:
        At least 2, or None with fewer than two values, or where more than ten thousand would be needed.

    Example:
        >>> seeds_needed([0.00, 0.02, 0.04])
        18
    """
    if len(values) < 2:
        return None
    special = imported("scipy.special", subject="compare", install="featmix[compare]")
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))

    def fits(count: int) -> bool:
        return float(special.stdtrit(count - 1, 0.5 + CONFIDENCE / 2)) * deviation / math.sqrt(count) <= half_width

    low, high = 2, MOST_SEEDS
    if not fits(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return low


def _p(values: Sequence[float]) -> float | None:
    """Return the p-value of a two-sided one-sample t-test against zero."""
    found = estimate(values)
    if found.mean is None or found.high is None:
        return None
    special = imported("scipy.special", subject="compare", install="featmix[compare]")
    quantile = float(special.stdtrit(found.seeds - 1, 0.5 + CONFIDENCE / 2))
    error = (found.high - found.mean) / quantile
    if error == 0:
        return 1.0 if found.mean == 0 else 0.0
    return 2 * float(special.stdtr(found.seeds - 1, -abs(found.mean) / error))
