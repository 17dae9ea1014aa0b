"""Mosaic: which sample is in which tile, with which part of it, and whose label it is."""

import pytest
import torch

import featmix as fm

ROWS = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 2, 6, 8)
PLACES = torch.arange(48.0).view(1, 1, 6, 8).expand(5, 1, 6, 8)


def drawn(partner, **settings):
    strategy = fm.Mosaic(scope=(0.5, 0.5), **settings)
    return strategy, strategy.make_params((5, 2, 6, 8), partner=torch.tensor(partner))


def test_each_tile_has_the_next_partner_with_a_corner_at_the_centre():
    strategy, params = drawn([1, 2, 3, 4, 0])
    y, places = strategy.transform(ROWS, params), strategy.transform(PLACES, params)
    for row in range(5):
        tiles = [y[row, 0, :3, :4], y[row, 0, :3, 4:], y[row, 0, 3:, :4], y[row, 0, 3:, 4:]]
        assert [tile.unique().tolist() for tile in tiles] == [[(row + k) % 5] for k in range(4)]
    assert torch.equal(places[0, 0], PLACES[0, 0].roll((3, 4), (0, 1)))
    assert torch.equal(params.mixture.matrix()[0], torch.tensor([0.25, 0.25, 0.25, 0.25, 0]))
    assert torch.equal(params.lam, torch.full((5,), 0.25))


def test_where_partners_lead_back_a_sample_is_in_two_tiles_and_counts_twice():
    strategy, params = drawn([1, 0, 2, 4, 3])
    assert torch.equal(params.mixture.matrix()[0], torch.tensor([0.5, 0.5, 0, 0, 0]))
    assert params.lam.tolist() == [0.5, 0.5, 1, 0.5, 0.5]
    assert torch.equal(strategy.transform(PLACES, params)[2], PLACES[2])  # its own partner stays as it is


def test_the_centre_lies_within_the_scope_for_the_batch_or_for_each():
    for per, most in (("batch", 1), ("sample", 40)):
        params = fm.Mosaic(scope=(0.25, 0.5), lam_per=per).make_params((40, 1, 100, 60))
        share = params.centre / torch.tensor([100, 60])
        assert 0.25 <= share.min() <= share.max() <= 0.5
        assert (len(params.centre.unique(dim=0)) > 20) == (most > 1)


@pytest.mark.parametrize(("layout", "shape", "tiles"), [("bct", (8, 2, 9), 2), ("bcdhw", (9, 1, 4, 4, 4), 8)])
def test_sequences_have_two_tiles_and_volumes_eight(layout, shape, tiles):
    strategy = fm.Mosaic(layout=layout, scope=(0.5, 0.5))
    params = strategy.make_params(shape, partner=torch.arange(shape[0]).roll(-1))
    x = torch.arange(float(shape[0])).view(-1, *[1] * (len(shape) - 1)).expand(shape)
    assert strategy.transform(x, params)[0].unique().tolist() == [*range(tiles)]
    share = [(strategy.transform(x, params)[0] == k).float().mean().item() for k in range(shape[0])]
    assert params.mixture.matrix()[0].tolist() == pytest.approx(share, abs=1e-6)


def test_label_maps_go_the_same_way_at_the_images_own_size():
    strategy, params = drawn([1, 2, 3, 4, 0])
    maps = (PLACES[:, 0] + 100 * ROWS[:, 0]).long()
    assert torch.equal(strategy.dense_targets(maps, params), strategy.transform(maps.unsqueeze(1), params)[:, 0])
    with pytest.raises(fm.FeatmixError, match=r"target_map: expected label maps .* positions \(6, 8\), got shape \(5, 3, 4\)"):
        strategy.dense_targets(maps[:, ::2, ::2], params)


@pytest.mark.parametrize(
    ("scope", "message"), [((0.8, 0.2), "low <= high"), ((0, 2), "number in"), ("ab", "a pair"), (1, "pair")]
)
def test_a_scope_is_two_shares(scope, message):
    with pytest.raises(fm.FeatmixError, match=f"Mosaic: scope: .*{message}"):
        fm.Mosaic(scope=scope)
