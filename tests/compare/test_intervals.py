"""The three intervals against scipy, by hand, and by how often they cover the truth."""

import numpy as np
import pytest
import scipy.stats

from featmix import FeatmixError
from featmix.compare.intervals import COVERS, Interval, complete_seeds, differences

DOMAINS = ["a", "b", "c"]


def cells(values):
    return {(seed, domain): value for seed, line in enumerate(values) for domain, value in zip(DOMAINS, line, strict=True)}


@pytest.fixture
def values():
    return np.random.default_rng(0).normal([0.1, 0.2, 0.6], [0.001, 0.01, 0.1], (6, 3))


def test_the_plain_one_is_scipys_over_means_of_seeds(values):
    means = values.mean(1)
    found = Interval().estimate(cells(values), DOMAINS)
    low, high = scipy.stats.t.interval(0.95, 5, means.mean(), scipy.stats.sem(means))
    np.testing.assert_allclose((found.mean, found.low, found.high, found.seeds), (means.mean(), low, high, 6))


def test_satterthwaite_adds_up_the_variances_of_domains(values):
    found = Interval("satterthwaite").estimate(cells(values), DOMAINS)
    variances = values.var(0, ddof=1) / 6
    freedom = variances.sum() ** 2 / (variances**2 / 5).sum()
    half = scipy.stats.t.ppf(0.975, freedom) * np.sqrt(variances.sum()) / 3
    np.testing.assert_allclose((found.mean, found.high - found.mean), (values.mean(), half))


def test_satterthwaite_of_one_domain_is_the_plain_one(values):
    one = {cell: value for cell, value in cells(values).items() if cell[1] == "b"}
    plain, other = (Interval(kind).estimate(one, ["b"]) for kind in ("seeds", "satterthwaite"))
    assert (other.low, other.high) == pytest.approx((plain.low, plain.high))


def test_nadeau_and_bengio_widen_by_the_share_that_is_tested(values):
    plain = Interval().estimate(cells(values), DOMAINS)
    found = Interval("nadeau-bengio", 0.3).estimate(cells(values), DOMAINS)
    assert (found.high - found.mean) / (plain.high - plain.mean) == pytest.approx(np.sqrt((1 / 6 + 3 / 7) / (1 / 6)))


@pytest.mark.parametrize("kind", ["seeds", "satterthwaite"])
def test_of_a_hundred_intervals_about_ninety_five_cover_the_truth(kind):
    drawn = np.random.default_rng(1).normal([0.1, 0.2, 0.6], [0.01, 0.02, 0.1], (600, 6, 3))
    covered = 0
    for values in drawn:
        found = Interval(kind).estimate(cells(values), DOMAINS)
        covered += found.low <= 0.3 <= found.high
    assert 0.92 <= covered / 600 <= 0.98


def test_a_seed_without_all_domains_does_not_count(values):
    torn = cells(values)
    del torn[3, "b"]
    assert len(complete_seeds(torn, DOMAINS)) == 5
    for kind in ("seeds", "satterthwaite"):
        assert Interval(kind).estimate(torn, DOMAINS).seeds == 5
    assert set(differences(torn, cells(values))) == set(torn)


def test_what_does_not_vary_has_no_width():
    for kind in COVERS:
        found = Interval(kind, 0.3).estimate(cells(np.full((4, 3), 0.5)), DOMAINS)
        assert (found.low, found.high) == (0.5, 0.5)


def test_one_seed_has_no_interval():
    for kind in COVERS:
        found = Interval(kind, 0.3).estimate(cells([[0.1, 0.2, 0.3]]), DOMAINS)
        assert (found.mean, found.low, found.seeds) == (pytest.approx(0.2), None, 1)


def test_what_is_refused():
    with pytest.raises(FeatmixError, match="satterthwaite"):
        Interval("satterthwait")
    with pytest.raises(FeatmixError, match="the same for all seeds"):
        Interval("nadeau-bengio", None)
