"""The findings in sentences, each with its interval, whether positive or negative."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from featmix.compare.contenders import BASELINE
from featmix.compare.escaping import shown_labels
from featmix.compare.intervals import Estimate
from featmix.compare.pairs import Pair, pairwise
from featmix.compare.results import Row
from featmix.probe.findings import Finding

_METRICS = {"held_out": "in the held-out style", "in_domain": "on images like those of training"}


def against_baseline(rows: Sequence[Row], baseline: str = BASELINE) -> list[str]:
    """Return a sentence per strategy and metric: its difference to the baseline, after Holm's correction for all pairs."""
    names = _names(rows, baseline)
    said = []
    for metric, where in _METRICS.items():
        for pair in pairwise(rows, metric):
            if baseline in (pair.first, pair.second) and pair.difference.mean is not None:
                other = pair.first if pair.second == baseline else pair.second
                difference = pair.difference if pair.second == baseline else _turned(pair.difference)
                said.append(f"{names[other]} against {names[baseline]} {where}: {_verdict(difference, pair)}.")
    return said


def best(rows: Sequence[Row], metric: str = "held_out") -> str:
    """Return a sentence with the best strategy, and the others that do not differ significantly from it."""
    pairs = pairwise(rows, metric)
    totals: dict[str, float] = {}
    for pair in pairs:
        if pair.difference.mean is not None:
            totals[pair.first] = totals.get(pair.first, 0.0) + pair.difference.mean
            totals[pair.second] = totals.get(pair.second, 0.0) - pair.difference.mean
    if not totals:
        return ""
    names = _names(rows, BASELINE)
    first = max(totals, key=lambda label: totals[label])
    told_apart = [{pair.first, pair.second} for pair in pairs if pair.decided]
    unlike = [label for label in totals if {first, label} in told_apart]
    like = [names[label] for label in totals if label != first and label not in unlike]
    told = f"; {', '.join(like)} {_do(like)} not differ significantly from it" if like else "; all others differ significantly"
    return f"{names[first]} is highest {_METRICS[metric]}{told}."


def in_one(rows: Sequence[Row], baseline: str = BASELINE) -> str:
    """Return one sentence on all strategies: which are better than the baseline, which worse, and which neither.

    The metric is accuracy in the held-out domain, or where there is none, in the domain of training.
    """
    metric = next(iter(_METRICS if any(row.held_out for row in rows) else list(_METRICS)[1:]))
    names = _names(rows, baseline)
    groups: dict[str, list[tuple[float, str]]] = {"better": [], "worse": [], "not significantly different": []}
    for pair in pairwise(rows, metric):
        if baseline in (pair.first, pair.second) and pair.difference.mean is not None:
            other = pair.first if pair.second == baseline else pair.second
            difference = pair.difference if pair.second == baseline else _turned(pair.difference)
            mean = difference.mean or 0.0
            kind = "not significantly different" if not pair.decided else "better" if mean > 0 else "worse"
            groups[kind].append((-mean, f"{names[other]} {_points(difference)}"))
    told = [f"{', '.join(text for _, text in sorted(found))} {_be(found)} {kind}" for kind, found in groups.items() if found]
    return f"Against {names[baseline]} {_METRICS[metric]}, in points: {'; '.join(told)}."


def of_moments(found: Sequence[Finding]) -> str:
    """Return one sentence on the first layer of the trained network, by normalizer."""
    trained = [one for one in found if one.network == "trained"]
    first = [one for one in trained if one.site == trained[0].site]
    told = [f"{one.norm} {_percent(one.moments)} ({_percent(one.normalized)} without them)" for one in first]
    whole, chance = _percent(trained[0].whole), 100 * trained[0].chance
    return f"At {trained[0].site}, accuracy from moments alone: {', '.join(told)}; from all {whole}; chance is {chance:.1f} %."


def of_probe(found: Sequence[Finding]) -> list[str]:
    """Return a sentence per layer of the trained network and normalizer."""
    return [
        f"At {one.site}, {one.norm}: moments alone {_percent(one.moments)}, normalized features {_percent(one.normalized)}, "
        f"all {_percent(one.whole)}; chance is {100 * one.chance:.1f} %."
        for one in found
        if one.network == "trained"
    ]


def _names(rows: Sequence[Row], baseline: str) -> dict[str, str]:
    """Return how strategies are called, by label: with their site, where one is at several."""
    names, sites = dict(shown_labels([baseline, *(row.label for row in rows)])), defaultdict(set)
    for row in rows:
        sites[row.strategy, row.settings].add(row.site)
    for row in rows:
        if len(sites[row.strategy, row.settings]) > 1 and not names[row.label].endswith(f"@{row.site}"):
            names[row.label] += f"@{row.site}"
    return names


def _small(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _do(found: Sequence[object]) -> str:
    return "does" if len(found) == 1 else "do"


def _be(found: Sequence[object]) -> str:
    return "is" if len(found) == 1 else "are"


def _verdict(difference: Estimate, pair: Pair) -> str:
    if difference.mean is None:
        return "nothing was measured"
    told = "" if pair.adjusted is None else f" (p {_small(pair.adjusted)})"
    verdict = "better" if difference.mean > 0 else "worse"
    return f"{_points(difference)} points{told}, " + (verdict if pair.decided else "not significant")


def _points(difference: Estimate) -> str:
    if difference.mean is None:
        return "unknown"
    half = "" if difference.high is None else f" ±{100 * (difference.high - difference.mean):.1f}"
    return f"{100 * difference.mean:+.1f}{half}"


def _turned(estimate: Estimate) -> Estimate:
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return Estimate(None if estimate.mean is None else -estimate.mean, seeds=estimate.seeds)
    return Estimate(-estimate.mean, -estimate.high, -estimate.low, estimate.seeds)


def _percent(estimate: Estimate) -> str:
    if estimate.mean is None:
        return "unknown"
    half = "" if estimate.high is None else f" ±{100 * (estimate.high - estimate.mean):.1f}"
    return f"{100 * estimate.mean:.1f}{half} %"
