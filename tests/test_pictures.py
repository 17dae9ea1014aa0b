import sys

import numpy as np
import pytest
import torch

from featmix.errors import FeatmixError
from featmix.labels.mixture import Mixture
from featmix.pictures import Row, as_png, as_target, captions, draw_rows, names_of, shares_in_words
from featmix.support import fonts

IMAGES = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def draw(*rows, **settings):
    return draw_rows(rows, subject="test", extra="compare", **settings)


def pixels(axis):
    return np.asarray(axis.get_images()[0].get_array())


def test_captions_stand_under_and_above():
    axes = draw(Row("first", IMAGES, below=["a", "b", "c"]), Row("second", IMAGES, above=["d", "e", "f"])).axes
    assert [axis.get_xlabel() for axis in axes] == ["a", "b", "c", "", "", ""]
    assert [axis.get_title() for axis in axes] == ["", "", "", "d", "e", "f"]
    assert [axes[0].get_ylabel(), axes[3].get_ylabel()] == ["first", "second"]
    with pytest.raises(ValueError, match="zip"):
        draw(Row("first", IMAGES, below=["a", "b"]))


def test_images_are_shown_as_they_are_and_clipped():
    wild = IMAGES.clone()
    wild[0, :, 0, 0] = 3
    axes = draw(Row("", wild)).axes
    assert np.allclose(pixels(axes[1]), IMAGES[1].movedim(0, -1))
    assert pixels(axes[0]).max() == 1
    assert np.allclose(pixels(axes[0])[1:], IMAGES[0].movedim(0, -1)[1:])


def test_normalized_images_are_stretched_by_one_range():
    normal = (IMAGES - 0.5) * 4
    axes = draw(Row("", IMAGES), Row("", normal), Row("", normal - 10)).axes
    assert np.allclose(pixels(axes[0]), IMAGES[0].movedim(0, -1))
    low, high = float((normal - 10).min()), float(normal.max())
    assert np.allclose(pixels(axes[3]), (normal[0].movedim(0, -1) - low) / (high - low), atol=1e-6)
    assert np.allclose(pixels(axes[6]), (normal[0].movedim(0, -1) - 10 - low) / (high - low), atol=1e-6)


def test_maps_of_one_scale_share_their_colours_and_a_bar():
    small, large, other = torch.rand(2, 4, 4), 5 + torch.rand(2, 4, 4), torch.full((2, 1, 6), float("nan"))
    other[0] = torch.arange(6.0)
    figure = draw(Row("", small, scale="mean"), Row("", large, scale="mean"), Row("", other, scale="std"))
    images = [axis.get_images()[0] for axis in figure.axes[:6]]
    assert {image.get_clim() for image in images[:4]} == {(float(small.min()), float(large.max()))}
    assert {image.get_clim() for image in images[4:]} == {(0.0, 5.0)}
    assert [axis.get_ylabel() for axis in figure.axes[6:]] == ["mean", "std"]
    assert np.array_equal(pixels(figure.axes[2]), large[0].numpy())


def test_one_grey_image_has_a_picture():
    (axis,) = draw(Row("", IMAGES[:1, :1]), title="t").axes
    assert pixels(axis).shape == (4, 4)


def test_long_titles_are_wrapped():
    figure = draw(Row("", IMAGES), title="word " * 50 + "\nlast")
    lines = figure.get_suptitle().splitlines()
    assert len(lines) > 3
    assert lines[-1] == "last"


def test_a_picture_has_the_same_bytes_each_time():
    first, second = (as_png(draw(Row("row", IMAGES, below=["a", "b", "c"]), title="title")) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(FeatmixError, match=r"test: expected matplotlib.*featmix\[compare\]"):
        draw(Row("", IMAGES))


def test_labels_in_words():
    assert names_of(torch.tensor([0, 2]), 2, ["a", "b", "c"], "show") == ["a", "c"]
    assert names_of(torch.tensor([[0.1, 0.9], [0.6, 0.4]]), 2, None, "show") == ["1", "0"]
    assert names_of(["x", "y"], 2, None, "show") == ["x", "y"]
    with pytest.raises(FeatmixError, match=r"show: labels: expected one for each of 3 images, got 2"):
        names_of([1, 2], 3, None, "show")
    with pytest.raises(FeatmixError, match=r"show: labels: expected indices of the 2 classes, got 2"):
        names_of([1, 2], 2, ["a", "b"], "show")


def test_labels_as_targets():
    assert as_target(None) is None
    assert as_target(["cat", "dog"]) is None
    assert torch.equal(as_target([1, 0]), torch.tensor([1, 0]))


def test_shares_in_words():
    mixture = Mixture.pair(torch.tensor([1, 2, 0]), torch.tensor([0.25, 1.0, 0.5]))
    assert captions(mixture, ["cat", "dog", "cat"]) == ["0.75 dog\n0.25 cat", "dog", "cat"]
    assert shares_in_words(torch.tensor([[0.998, 0.002]]), ["cat", "dog"]) == ["cat"]


def test_many_images_go_on_below():
    many = torch.rand(23, 3, 4, 4)
    figure = draw(Row("before", many, below=[str(n) for n in range(23)]), Row("after", many))
    assert max(figure.get_size_inches()) < 20
    axes = figure.axes
    assert [axes[n].get_xlabel() for n in (0, 9, 20, 29, 40, 42)] == ["0", "9", "10", "19", "20", "22"]
    assert [axes[n].get_ylabel() for n in (0, 10, 20, 30, 40, 50)] == ["before", "after"] * 3
    assert not figure.axes[43].axison


def test_borders_of_maps_do_not_set_their_colours():
    maps = torch.rand(2, 6, 6)
    maps[:, 0], maps[:, :, -1] = -50, 100
    axes = draw(Row("", maps, scale="mean")).axes
    inner = maps[:, 1:-1, 1:-1]
    assert axes[0].get_images()[0].get_clim() == (float(inner.min()), float(inner.max()))
    assert axes[0].get_images()[0].colorbar.extend == "both"


def test_letters_that_no_font_has_are_numbered(monkeypatch):
    monkeypatch.setattr(fonts, "_others", list)
    names = ["\u732b", "\u72ac", "cat"]
    figure = draw(Row("", IMAGES, below=[f"0.90 {name}\n0.10 \u732b" for name in names]), title="t")
    assert [axis.get_xlabel() for axis in figure.axes] == ["0.90 #1\n0.10 #1", "0.90 #2\n0.10 #1", "0.90 cat\n0.10 #1"]
    assert fonts.NUMBERED in figure.get_suptitle()


def test_a_font_that_has_the_letters_is_found():
    families, drawable = fonts.families_for(["cat"])
    assert (families, drawable("cat")) == (["DejaVu Sans"], "cat")
    families, drawable = fonts.families_for(["\u239b"])  # of those that matplotlib brings, some have more mathematics
    assert drawable("\u239b") == "\u239b"
