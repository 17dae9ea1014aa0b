"""timm's boxes: inside the map, of the sides asked for; that they are distributed as timm's is in tests/trainers."""

import numpy as np
import pytest

from featmix.sampling.draws import stream
from featmix.sampling.timm_boxes import boxes_between, whole_boxes


def sides(box):
    return box[..., 1] - box[..., 0]


def test_an_odd_side_is_whole_where_the_border_does_not_clip():
    lam = np.full(300, 1 - (5 / 11) ** 2 - 1e-9)  # sides of 5 of 11, whose halves are 2 and 3
    box = whole_boxes(stream(), (11, 11), lam)
    inside = (box[..., 0] > 0) & (box[..., 1] < 11)
    assert set(sides(box)[inside]) == {5}
    assert set(sides(box).ravel()) == {3, 4, 5}
    assert box.min() == 0
    assert box.max() == 11


@pytest.mark.parametrize(("lam", "area"), [(1.0, 0), (0.0, None)])
def test_ends(lam, area):
    held = sides(whole_boxes(stream(), (6, 4), np.full(200, lam))).prod(-1)
    if area is None:
        assert held.max() == 24  # all of the map, where the centre is its middle
        assert held.min() == 3 * 2
    else:
        assert set(held) == {area}


def test_sides_of_a_range_and_places_anywhere():
    box = boxes_between(stream(), (20, 10), 2000, 0.2, 0.5)
    assert set(sides(box)[:, 0]) == {4, 5, 6, 7, 8, 9}
    assert set(sides(box)[:, 1]) == {2, 3, 4}
    assert box.min() == 0
    assert set(box[:, 0, 1]) >= {4, 20}
    assert box[:, 0].max() == 20
    assert box[:, 1].max() == 10


def test_a_range_without_a_side_in_it_gives_the_least():
    assert set(sides(boxes_between(stream(), (3, 8), 50, 0.4, 0.5)).ravel().tolist()) == {1, 3}
