import math

import numpy as np
import pytest
from scipy import stats
from torch import Generator

from featmix.sampling import boxes as boxing
from featmix.sampling.boxes import area_of, boxes, boxes_inside, channel_orders, crops
from featmix.sampling.draws import stream


def seeded(seed=0):
    return stream(Generator().manual_seed(seed))


@pytest.mark.parametrize("sizes", [(17,), (9, 14), (1, 1), (8, 5, 12)])
def test_boxes_lie_in_the_map_and_have_the_side_of_the_paper(sizes):
    n, d = 500, len(sizes)
    lam = seeded().random(n)
    box = boxes(seeded(1), sizes, lam)
    assert box.shape == (n, d, 2)
    assert box.dtype == np.int64
    for k, size in enumerate(sizes):
        first, past = box[:, k].T
        side = np.array([int(size * (1 - share) ** (1 / d)) for share in lam])
        assert ((first >= 0) & (first <= past) & (past <= size)).all()
        clipped = (first == 0) | (past == size)
        assert (past - first <= side // 2 * 2).all()
        assert np.array_equal((past - first)[~clipped], (side // 2 * 2)[~clipped])
        assert (past - first >= side // 2).all()  # the centre lies in the map, so that half a box does


def test_centres_are_uniform():
    box = boxes(seeded(), (8,), np.full(8000, 0.5))[:, 0]
    centre = np.where(box[:, 0] > 0, box[:, 0] + 2, box[:, 1] - 2)  # side 4
    assert stats.chisquare(np.bincount(centre, minlength=8)).pvalue > 1e-3


def test_lam_1_is_an_empty_box_and_lam_0_may_be_the_whole_map():
    empty = boxes(seeded(), (6, 6), np.ones(50))
    assert (empty[..., 0] == empty[..., 1]).all()
    full = boxes(seeded(), (6, 6), np.zeros(500))
    assert (full == np.array([0, 6])).all((1, 2)).any()


def test_each_box_has_a_centre_of_its_own():
    assert len(np.unique(boxes(seeded(), (32, 32), np.full(40, 0.5)), axis=0)) > 10


@pytest.mark.parametrize("sizes", [(16,), (9, 14), (5, 6, 7)])
def test_a_single_box_is_made_as_one_of_many_is(sizes):
    """The same numbers give the same edges, whichever way they are computed."""
    random, other = seeded(), seeded()
    for lam in seeded(1).random(200):
        one = boxes(random, sizes, np.array([lam]))
        drawn = other.random(len(sizes))
        side = [int(size * (1 - lam) ** (1 / len(sizes))) // 2 for size in sizes]
        centre = [int(size * u) for size, u in zip(sizes, drawn, strict=True)]
        edges = [[max(c - h, 0), min(c + h, size)] for c, h, size in zip(centre, side, sizes, strict=True)]
        assert one.tolist() == [edges]
        assert one.dtype == np.int64


def test_boxes_of_an_empty_batch():
    assert boxes(seeded(), (4, 4), np.empty(0)).shape == (0, 2, 2)


def test_the_area_of_boxes_is_how_many_positions_they_hold():
    box = boxes(seeded(), (9, 14), seeded(1).random(50))
    held = np.zeros((50, 9, 14))
    for row, ((top, bottom), (left, right)) in enumerate(box.tolist()):
        held[row, top:bottom, left:right] = 1
    assert np.array_equal(area_of(box), held.sum((1, 2)))


def test_boxes_stay_inside_and_reach_every_place():
    box = boxes_inside(seeded(), (7, 5), np.full(3000, 0.4))
    assert box.dtype == np.int64
    assert np.unique(box[..., 1] - box[..., 0], axis=0).tolist() == [[2, 2]]
    assert np.unique(box[:, 0, 0]).tolist() == list(range(6))
    assert np.unique(box[:, 1, 0]).tolist() == list(range(4))


def test_boxes_inside_hold_a_position_at_least_and_the_map_at_most():
    scale = np.array([1e-6, 0.5, 1.0])
    box = boxes_inside(seeded(), (7, 5), scale)
    assert (box[..., 1] - box[..., 0]).tolist() == [[1, 1], [3, 2], [7, 5]]
    assert box[2].tolist() == [[0, 7], [0, 5]]


@pytest.mark.parametrize("sizes", [(9,), (3, 3), (4, 7), (8, 8), (3, 5, 4)])
def test_every_crop_lies_inside_and_holds_a_tenth_and_two_positions(sizes):
    box = crops(seeded(), 2000, sizes)
    assert box.shape == (2000, len(sizes), 2)
    assert box.dtype == np.int64
    assert (box[..., 0] >= 0).all()
    assert (box[..., 1] <= np.array(sizes)).all()
    assert (area_of(box) > 0.1 * math.prod(sizes)).all()
    assert (area_of(box) >= 2).all()
    whole = area_of(box) == math.prod(sizes)
    assert whole.sum() < 100  # only boxes that were drawn


@pytest.mark.parametrize("sizes", [(1,), (2,), (1, 1), (2, 2), (1, 9), (2, 9), (2, 2, 2)])
def test_maps_too_small_for_a_crop_are_taken_whole(sizes):
    box = crops(seeded(), 5, sizes)
    assert box.tolist() == [[[0, size] for size in sizes]] * 5


def test_shares_are_those_of_rejection_step_by_step():
    """Against the published loop, with the same numbers of positions: means and deciles of the area that is left."""
    size, count, random = 16, 4000, seeded(1)
    measured = area_of(crops(seeded(), count, (size, size))) / size**2
    expected = []
    while len(expected) < count:
        share = random.random()
        side = int(size * math.sqrt(share))
        edges = []
        for _ in range(2):
            centre = int(random.integers(size))
            edges.append((max(centre - side // 2, 0), min(centre + side // 2, size)))
        area = math.prod(past - first for first, past in edges) / size**2
        if area > 0.1:
            expected.append(area)
    expected = np.array(expected)
    steps = np.linspace(0.1, 0.9, 9)
    sigma = expected.std() * (2 / count) ** 0.5
    assert abs(measured.mean() - expected.mean()) < 5 * sigma
    np.testing.assert_allclose(np.quantile(measured, steps), np.quantile(expected, steps), rtol=0, atol=0.05)


def test_each_crop_has_a_place_of_its_own():
    assert len(np.unique(crops(seeded(), 50, (9, 9)), axis=0)) > 20


def test_an_empty_batch_has_no_crops():
    assert crops(seeded(), 0, (4, 4)).shape == (0, 2, 2)


def test_retries_are_bounded(monkeypatch):
    """Where no try succeeds the map is taken whole, instead of trying for ever."""
    monkeypatch.setattr(boxing, "LEAST_SHARE", 1.0)
    assert crops(seeded(), 3, (4, 4)).tolist() == [[[0, 4], [0, 4]]] * 3


def test_channels_are_put_in_one_order_for_all_rows():
    orders = [channel_orders(seeded(seed), 3, 6) for seed in range(50)]
    for order in orders:
        assert np.array_equal(np.sort(order, axis=1), np.tile(np.arange(6), (3, 1)))
        assert np.array_equal(order, np.tile(order[:1], (3, 1)))
    first = np.array([order[0, 0] for order in orders])
    assert len(np.unique(first)) == 6
