import numpy as np
import pytest
from torch import Generator

from featmix.sampling.draws import stream
from featmix.sampling.masks import blocks, largest_share, smooth_fields


def seeded(seed=0):
    return stream(Generator().manual_seed(seed))


def test_amplitude_falls_with_frequency():
    size, decay = 32, 2.0
    fields = smooth_fields(seeded(), 4000, (size, size), decay)
    power = (np.abs(np.fft.rfft2(fields)) ** 2).mean(0)
    radius = np.sqrt(np.fft.fftfreq(size)[:, None] ** 2 + np.fft.rfftfreq(size) ** 2)
    inner = (slice(1, size // 2), slice(1, size // 2))  # the edges of a half spectrum are seen twice, or once
    slope = np.polyfit(np.log(radius[inner]).ravel(), np.log(power[inner]).ravel(), 1)[0]
    assert abs(slope + 2 * decay) < 0.05


def test_the_published_spectrum_has_two_frequencies_along_the_last_axis():
    fields = smooth_fields(seeded(), 50, (16, 16), 3.0, spectrum="published")
    along = (np.abs(np.fft.rfft(fields, axis=2)) ** 2).mean((0, 1))
    assert along[2:].sum() / along.sum() < 1e-20
    intended = (np.abs(np.fft.rfft(smooth_fields(seeded(), 50, (16, 16), 3.0), axis=2)) ** 2).mean((0, 1))
    assert intended[2:].sum() / intended.sum() > 1e-3


@pytest.mark.parametrize("sizes", [(1, 9), (9, 1), (1, 1), (7,), (1,), (3, 4, 5)])
@pytest.mark.parametrize("spectrum", ["intended", "published"])
def test_fields_of_any_size(sizes, spectrum):
    fields = smooth_fields(seeded(), 3, sizes, 3.0, spectrum=spectrum)
    assert fields.shape == (3, *sizes)
    assert fields.dtype == np.float64
    assert np.isfinite(fields).all()


def test_the_largest_entries_are_chosen_and_the_count_is_fair():
    field = np.tile(np.arange(10.0), (4000, 1))
    chosen = largest_share(seeded(), field, np.full(4000, 0.25))
    count = chosen.sum(1)
    assert set(count.tolist()) == {2.0, 3.0}
    assert abs(count.mean() - 2.5) < 0.05
    assert (np.diff(chosen, axis=1) >= 0).all()  # never a smaller entry before a larger one


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_or_everything_can_be_chosen(share):
    assert (largest_share(seeded(), np.arange(12.0).reshape(2, 6), np.full(2, share)) == share).all()


def test_a_soft_edge_is_a_ramp_with_the_same_mean():
    share = np.array([0.3, 0.5, 0.9])
    field = seeded().standard_normal((3, 200))
    soft = largest_share(seeded(1), field, share, soft=0.1)
    assert (np.abs(soft.mean(1) - share) < 1 / 200 + 1e-9).all()
    assert ((soft > 0) & (soft < 1)).any(1).all()
    for values, own in zip(field, soft, strict=True):
        assert (np.diff(own[np.argsort(values)]) >= 0).all()


def test_blocks_have_the_density_that_gamma_says():
    side, size, gamma = 3, 16, 0.5
    seeds = gamma * (size / (side * (size - side + 1))) ** 2
    changed = blocks(seeded(), 4000, (size, size), gamma, side)
    inside = changed[:, 2:-2, 2:-2].mean()
    assert abs(inside - (1 - (1 - seeds) ** (side * side))) < 0.01


def test_blocks_are_squares_around_their_seeds():
    """Each position that is True lies in a square that is True around a position of the map, as far as the map goes."""
    found, size, reach = blocks(seeded(), 40, (9, 9), 0.2, 3), 9, 1
    for channel in found:
        covered = np.zeros_like(channel)
        for i, j in np.ndindex(size, size):
            square = (slice(max(i - reach, 0), i + reach + 1), slice(max(j - reach, 0), j + reach + 1))
            covered[square] |= channel[square].all()
        assert np.array_equal(channel, covered)
    assert 0 < found.mean() < 1


def test_blocks_larger_than_the_map_are_cut_to_an_odd_side():
    assert blocks(seeded(), 3, (4, 6), 1.0, 7).shape == (3, 4, 6)
    assert blocks(seeded(), 3, (3, 3), 1.0, 7).all()  # a side of 3, and every position a seed
    assert not blocks(seeded(), 3, (4, 6), 0.0, 7).any()
