"""Every strategy against every other one: paired differences, with a correction for their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from featmix.compare.intervals import CONFIDENCE, PLAIN, Estimate, Interval, Spread, differences
from featmix.compare.results import Row
from featmix.compare.statistics import cells_of, domains_of, runs_by_strategy

PRECISION = 0.01  # half the width of an interval that `Pair.seeds_needed` asks for
MOST_SEEDS = 10_000

METRICS = {"held_out": "held_out_accuracy", "in_domain": "in_domain_accuracy"}


@dataclass(frozen=True)
class Pair:
    """Two strategies on the same seeds and splits.

    Args:
        first: Label of the first strategy.
        second: Label of the second one, which is subtracted.
        metric: One of ``METRICS``.
        difference: First minus second, with its plain 95 % interval.
        p: p-value of a paired t-test that the difference is zero; None with fewer than two seeds.
        adjusted: The p-value after Holm's correction for all pairs of the metric: if all pairs below 0.05 are called
            different, the probability that any of these claims is wrong is at most 5 %.
        seeds_needed: Number of seeds for an interval of at most ±1 point, with the observed spread; None if the spread is
            unknown.
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
        """Whether the two strategies differ, after the correction for all pairs."""
        return self.adjusted is not None and self.adjusted < 1 - CONFIDENCE


def pairwise(rows: Sequence[Row], metric: str = "held_out", interval: Interval = PLAIN) -> list[Pair]:
    """Return all pairs of strategies, in the order in which strategies first appear.

    A seed counts for a pair if both strategies have all its held-out domains.

    Args:
        rows: All runs of an experiment, failed ones included.
        metric: One of ``METRICS``.
        interval: Kind of confidence interval.
    """
    domains = domains_of(rows)
    cells = {group[0].label: cells_of(group, METRICS[metric], domains) for group in runs_by_strategy(rows).values()}
    names = list(combinations(cells, 2))
    values = [differences(cells[first], cells[second]) for first, second in names]
    found = [(interval.estimate(each, domains), interval.spread(each, domains)) for each in values]
    tests = [None if spread is None or one.mean is None else spread.p(one.mean, one.seeds) for one, spread in found]
    adjusted = iter(holm([p for p in tests if p is not None]))
    needed = [None if spread is None else seeds_needed(spread) for _, spread in found]
    return [
        Pair(first, second, metric, one, p, None if p is None else next(adjusted), seeds)
        for (first, second), (one, _), p, seeds in zip(names, found, tests, needed, strict=True)
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


def seeds_needed(spread: Spread, half_width: float = PRECISION) -> int | None:
    """Return the smallest number of seeds with a 95 % interval of at most ±``half_width``, given the observed spread.

    Args:
        spread: Spread of the difference.
        half_width: Half the width of the interval.

    Returns:
        At least 2, or None if more than ten thousand would be needed, or no number is enough.

    Example:
        >>> seeds_needed(Spread(variance=0.0004))
        18
    """
    low, high = 2, MOST_SEEDS
    if spread.half_width(high) > half_width:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if spread.half_width(middle) <= half_width else (middle + 1, high)
    return low
