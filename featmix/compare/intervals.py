"""How sure a mean over seeds is: three kinds of interval, each of which covers something else.

A cell is the result of one seed with one held-out domain; the value of a seed is the mean over its domains.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featmix.errors import FeatmixError, nearest
from featmix.support.extras import imported

CONFIDENCE = 0.95

SEEDS, SATTERTHWAITE, NADEAU_BENGIO = "seeds", "satterthwaite", "nadeau-bengio"
COVERS = {
    SEEDS: "Each interval is a 95 % Student-t interval over seeds: it covers other seeds and splits of the same images, not "
    "other images.",
    SATTERTHWAITE: "Each 95 % interval adds up the variances over seeds of the held-out domains, with Satterthwaite's degrees "
    "of freedom: it covers other seeds and splits of the same images, if the domains of a seed vary independently.",
    NADEAU_BENGIO: "Each 95 % interval is Student's t over seeds with Nadeau and Bengio's correction for splits that share "
    "images: it covers, as a rule of thumb, other images of the same kind as well.",
}

Cells = Mapping[tuple[int, str], float]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval.

    Args:
        mean: The mean; None without values.
        low: Lower end of the interval; None with fewer than two seeds, since the spread is unknown.
        high: Upper end.
        seeds: Number of seeds.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval is known and zero is outside."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Spread:
    """The spread of a mean over seeds, for any number of seeds.

    Args:
        variance: Variance of one seed's value.
        freedom: Degrees of freedom, in multiples of the number of seeds minus one.
        shared: The part of the variance that more seeds do not reduce, in multiples of ``variance``.
    """

    variance: float
    freedom: float = 1.0
    shared: float = 0.0

    def error(self, seeds: int) -> float:
        """Return the standard error of the mean over this number of seeds."""
        return math.sqrt(self.variance * (1 / seeds + self.shared))

    def half_width(self, seeds: int) -> float:
        """Return half the width of the 95 % interval with this number of seeds, at least two."""
        quantile = _special().stdtrit(self.freedom * (seeds - 1), 0.5 + CONFIDENCE / 2)
        return float(quantile) * self.error(seeds)

    def p(self, mean: float, seeds: int) -> float:
        """Return the p-value of a two-sided t-test that the mean is zero."""
        error = self.error(seeds)
        if error == 0:
            return 1.0 if mean == 0 else 0.0
        return 2 * float(_special().stdtr(self.freedom * (seeds - 1), -abs(mean) / error))


@dataclass(frozen=True)
class Interval:
    """One of three ways to say how sure a mean over seeds is.

    Args:
        kind: ``seeds``; ``satterthwaite`` (Biometrics Bulletin, 1946), over domains; or ``nadeau-bengio`` (Machine Learning,
            2003, equation 7).
        test_share: Share of the images that each seed draws for testing; None if all seeds test on the same images.

    Raises:
        FeatmixError: For another kind, and for ``nadeau-bengio`` if all seeds test on the same images.

    Example:
        >>> cells = {(0, "a"): 0.1, (0, "b"): 0.3, (1, "a"): 0.2, (1, "b"): 0.4}
        >>> found = Interval().estimate(cells, ["a", "b"])
        >>> round(found.mean, 3), round(found.high - found.mean, 3)
        (0.25, 0.635)
    """

    kind: str = SEEDS
    test_share: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in COVERS:
            expected = f"one of {', '.join(COVERS)}"
            raise FeatmixError(
                "compare", "interval", expected=expected, got=repr(self.kind), fix=nearest(str(self.kind), COVERS)
            )
        if self.kind == NADEAU_BENGIO and self.test_share is None:
            expected = "a data set whose test images each seed draws, for nadeau-bengio"
            got = "test images that are the same for all seeds"
            raise FeatmixError("compare", "interval", expected=expected, got=got, fix=f"--interval {SEEDS}.")

    def spread(self, cells: Cells, domains: Iterable[str]) -> Spread | None:
        """Return the spread of the seeds that have all domains; None with fewer than two."""
        seeds = complete_seeds(cells, domains)
        if len(seeds) < 2:
            return None
        if self.kind == SATTERTHWAITE:
            variances = [statistics.variance(column) for column in zip(*seeds, strict=True)]
            total, squares = math.fsum(variances), math.fsum(one * one for one in variances)
            return Spread(total / len(variances) ** 2, total * total / squares if squares else 1.0)
        variance = statistics.variance(map(statistics.fmean, seeds))
        share = (self.test_share or 0.0) if self.kind == NADEAU_BENGIO else 0.0
        return Spread(variance, shared=share / (1 - share))

    def estimate(self, cells: Cells, domains: Iterable[str]) -> Estimate:
        """Return the mean over seeds that have all domains, with its interval.

        Args:
            cells: Value by (seed, held-out domain).
            domains: The domains of a complete seed.
        """
        domains = list(domains)
        seeds = complete_seeds(cells, domains)
        if not seeds:
            return Estimate()
        mean = statistics.fmean(map(statistics.fmean, seeds))
        spread = self.spread(cells, domains)
        if spread is None:
            return Estimate(mean, seeds=1)
        half = spread.half_width(len(seeds))
        return Estimate(mean, mean - half, mean + half, len(seeds))


PLAIN = Interval()


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean and the 95 % Student-t interval.

    Args:
        values: One per seed.

    Example:
        >>> found = estimate([1.0, 2.0, 3.0])
        >>> found.mean, round(found.low, 3), round(found.high, 3), found.seeds
        (2.0, -0.484, 4.484, 3)
        >>> estimate([0.5])
        Estimate(mean=0.5, low=None, high=None, seeds=1)
    """
    return PLAIN.estimate({(seed, ""): value for seed, value in enumerate(values)}, [""])


def complete_seeds(cells: Cells, domains: Iterable[str]) -> list[list[float]]:
    """Return the values of each seed that has all domains, in the order of the domains."""
    wanted = list(domains)
    seeds: dict[int, dict[str, float]] = defaultdict(dict)
    for (seed, domain), value in cells.items():
        seeds[seed][domain] = value
    return [[found[domain] for domain in wanted] for _, found in sorted(seeds.items()) if set(found) >= set(wanted)]


def differences(cells: Cells, baseline: Cells) -> dict[tuple[int, str], float]:
    """Return the difference to the baseline in each cell that both have."""
    return {cell: value - baseline[cell] for cell, value in cells.items() if cell in baseline}


def _special() -> Any:
    return imported("scipy.special", subject="compare", install="featmix[compare]")
