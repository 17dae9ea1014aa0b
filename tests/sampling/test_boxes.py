import math

import pytest
import torch

from featmix.sampling import boxes as sampling_crops
from featmix.sampling.boxes import channel_orders, crops


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def held(box):
    return (box[..., 1] - box[..., 0]).prod(-1)


@pytest.mark.parametrize("sizes", [(9,), (3, 3), (4, 7), (8, 8), (3, 5, 4)])
def test_every_box_lies_inside_and_holds_a_tenth_and_two_positions(sizes):
    box = crops(2000, sizes, generator(), per="sample")
    assert box.shape == (2000, len(sizes), 2)
    assert box.dtype == torch.int64
    assert bool((box[..., 0] >= 0).all())
    assert bool((box[..., 1] <= torch.tensor(sizes)).all())
    assert bool((held(box) > 0.1 * math.prod(sizes)).all())
    assert bool((held(box) >= 2).all())
    whole = held(box) == math.prod(sizes)
    assert int(whole.sum()) < 100  # only boxes that were drawn


@pytest.mark.parametrize("sizes", [(1,), (2,), (1, 1), (2, 2), (1, 9), (2, 9), (2, 2, 2)])
def test_maps_too_small_for_a_box_are_taken_whole(sizes):
    box = crops(5, sizes, generator(), per="sample")
    assert box.tolist() == [[[0, size] for size in sizes]] * 5


def test_shares_are_those_of_rejection_step_by_step():
    """Against the published loop, with the same numbers of positions: means and deciles of the area that is left."""
    size, count, g = 16, 4000, generator(1)
    measured = held(crops(count, (size, size), generator(), per="sample")).double() / size**2
    expected = []
    while len(expected) < count:
        share = float(torch.rand((), generator=g))
        side = int(size * math.sqrt(share))
        edges = []
        for _ in range(2):
            centre = int(torch.randint(size, (), generator=g))
            edges.append((max(centre - side // 2, 0), min(centre + side // 2, size)))
        area = math.prod(past - first for first, past in edges) / size**2
        if area > 0.1:
            expected.append(area)
    expected = torch.tensor(expected, dtype=torch.float64)
    steps = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    sigma = expected.std() * (2 / count) ** 0.5
    assert abs(measured.mean() - expected.mean()) < 5 * sigma
    torch.testing.assert_close(measured.quantile(steps), expected.quantile(steps), rtol=0, atol=0.05)


def test_one_box_for_the_batch_or_one_each():
    assert len(crops(50, (9, 9), generator()).unique(dim=0)) == 1
    assert len(crops(50, (9, 9), generator(), per="sample").unique(dim=0)) > 20


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_an_empty_batch_has_no_boxes(per):
    assert crops(0, (4, 4), generator(), per=per).shape == (0, 2, 2)


def test_retries_are_bounded(monkeypatch):
    """Where no try succeeds the map is taken whole, instead of trying for ever."""
    monkeypatch.setattr(sampling_crops, "LEAST_SHARE", 1.0)
    assert crops(3, (4, 4), generator()).tolist() == [[[0, 4], [0, 4]]] * 3


def test_channels_are_put_in_one_order_for_all_rows():
    orders = [channel_orders(3, 6, generator(seed)) for seed in range(50)]
    for order in orders:
        assert torch.equal(order.sort(1).values, torch.arange(6).expand(3, 6))
        assert torch.equal(order, order[:1].expand(3, 6))
    first = torch.stack([order[0, 0] for order in orders])
    assert len(first.unique()) == 6


def test_draws_come_from_the_generator_alone():
    before = torch.get_rng_state()
    assert torch.equal(crops(2, (9, 9), generator(3)), crops(2, (9, 9), generator(3)))
    assert torch.equal(channel_orders(2, 9, generator(3)), channel_orders(2, 9, generator(3)))
    assert torch.equal(torch.get_rng_state(), before)
