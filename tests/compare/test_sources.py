import numpy as np
import pytest
import torch

from featmix.compare.data import read
from featmix.compare.digits import read_digits
from featmix.compare.settings import resolve
from featmix.compare.sources import PhotoSource, rendered
from featmix.compare.styles import DEFAULT_STYLES
from featmix.errors import FeatmixError

FOUR = ("plain", "inverted", "colors", "textured")


@pytest.fixture(scope="module")
def digits():
    return read_digits(",".join(FOUR))


@pytest.fixture
def photos():
    """Every image is filled with its own number, so that it can be recognised after a split."""
    pixels = np.arange(60, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 5), dtype=np.uint8)
    labels, domains = np.tile([0, 1], 30), np.repeat([0, 1, 2], 20)
    return PhotoSource("photos", ("a", "b"), ("x", "y", "z"), labels, "", pixels, domains)


def shapes_seen(images):
    """What is drawn, whatever the style: which pixels are ink, from images in the plain style."""
    plain = images.where(images.domains == FOUR.index("plain"))
    return {pixels[0].numpy().tobytes() for pixels in plain.pixels}


@pytest.mark.parametrize("held_out", FOUR)
def test_nothing_trained_on_is_tested_on(digits, held_out):
    trial = digits.trial(0, held_out)
    everything = digits.trial(0, "")
    trained, tested = shapes_seen(everything.train), shapes_seen(everything.seen)
    assert not trained & tested
    assert len(trial.unseen) * 3 == len(trial.seen)
    if held_out == "plain":
        assert shapes_seen(trial.unseen) == tested
    else:
        assert shapes_seen(trial.train) == trained
        assert shapes_seen(trial.seen) == tested


def test_the_held_out_style_is_in_the_held_out_images_only(digits):
    trial, out = digits.trial(0, "colors"), FOUR.index("colors")
    assert set(trial.unseen.domains.tolist()) == {out}
    assert set(trial.train.domains.tolist()) == set(trial.seen.domains.tolist()) == set(range(4)) - {out}


def test_the_seed_decides_the_split(digits):
    first, again, other = (digits.trial(seed, "plain").train for seed in (0, 0, 1))
    assert torch.equal(first.pixels, again.pixels)
    assert not torch.equal(first.pixels, other.pixels)
    assert digits.image_size == (16, 16)


def test_a_limit_counts_images_per_domain_and_leaves_the_test_images(digits):
    trial = digits.trial(0, "plain", limit=50)
    assert [(trial.train.domains == d).sum().item() for d in (1, 2, 3)] == [50, 50, 50]
    assert set(trial.train.labels.tolist()) == set(range(10))
    assert len(trial.unseen) == len(digits.trial(0, "plain").unseen)


def test_official_test_images_stay_test_images():
    grey = np.arange(40, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), dtype=np.uint8)
    source = rendered("x", grey, np.tile([0, 1], 20), ("a", "b"), "", np.arange(40) >= 30, "plain,inverted")
    trial = source.trial(3, "", limit=8)
    plain = trial.seen.where(trial.seen.domains == 0)
    assert len(plain) == 8
    assert plain.pixels.min() >= 30
    assert trial.train.where(trial.train.domains == 0).pixels.max() < 30


def test_all_of_a_domain_of_photos_may_be_tested_on(photos):
    trial = photos.trial(0, "y")
    numbers = [set(images.pixels[:, 0, 0, 0].tolist()) for images in (trial.train, trial.seen, trial.unseen)]
    assert numbers[2] == set(range(20, 40))
    assert not numbers[0] & numbers[1]
    assert numbers[0] | numbers[1] == set(range(60)) - numbers[2]
    assert photos.image_size == (4, 5)


def test_a_single_domain_is_not_held_out(photos):
    single = PhotoSource("one", ("a", "b"), ("x",), photos.labels, "", photos.pixels, np.zeros(60, dtype=np.int64))
    assert single.held_out_choices == ("",)
    assert single.trial(0, "").unseen is None
    assert photos.held_out_choices == ("x", "y", "z")


def test_styles_are_the_domains_and_part_of_what_a_source_is():
    assert read_digits().domains == DEFAULT_STYLES
    assert read("digits", styles="plain").held_out_choices == ("",)
    with pytest.raises(FeatmixError, match="which are rendered"):
        read("folder:nowhere", styles="plain")
    assert resolve({"styles": ",".join(DEFAULT_STYLES)}) == resolve({})
    assert resolve({"styles": "plain, noisy"}).styles == "plain,noisy"


def test_an_unknown_domain_is_refused(digits):
    with pytest.raises(FeatmixError, match="'plain'"):
        digits.trial(0, "plian")
