import numpy as np
import pytest

from featmix.compare.styles import DEFAULT_STYLES, STYLES, chosen_styles, render
from featmix.errors import FeatmixError


@pytest.fixture
def grey():
    return np.random.default_rng(0).integers(0, 256, (5, 12, 10), dtype=np.uint8)


@pytest.mark.parametrize("style", STYLES)
def test_shape_and_type(grey, style):
    assert render(grey, style, np.arange(5)).shape == (5, 3, 12, 10)
    assert render(grey, style, np.arange(5)).dtype == np.uint8


@pytest.mark.parametrize("style", STYLES)
def test_an_image_looks_the_same_whatever_is_rendered_beside_it(grey, style):
    number = np.array([7, 3, 11, 0, 5])
    together = render(grey, style, number)
    alone = np.concatenate([render(grey[i : i + 1], style, number[i : i + 1]) for i in range(5)])
    np.testing.assert_array_equal(together, alone)


def test_inverted_is_the_negative_of_plain(grey):
    number = np.arange(5)
    np.testing.assert_array_equal(render(grey, "inverted", number), 255 - render(grey, "plain", number))


def test_random_colors_stay_apart_in_brightness():
    ink = np.zeros((300, 1, 2), dtype=np.uint8)
    ink[:, :, 1] = 255
    brightness = np.einsum("nchw,c->nw", render(ink, "colors", np.arange(300)) / 255, [0.299, 0.587, 0.114])
    gap = brightness[:, 1] - brightness[:, 0]
    assert np.abs(gap).min() > 0.25  # the wish is 0.5; colors at the edge of the cube can be pushed less far
    assert (gap > 0).any()
    assert (gap < 0).any()


def test_texture_covers_the_ground_and_leaves_the_ink():
    blank, full = (np.full((1, 16, 16), value, dtype=np.uint8) for value in (0, 255))
    assert render(blank, "textured", np.arange(1)).std((2, 3)).min() > 5
    assert render(full, "textured", np.arange(1)).std((2, 3)).max() == 0


def test_noise_is_each_images_own_and_of_both_polarities():
    blank = np.zeros((200, 16, 16), dtype=np.uint8)
    drawn = render(blank, "noisy", np.arange(200)) / 255
    level = drawn.mean((1, 2, 3))
    assert 60 < (level < 0.5).sum() < 140
    assert np.abs(np.abs(level - 0.5) - 0.25).max() < 0.06
    assert drawn.std((1, 2, 3)).min() > 0.15
    flat = drawn.reshape(200, -1) - level[:, None]
    correlation = np.corrcoef(flat) - np.eye(200)
    assert np.abs(correlation).max() < 0.25


def test_chosen_styles():
    assert chosen_styles("") == DEFAULT_STYLES
    for text, said in (("noisi", "'noisy'"), ("plain,plain", "each style once"), ("plain,", "known styles")):
        with pytest.raises(FeatmixError, match=said):
            chosen_styles(text)


def test_the_input_is_not_changed(grey):
    before = grey.copy()
    for style in STYLES:
        render(grey, style, np.arange(5))
    np.testing.assert_array_equal(grey, before)


def test_refusals(grey):
    with pytest.raises(FeatmixError, match="'plain'"):
        render(grey, "plane", np.arange(5))
    with pytest.raises(FeatmixError, match="one number each"):
        render(grey, "plain", np.arange(4))
    with pytest.raises(FeatmixError, match="uint8"):
        render(grey / 255, "plain", np.arange(5))
