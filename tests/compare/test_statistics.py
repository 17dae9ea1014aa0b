import numpy as np
import pytest
import scipy.stats

from featmix.compare.intervals import Estimate, estimate
from featmix.compare.results import Row
from featmix.compare.statistics import summarize


def row(strategy, seed, held_out, held, seen=0.9, *, site="", error=""):
    if error:
        return Row(strategy, "", site, seed, held_out, error=error)
    return Row(strategy, "", site, seed, held_out, seen, held, 0.1, 0.01)


def test_the_interval_is_scipys():
    values = [0.3, 0.5, 0.45, 0.6]
    found = estimate(values)
    low, high = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
    np.testing.assert_allclose((found.mean, found.low, found.high), (np.mean(values), low, high))


def test_what_is_unknown_is_none_not_zero():
    assert estimate([]) == Estimate(None, None, None, 0)
    assert estimate([0.5]) == Estimate(0.5, None, None, 1)
    assert not estimate([0.5]).excludes_zero


def test_excluding_zero():
    assert Estimate(1, 0.5, 1.5, 3).excludes_zero
    assert Estimate(-1, -1.5, -0.5, 3).excludes_zero
    assert not Estimate(0.1, -0.5, 0.7, 3).excludes_zero
    assert not Estimate(0.0, 0.0, 0.0, 3).excludes_zero


@pytest.fixture
def rows():
    """Seeds differ by far more than strategies do, as they do in life; the paired difference must not see that."""
    values = {0: 0.2, 1: 0.5, 2: 0.8}
    base = [row("none", seed, d, value + shift) for seed, value in values.items() for d, shift in (("a", 0), ("b", 0.1))]
    gains = {0: 0.02, 1: 0.03, 2: 0.04}
    better = [row("moex", r.seed, r.held_out, r.held_out_accuracy + gains[r.seed], site="stem") for r in base]
    return better + base


def test_means_over_domains_then_seeds(rows):
    none, moex = summarize(rows)
    assert (none.label, moex.label) == ("none", "moex")
    assert none.held_out.mean == pytest.approx(0.55)
    assert none.held_out.seeds == 3
    assert none.held_out_difference == Estimate()
    assert moex.by_domain["a"].mean == pytest.approx(0.53)
    assert list(moex.by_domain) == ["a", "b"]
    assert moex.seconds_per_step == 0.01
    assert (moex.runs, moex.failures) == (6, 0)


def test_differences_are_paired(rows):
    _, moex = summarize(rows)
    gain = estimate([0.02, 0.03, 0.04])
    assert moex.held_out_difference.low == pytest.approx(gain.low)
    assert moex.held_out_difference.excludes_zero
    assert not moex.held_out.low > 0.6  # unpaired, the same gain would drown
    assert moex.by_domain_difference["b"].mean == pytest.approx(0.03)


def test_failed_runs_are_left_out_of_both_sides(rows):
    rows = [
        row("moex", 2, "b", 0, site="stem", error="x") if (r.strategy, r.seed, r.held_out) == ("moex", 2, "b") else r
        for r in rows
    ]
    none, moex = summarize(rows)
    assert (moex.runs, moex.failures) == (5, 1)
    assert moex.held_out.seeds == 2
    assert none.held_out.seeds == 3
    assert moex.held_out_difference.seeds == 2
    assert moex.held_out_difference.mean == pytest.approx(0.025)
    assert moex.by_domain["a"].seeds == moex.by_domain["b"].seeds == 2  # the whole seed is left out
    assert none.by_domain["a"].seeds == 3


def test_a_strategy_all_of_whose_runs_failed(rows):
    failed = [row("mixup", seed, d, 0, site="input", error="x") for seed in range(3) for d in "ab"]
    mixup = summarize(rows + failed)[-1]
    assert (mixup.runs, mixup.failures, mixup.held_out, mixup.seconds_per_step) == (0, 6, Estimate(), None)


def test_without_a_baseline_run_there_is_no_difference(rows):
    moex = summarize([r for r in rows if r.strategy == "moex"])[0]
    assert moex.held_out_difference == Estimate()
    assert moex.held_out.seeds == 3


def test_any_strategy_can_be_the_baseline(rows):
    moex, none = summarize(rows, "moex")
    assert (moex.label, moex.held_out_difference) == ("moex", Estimate())
    assert none.held_out_difference.mean == pytest.approx(-0.03)


def test_a_single_domain_has_no_held_out_accuracy():
    rows = [row(name, seed, "", None, seen) for seed in (0, 1) for name, seen in (("none", 0.8), ("mixup", 0.9 + seed / 100))]
    mixup = summarize(rows)[1]
    assert mixup.held_out == Estimate()
    assert mixup.by_domain == {}
    assert mixup.in_domain_difference.mean == pytest.approx(0.105)
    assert mixup.in_domain.seeds == 2
    assert summarize([]) == []
