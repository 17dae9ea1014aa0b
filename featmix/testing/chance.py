"""How far a share, a mean or a distribution of seeded draws may be from what was declared: bounds that hold, not estimates.

Each comparison refuses what is right with a probability of at most ``ALARM``. The laws of draws make fewer than 200 of them on
a strategy, so that all together raise a false alarm on one that is right with a probability below 1e-6. Seeds are fixed: a
strategy that passed once passes again.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from featmix.testing.law import LawError

ALARM = 5e-9
_CURVE = (1e-6, 1e-5, 1e-4, 1e-3, 0.003, 0.01, 0.02, 0.05, *(k / 20 for k in range(2, 11)))
THRESHOLDS = (*_CURVE, *(1 - t for t in reversed(_CURVE[2:-1])))  # float32 knows no numbers nearer to 1


def demand_share(hits: int, tries: int, low: float, high: float | None, what: str, *, comparisons: int = 1) -> None:
    """Raise :class:`LawError` where a share of tries is not from an event whose probability lies between two numbers.

    By Chernoff's bound: ``hits / tries`` is past a probability ``p`` on one side with at most ``exp(-tries KL)``, ``KL`` the
    divergence of a coin of the measured share from one of ``p``.

    Args:
        hits: How often it happened.
        tries: Of independent ones.
        low: The least probability that it may have.
        high: The greatest; ``low`` where ``None``.
        what: Of what, for the message.
        comparisons: Among how many the probability of a false alarm is shared.

    Example:
        >>> demand_share(480, 1000, 0.5, None, "heads")
        >>> demand_share(350, 1000, 0.5, None, "heads")
        Traceback (most recent call last):
        featmix.testing.law.LawError: heads: 350 of 1000 draws, expected 0.5
    """
    high = low if high is None else high
    share = hits / tries
    nearest = min(max(share, low), high)
    if tries * divergence(share, nearest) > math.log(2 * comparisons / ALARM):
        expected = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        raise LawError(f"{what}: {hits} of {tries} draws, expected {expected}")


def divergence(share: float, p: float) -> float:
    """Return the divergence of a coin that shows heads with probability ``share`` from one with ``p``, in nats.

    Example:
        >>> divergence(0.5, 0.5), divergence(0.5, 0.0)
        (0.0, inf)
    """
    total = 0.0
    for found, expected in ((share, p), (1 - share, 1 - p)):
        if found > 0:
            total += found * math.log(found / expected) if expected > 0 else math.inf
    return max(total, 0.0)


def demand_centred(values: Tensor, slack: float, what: str) -> None:
    """Raise :class:`LawError` where the mean of independent values in [-1, 1] is farther from 0 than chance and slack allow.

    By Hoeffding's inequality: ``sqrt(2 log(2 / ALARM) / n)``.
    """
    allowed = slack + math.sqrt(2 * math.log(2 / ALARM) / max(len(values), 1))
    mean = float(values.double().mean()) if len(values) else 0.0
    if abs(mean) > allowed:
        raise LawError(f"{what}: {mean:+.3f} on average of {len(values)}, allowed {allowed:.3f} on each side of 0")


def demand_beta(strengths: Tensor, a: float, b: float, grain: float, what: str) -> None:
    """Raise :class:`LawError` where strengths are not from Beta(a, b).

    At each threshold the share of strengths below it is compared with the exact probability, so that tails count as much as the
    middle; then the mean is, by Bernstein's inequality.

    Args:
        strengths: Independent ones.
        a: Of the distribution.
        b: Of the distribution.
        grain: What they are rounded to.
        what: Of what, for the message.
    """
    drawn, ordered = len(strengths), strengths.double().sort().values
    for threshold in THRESHOLDS:
        below = int(torch.searchsorted(ordered, threshold))
        low, high = (beta_cdf(min(max(threshold + side, 0.0), 1.0), a, b) for side in (-grain, grain))
        of_what = f"share of {what} below {threshold:.6g} where Beta({a:g}, {b:g}) is declared"
        demand_share(below, drawn, low, high, of_what, comparisons=len(THRESHOLDS))
    variance, room = a * b / ((a + b) ** 2 * (a + b + 1)), math.log(2 / ALARM)
    allowed = grain + math.sqrt(2 * variance * room / drawn) + room / (3 * drawn)
    mean, expected = float(ordered.mean()), a / (a + b)
    if abs(mean - expected) > allowed:
        raise LawError(
            f"mean of {what} where Beta({a:g}, {b:g}) is declared: {mean:.4f}, expected {expected:.4f} +- {allowed:.4f}"
        )


@lru_cache(maxsize=4096)
def beta_cdf(x: float, a: float, b: float) -> float:
    """The probability that a number from Beta(a, b) is below ``x``, by the continued fraction of the incomplete Beta function.

    Example:
        >>> beta_cdf(0.3, 1.0, 1.0), round(beta_cdf(0.5, 0.1, 0.1), 9)
        (0.3, 0.5)
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return round(math.exp(front) * _fraction(x, a, b) / a, 12)


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz's method; it takes about as many steps as the root of the larger parameter."""
    c, d = 1.0, 1 / _off_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 20000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / _off_zero(1 + step * d)
            c = _off_zero(1 + step / c)
            value *= d * c
        if abs(d * c - 1) < 1e-14:
            break
    return value


def _off_zero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300


def agreement(first: Tensor, second: Tensor) -> Tensor:
    """Return, for each two draws after one another, whether two numbers move together (1), apart (-1), or one stays (0).

    Its mean is 0 where the two have nothing to do with each other, whatever their distributions.

    Args:
        first: ``(N,)``.
        second: ``(N,)``, drawn with the first.

    Example:
        >>> agreement(torch.tensor([1.0, 2.0, 5.0, 4.0]), torch.tensor([0.0, 3.0, 1.0, 9.0])).tolist()
        [1.0, -1.0]
    """
    even = len(first) - len(first) % 2
    steps = [(values[1:even:2] - values[:even:2]).double().sign() for values in (first, second)]
    return steps[0] * steps[1]
