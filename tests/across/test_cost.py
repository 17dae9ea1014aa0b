"""The model of costs: what it counts, and what follows from it."""

import pytest

from featmix.across.cost import BUDGET, MOST_RANKS, Network, largest, moment_bytes, step_seconds

PLAIN = Network(inside=1e9, outside=1e8, near=0.0, far=0.0, launch=0.0)


def test_bytes_of_moments():
    assert moment_bytes(8, 256) == 8 * 256 * 2 * 4


@pytest.mark.parametrize(("ranks", "seconds"), [(1, 0.0), (2, 1e-3), (8, 7e-3), (16, 7e-3 + 8e-2)])
def test_an_all_gather_by_bandwidth_alone(ranks, seconds):
    assert PLAIN.all_gather(ranks, 1e6) == pytest.approx(seconds)


def test_messages_one_after_the_other():
    slow = Network(near=1.0, far=10.0, launch=100.0)
    assert slow.all_gather(8, 0) == 107
    assert slow.all_gather(64, 0) == 107 + 30
    assert slow.all_reduce(64, 0) == 100 + 14 + 60


def test_backward_costs_as_much_as_forward():
    assert step_seconds(PLAIN, 16, 8, 256) == 2 * step_seconds(PLAIN, 16, 8, 256, gradient=False)


def test_all_ranks_are_gathered_as_long_as_the_model_says():
    assert largest(Network(), BUDGET) == MOST_RANKS
    assert largest(Network(outside=10e9), BUDGET) < MOST_RANKS
