import subprocess
import sys

import pytest
import torch

import featmix as fm
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
        ("btchw", 2, (1, 3, 4), True),
        ("bcft", 1, (2, 3), True),
        ("btnc", 3, (1, 2), False),
        ("bxyczqw", 3, (1, 2, 4, 5, 6), True),
    ],
)
def test_axes(name, channel, positions, grid):
    lay = layout(name)
    assert (lay.ndim, lay.channel, lay.positions, lay.grid) == (len(name), channel, positions, grid)


def test_listing_is_sorted_and_complete():
    assert layouts() == ["bc", "bcdhw", "bchw", "bcn", "bct", "bhwc", "bnc", "btc", "btchw"]


def test_a_layout_is_made_once():
    assert layout("bcqz") is layout("bcqz")


def test_axes_by_their_letters():
    assert layout("bcft").axes("tc") == (1, 3)
    assert layout("bcft").letters((1, 3)) == "ct"


def test_spatial_shape_follows_the_position_axes():
    assert layout("bhwc").spatial_shape((2, 5, 7, 3)) == (5, 7)
    assert layout("bc").spatial_shape((2, 5)) == ()


@pytest.mark.parametrize(("ndim", "name"), [(2, "bc"), (3, "bnc"), (4, "bchw"), (5, "bcdhw")])
def test_without_a_choice_the_number_of_axes_decides(ndim, name):
    assert resolve_layout(None, (2,) * ndim, "x").name == name


@pytest.mark.parametrize("ndim", [0, 1])
def test_too_few_axes_are_told_what_features_have(ndim):
    with pytest.raises(FeatmixError, match=r"Who: x: expected 2 to 5 axes.*a batch axis and a channel axis.*unsqueeze"):
        resolve_layout(None, (2,) * ndim, "Who")


@pytest.mark.parametrize("ndim", [6, 7])
def test_more_axes_are_told_to_name_them(ndim):
    with pytest.raises(FeatmixError, match=rf"Who: x: expected 2 to 5 axes.*Name all {ndim} axes with layout=.*'btcdhw'"):
        resolve_layout(None, (2,) * ndim, "Who")
    assert resolve_layout("btcdhw", (2,) * 6, "Who").channel == 2


@pytest.mark.parametrize(
    ("shape", "fix"), [((2, 3, 4), "layout='bnc'"), ((2,), "a batch axis and a channel axis"), ((2,) * 6, "Name all 6 axes")]
)
def test_a_choice_that_does_not_fit_is_refused(shape, fix):
    with pytest.raises(FeatmixError, match=rf"Who: x: expected 4 axes as in layout 'bhwc', got shape \(.*{fix}"):
        resolve_layout("bhwc", shape, "Who")


@pytest.mark.parametrize("name", ["bhw", "bcch", "bchh", "chw", "cb", "b", "c", "", "BCHW", "bc h", "bc1", "bc*", "bcé"])
def test_what_names_no_layout_is_refused(name):
    with pytest.raises(
        FeatmixError, match=r"layout: expected 'b', then a lower-case letter for each axis.*exactly one of them 'c'"
    ):
        layout(name)


@pytest.mark.parametrize("name", [None, 4, ["bchw"]])
def test_layout_must_be_a_name(name):
    with pytest.raises(FeatmixError, match="the name of a layout"):
        layout(name)


@pytest.mark.parametrize("name", ["bc*", "b*c", {"a": 1}, "bhw"])
def test_strategies_and_normalizers_take_what_is_a_layout(name):
    for make in (fm.Mixup, fm.MoEx, fm.CutMix, lambda layout: fm.normalizer("pono", layout=layout)):
        with pytest.raises(FeatmixError, match="layout: expected"):
            make(layout=name)


def test_features_without_positions_have_no_mask():
    with pytest.raises(FeatmixError, match="features with positions"):
        checked_mask(torch.ones(3, 1).bool(), layout("bc"), (3, 4), "MoEx")


def test_attention_masks_of_integers_are_masks():
    real = torch.rand(3, 6, generator=torch.Generator().manual_seed(0)) < 0.5
    assert torch.equal(checked_mask(real.long(), layout("bnc"), (3, 6, 4), "MoEx"), real)


def test_a_compiler_can_be_the_first_to_use_a_layout():
    code = (
        "import torch, featmix as fm\n"
        "strategy, x = fm.MoEx('pono'), torch.randn(4, 3, 5, 5)\n"
        "params = strategy.make_params((4,))\n"
        "graph = torch.compile(lambda x: strategy.transform(x, params), fullgraph=True, backend='eager')\n"
        "assert torch.allclose(graph(x), strategy.transform(x, params), atol=1e-5)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
