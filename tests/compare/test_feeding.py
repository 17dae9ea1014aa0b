import numpy as np
import pytest
import torch

import featmix as fm
from featmix.compare.feeding import Feed, check_images, normalized, to_floats
from featmix.compare.sources import Images
from featmix.errors import FeatmixError

CPU = torch.device("cpu")


@pytest.fixture
def images():
    pixels = torch.randint(256, (6, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Images(pixels, torch.arange(6) % 3, torch.zeros(6, dtype=torch.long))


def fed(pipeline, images, rows=(0, 3, 5)):
    feed = Feed(pipeline, images, CPU)
    with pipeline.attach(torch.nn.Identity()) as mixer:
        return feed(torch.tensor(rows), mixer)


def test_images_as_floats():
    floats = to_floats(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 4))
    assert floats[0].unique().tolist() == [-2.0]
    assert floats[1].unique().tolist() == [2.0]


def test_without_parts_images_are_those_of_the_test_set_bit_for_bit(images):
    assert torch.equal(Feed(fm.Pipeline(), images, CPU)(torch.tensor([4, 1])), to_floats(images.pixels[[4, 1]]))


def test_the_sample_part_gets_each_image_as_an_array(images):
    seen = []

    def flipped(image):
        seen.append((image.shape, image.dtype))
        return image[:, ::-1]

    y = fed(fm.Pipeline(sample=flipped), images)
    assert seen == [((8, 8, 3), np.dtype(np.uint8))] * 3
    assert torch.allclose(y, to_floats(images.pixels[[0, 3, 5]].flip(-1)))


def test_a_transform_that_writes_into_its_image_leaves_the_data_alone(images):
    def spoil(image):
        image[:] = 0
        return image

    before = images.pixels.clone()
    assert float(fed(fm.Pipeline(sample=spoil), images).max()) == -2.0
    assert torch.equal(images.pixels, before)


def test_the_batch_part_comes_before_normalization(images):
    y = fed(fm.Pipeline(batch=lambda x: 1 - x), images)
    assert torch.allclose(y, normalized(1 - images.pixels[[0, 3, 5]].float() / 255))


def test_the_seed_decides(images):
    def noisy(image):
        return image.astype(np.float32) / 255 + np.random.rand()

    same = [fed(fm.Pipeline(sample=noisy, seed=seed), images) for seed in (1, 1, 2)]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"sample": lambda image: image[:, :, :1]}, r"3 channels back, got shape \(4, 1, 8, 8\)"),
        ({"sample": lambda image: image / 0.0 if image.sum() < 0 else image["x"]}, "takes images of 8 x 8, got IndexError"),
        ({"batch": lambda x: (x - 0.45) / 0.22}, "Leave normalization out"),
        ({"normalize": (0.45, 0.22)}, "Leave normalization out"),
        ({"batch": lambda x: x[:2]}, "got FeatmixError: Pipeline: batch"),
    ],
)
def test_what_does_not_fit_is_refused(images, parts, message):
    pipeline = fm.Pipeline(**parts)
    with pytest.raises(FeatmixError, match=message):
        check_images(pipeline, Feed(pipeline, images, CPU))


def test_what_fits_is_not_refused(images):
    for parts in ({}, {"batch": lambda x: x + 0.05 * torch.randn_like(x)}, {"sample": lambda image: image[1:7, 1:7]}):
        pipeline = fm.Pipeline(**parts)
        check_images(pipeline, Feed(pipeline, images, CPU))
