import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featmix.compare.splitting import draw_stratified, split_stratified


@given(st.lists(st.integers(2, 30), min_size=1, max_size=5), st.integers(0, 1000))
def test_a_split_is_a_partition_with_every_class_on_both_sides(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    train, test = split_stratified(labels, np.random.default_rng(seed))
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert set(labels[train]) == set(labels[test]) == set(range(len(counts)))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(1, 60), st.integers(0, 1000))
def test_few_of_many_keep_the_proportions(counts, limit, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    drawn = draw_stratified(labels, limit, np.random.default_rng(seed))
    assert len(drawn) == len(set(drawn)) == min(limit, len(labels))
    for label, count in enumerate(counts):
        fair = count * len(drawn) / len(labels)
        assert abs((labels[drawn] == label).sum() - fair) <= len(counts)


def test_the_seed_decides():
    labels = np.repeat([0, 1, 2], 20)
    first, again, other = (split_stratified(labels, np.random.default_rng(seed))[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


@pytest.mark.parametrize("limit", [None, 6, 100])
def test_no_limit_draws_all(limit):
    np.testing.assert_array_equal(draw_stratified(np.zeros(6), limit, np.random.default_rng(0)), np.arange(6))
