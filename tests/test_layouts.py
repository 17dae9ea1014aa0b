import pytest
import torch

from featmix.errors import FeatmixError
from featmix.layouts import checked_mask, layout, layouts, resolve_layout


@pytest.mark.parametrize(
    ("name", "channel", "positions", "grid"),
    [
        ("bchw", 1, (2, 3), True),
        ("bhwc", 3, (1, 2), True),
        ("bnc", 2, (1,), False),
        ("bct", 1, (2,), True),
        ("bcdhw", 1, (2, 3, 4), True),
        ("bcn", 1, (2,), False),
        ("btc", 2, (1,), True),
        ("bc", 1, (), False),
    ],
)
def test_axes(name, channel, positions, grid):
    lay = layout(name)
    assert (lay.ndim, lay.channel, lay.positions, lay.grid) == (len(name), channel, positions, grid)


def test_listing_is_sorted_and_complete():
    assert layouts() == ["bc", "bcdhw", "bchw", "bcn", "bct", "bhwc", "bnc", "btc"]


def test_spatial_shape_follows_the_position_axes():
    assert layout("bhwc").spatial_shape((2, 5, 7, 3)) == (5, 7)
    assert layout("bc").spatial_shape((2, 5)) == ()


@pytest.mark.parametrize(("ndim", "name"), [(2, "bc"), (3, "bnc"), (4, "bchw"), (5, "bcdhw")])
def test_without_a_choice_the_number_of_axes_decides(ndim, name):
    assert resolve_layout(None, (2,) * ndim, "x").name == name


@pytest.mark.parametrize("ndim", [0, 1, 6])
def test_other_numbers_of_axes_are_refused(ndim):
    with pytest.raises(FeatmixError, match=r"Who: x: expected a tensor with 2 to 5 axes.*layout="):
        resolve_layout(None, (2,) * ndim, "Who")


def test_a_choice_that_does_not_fit_is_refused():
    with pytest.raises(
        FeatmixError, match=r"Who: x: expected 4 axes as in layout 'bhwc', got shape \(2, 3, 4\)\. Pass the layout"
    ):
        resolve_layout("bhwc", (2, 3, 4), "Who")


def test_unknown_layout_names_the_nearest():
    with pytest.raises(FeatmixError, match=r"layout: .*got 'bcwh'\. Did you mean .*'bchw'"):
        layout("bcwh")


@pytest.mark.parametrize("name", [None, 4, ["bchw"]])
def test_layout_must_be_a_name(name):
    with pytest.raises(FeatmixError, match="the name of a layout"):
        layout(name)


def test_features_without_positions_have_no_mask():
    with pytest.raises(FeatmixError, match="features with positions"):
        checked_mask(torch.ones(3, 1).bool(), layout("bc"), (3, 4), "MoEx")


def test_attention_masks_of_integers_are_masks():
    real = torch.rand(3, 6, generator=torch.Generator().manual_seed(0)) < 0.5
    assert torch.equal(checked_mask(real.long(), layout("bnc"), (3, 6, 4), "MoEx"), real)
