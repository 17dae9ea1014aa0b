import numpy as np
import pytest
import torch
from scipy import stats

from featmix.sampling.masks import blocks, boxes_inside, largest_share, smooth_fields, unequal_beta


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("a", "b"), [(2.0, 1.0), (1.2, 0.2), (0.5, 3.0)])
def test_unequal_beta_is_beta(a, b):
    drawn = unequal_beta(4000, a, b, per="sample", generator=generator())
    assert stats.kstest(drawn.numpy(), stats.beta(a, b).cdf).pvalue > 1e-3


def test_one_strength_for_the_batch():
    drawn = unequal_beta(5, 2.0, 1.0, per="batch", generator=generator())
    assert len(drawn.unique()) == 1
    assert drawn.shape == (5,)
    assert unequal_beta(3, 1.0, 0.0, per="sample").tolist() == [1, 1, 1]


def test_amplitude_falls_with_frequency():
    size, decay = 32, 2.0
    fields = smooth_fields(4000, (size, size), decay, generator=generator())
    power = torch.fft.rfft2(fields).abs().square().mean(0)
    radius = (torch.fft.fftfreq(size).view(-1, 1) ** 2 + torch.fft.rfftfreq(size) ** 2).sqrt()
    inner = (slice(1, size // 2), slice(1, size // 2))  # the edges of a half spectrum are seen twice, or once
    slope = np.polyfit(radius[inner].log().flatten(), power[inner].log().flatten(), 1)[0]
    assert abs(slope + 2 * decay) < 0.05


def test_the_published_spectrum_has_two_frequencies_along_the_last_axis():
    fields = smooth_fields(50, (16, 16), 3.0, spectrum="published", generator=generator())
    along = torch.fft.rfft(fields, dim=2).abs().square().mean((0, 1))
    assert float(along[2:].sum() / along.sum()) < 1e-20
    intended = torch.fft.rfft(smooth_fields(50, (16, 16), 3.0, generator=generator()), dim=2).abs().square().mean((0, 1))
    assert float(intended[2:].sum() / intended.sum()) > 1e-3


@pytest.mark.parametrize("sizes", [(1, 9), (9, 1), (1, 1), (7,), (1,), (3, 4, 5)])
@pytest.mark.parametrize("spectrum", ["intended", "published"])
def test_fields_of_any_size(sizes, spectrum):
    fields = smooth_fields(3, sizes, 3.0, spectrum=spectrum, generator=generator())
    assert fields.shape == (3, *sizes)
    assert bool(fields.isfinite().all())


def test_the_largest_entries_are_chosen_and_the_count_is_fair():
    field = torch.arange(10.0).view(1, 10).expand(4000, 10)
    chosen = largest_share(field, torch.full((4000,), 0.25), generator=generator())
    count = chosen.sum(1)
    assert set(count.tolist()) == {2.0, 3.0}
    assert abs(float(count.mean()) - 2.5) < 0.05
    assert bool((chosen.diff(dim=1) >= 0).all())  # never a smaller entry before a larger one


def test_a_soft_edge_is_a_ramp_with_the_same_mean():
    share = torch.tensor([0.3, 0.5, 0.9])
    soft = largest_share(torch.randn(3, 200, generator=generator()), share, soft=0.1, generator=generator())
    assert bool(((soft.mean(1) - share).abs() < 1 / 200 + 1e-9).all())
    assert bool(((soft > 0) & (soft < 1)).any(1).all())


def test_blocks_have_the_density_that_gamma_says():
    side, size, gamma = 3, 16, 0.5
    seeds = gamma * (size / (side * (size - side + 1))) ** 2
    changed = blocks(4000, (size, size), gamma, side, generator()).double()
    inside = float(changed[:, 2:-2, 2:-2].mean())
    assert abs(inside - (1 - (1 - seeds) ** (side * side))) < 0.01


def test_blocks_larger_than_the_map_are_cut_to_an_odd_side():
    assert blocks(3, (4, 6), 1.0, 7, generator()).shape == (3, 4, 6)
    assert bool(blocks(3, (3, 3), 1.0, 7, generator()).all())  # a side of 3, and every position a seed
    assert not bool(blocks(3, (4, 6), 0.0, 7, generator()).any())


def test_boxes_stay_inside_and_reach_every_place():
    box = boxes_inside(3000, (7, 5), torch.full((3000,), 0.4), generator())
    assert (box[..., 1] - box[..., 0]).unique(dim=0).tolist() == [[2, 2]]
    assert box[:, 0, 0].unique().tolist() == list(range(6))
    assert box[:, 1, 0].unique().tolist() == list(range(4))
