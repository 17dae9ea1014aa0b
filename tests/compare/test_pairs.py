"""All pairs against scipy and against one another."""

import numpy as np
import pytest
import scipy.stats

from featmix.compare.intervals import Interval, Spread, estimate
from featmix.compare.pairs import holm, pairwise, seeds_needed
from featmix.compare.results import Row

ACCURACY = {
    "none": [0.50, 0.61, 0.42, 0.55],
    "moex": [0.56, 0.66, 0.50, 0.60],
    "mixup": [0.50, 0.58, 0.45, 0.54],
}


@pytest.fixture
def rows():
    return [
        Row(name, "", "", seed, held_out, 0.9, value + shift, 0.1, 0.01)
        for name, values in ACCURACY.items()
        for seed, value in enumerate(values)
        for held_out, shift in (("a", 0), ("b", 0.1))
    ]


def test_every_pair_is_there_once_with_scipys_test(rows):
    pairs = pairwise(rows)
    assert [(pair.first, pair.second) for pair in pairs] == [("none", "moex"), ("none", "mixup"), ("moex", "mixup")]
    for pair in pairs:
        first, second = np.array(ACCURACY[pair.first]), np.array(ACCURACY[pair.second])
        assert pair.difference.mean == pytest.approx((first - second).mean())
        assert pair.p == pytest.approx(scipy.stats.ttest_rel(first, second).pvalue)
        assert pair.difference.low == pytest.approx(estimate(list(first - second)).low)
        assert pair.decided == (pair.adjusted < 0.05)


def test_p_goes_with_the_interval(rows):
    for interval in (Interval(), Interval("satterthwaite"), Interval("nadeau-bengio", 0.3)):
        for pair in pairwise(rows, interval=interval):
            assert (pair.p < 0.05) == pair.difference.excludes_zero
    plain, corrected = (pairwise(rows, interval=one)[0] for one in (Interval(), Interval("nadeau-bengio", 0.3)))
    assert corrected.p > plain.p
    assert corrected.difference.mean == plain.difference.mean


def test_holm():
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    assert holm([0.01, 0.02, 0.02, 0.9]) == pytest.approx([0.04, 0.06, 0.06, 0.9])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_correction_counts_the_pairs_that_were_tested(rows):
    pairs = pairwise(rows)
    assert [pair.adjusted for pair in pairs] == pytest.approx(holm([pair.p for pair in pairs]))
    assert min(pair.adjusted for pair in pairs) == pytest.approx(3 * min(pair.p for pair in pairs))


def test_a_failed_run_leaves_its_seed_out_of_its_pairs_alone(rows):
    failed = ("moex", 1, "a")
    rows = [
        Row(r.strategy, "", "", r.seed, r.held_out, error="x") if (r.strategy, r.seed, r.held_out) == failed else r
        for r in rows
    ]
    seeds = {(pair.first, pair.second): pair.difference.seeds for pair in pairwise(rows)}
    assert seeds == {("none", "moex"): 3, ("none", "mixup"): 4, ("moex", "mixup"): 3}


def test_seeds_needed_are_the_least_that_suffice():
    deviation = np.std([0.0, 0.02, 0.04, 0.01], ddof=1)
    found = seeds_needed(Spread(deviation**2))

    def half(count):
        return scipy.stats.t.ppf(0.975, count - 1) * deviation / count**0.5

    assert half(found) <= 0.01 < half(found - 1)
    assert seeds_needed(Spread(0.4)) is None  # more than ten thousand
    assert seeds_needed(Spread(0.0004, shared=1.0)) is None  # no number averages out what splits share
    assert seeds_needed(Spread(0.0)) == 2


def test_what_is_not_known_is_none(rows):
    one = pairwise([row for row in rows if row.seed == 0])
    assert {(pair.p, pair.adjusted, pair.seeds_needed) for pair in one} == {(None, None, None)}
    assert pairwise([]) == []
    same = [Row(name, "", "", seed, "", 0.5, None, 0.1, 0.01) for name in ("none", "moex") for seed in range(3)]
    (pair,) = pairwise(same, "in_domain")
    assert (pair.difference.mean, pair.p, pair.decided) == (0.0, 1.0, False)
