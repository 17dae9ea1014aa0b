import pytest
import torch

from featmix.layouts import layout
from featmix.normalizers.kinds import normalizer
from featmix.show import moment_maps

X = torch.randn(2, 6, 4, 5, generator=torch.Generator().manual_seed(0)) + 3


def test_images_have_the_moments_over_channels():
    maps = moment_maps(X, layout("bchw"))
    assert torch.allclose(maps.mean, X.mean(1))
    assert torch.allclose(maps.std, X.std(1))
    assert maps.mean.shape == (2, 4, 5)


@pytest.mark.parametrize(
    ("name", "x", "shape"),
    [
        ("bhwc", X.movedim(1, -1), (4, 5)),
        ("bnc", X.flatten(2).mT, (1, 20)),
        ("bcn", X.flatten(2), (1, 20)),
        ("bct", X.flatten(2)[..., :16], (1, 16)),
        ("btc", X.flatten(2)[..., :16].mT, (1, 16)),
        ("bnc", X.flatten(2)[..., :16].mT, (4, 4)),
        ("bc", X[:, :, 0, 0], (1, 1)),
    ],
)
def test_other_layouts_are_laid_out_to_be_looked_at(name, x, shape):
    maps = moment_maps(x, layout(name))
    assert maps.mean.shape == maps.std.shape == (2, *shape)
    reference = X.flatten(2)[..., : shape[0] * shape[1]]
    assert torch.allclose(maps.mean.flatten(1), reference.mean(1))
    assert torch.allclose(maps.std.flatten(1), reference.std(1))


def test_volumes_are_slices_side_by_side():
    x = torch.randn(2, 6, 3, 4, 5)
    maps = moment_maps(x, layout("bcdhw"))
    assert maps.mean.shape == (2, 4, 15)
    for depth in range(3):
        assert torch.allclose(maps.std[:, :, 5 * depth : 5 * depth + 5], x[:, :, depth].std(1))


def test_prefix_tokens_are_no_part_of_the_map():
    x = torch.randn(2, 10, 8)
    assert moment_maps(x, layout("bnc")).mean.shape == (2, 1, 10)
    maps = moment_maps(x, layout("bnc"), prefix=1)
    assert torch.allclose(maps.mean, x[:, 1:].mean(-1).reshape(2, 3, 3))


def test_precision_and_single_channels():
    assert moment_maps(X.double(), layout("bchw")).std.dtype == torch.float64
    assert moment_maps(X.bfloat16(), layout("bchw")).std.dtype == torch.float32
    assert moment_maps(torch.ones(1, 2, 3, 3, dtype=torch.int64), layout("bchw")).mean.eq(1).all()
    assert moment_maps(X[:, :1], layout("bchw")).std.eq(0).all()
    assert moment_maps(torch.zeros(0, 2, 3, 3), layout("bchw")).mean.shape == (0, 3, 3)


def test_other_rows():
    maps = moment_maps(X, layout("bchw"))
    assert torch.equal(maps.take(torch.tensor([1, 0])).std, maps.std.flip(0))


def test_frames_of_volumes_are_laid_side_by_side():
    x = torch.randn(2, 3, 4, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    maps = moment_maps(x, layout("btcdhw"))
    assert maps.mean.shape == (2, 5, 3 * 2 * 6)
    assert torch.allclose(maps.mean[:, :, 6:12], x[:, 0, :, 1].mean(1))


@pytest.mark.parametrize(
    ("norm", "shape", "dims", "over"),
    [
        ("in", (1, 6), (2, 3), "of each channel"),
        ("ln", (1, 1), (1, 2, 3), "of each sample"),
        ("pono", (4, 5), (1,), "over channels"),
    ],
)
def test_maps_are_of_the_moments_that_a_normalizer_takes(norm, shape, dims, over):
    maps = moment_maps(X, layout("bchw"), norm=normalizer(norm))
    assert (maps.mean.shape, maps.std.shape, maps.over) == ((2, *shape), (2, *shape), over)
    assert torch.allclose(maps.mean.flatten(), X.mean(dims).flatten())
    assert torch.allclose(maps.std.flatten(), X.std(dims).flatten())


def test_groups_of_channels_are_one_row():
    maps = moment_maps(X, layout("bchw"), norm=normalizer("gn2"))
    assert torch.allclose(maps.mean[:, 0], X.unflatten(1, (2, 3)).mean((2, 3, 4)))
    assert maps.take(torch.tensor([1])).over == "of each group of channels"
