import pytest
import torch
from kornia import augmentation as K
from torch import nn

import featmix as fm
from featmix.pipeline.batch import apply_to_batch
from featmix.seeding import seeded

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
MASKS = torch.arange(4 * 64).view(4, 8, 8) % 7


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float32, torch.bool])
@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize(
    "flip",
    [
        K.RandomHorizontalFlip(p=1.0),
        K.AugmentationSequential(K.RandomHorizontalFlip(p=1.0)),
        K.AugmentationSequential(K.RandomHorizontalFlip(p=1.0), data_keys=["input", "mask"]),
        K.ImageSequential(K.RandomHorizontalFlip(p=1.0)),
        nn.Sequential(K.RandomHorizontalFlip(p=1.0), K.ColorJiggle(p=0.0)),
        lambda images, *masks: (images.flip(-1), *(mask.flip(-1) for mask in masks)),
    ],
    ids=["module", "sequential", "with keys", "image sequential", "torch's sequential", "callable"],
)
def test_masks_go_along_and_keep_their_form(flip, channels, dtype):
    mask = (MASKS if channels is None else MASKS.unsqueeze(1).repeat(1, channels, 1, 1)).to(dtype)
    images, (moved,) = apply_to_batch(flip, IMAGES, [mask])
    assert torch.equal(images, IMAGES.flip(-1))
    assert moved.dtype == dtype
    assert torch.equal(moved, mask.flip(-1))


@pytest.mark.parametrize("transform", [K.RandomAffine(30.0, p=1.0), nn.Sequential(K.RandomAffine(30.0, p=1.0))])
def test_labels_of_a_map_are_not_blended(transform):
    with seeded(0):
        _, (moved, again) = apply_to_batch(transform, IMAGES, [MASKS * 1000, MASKS])
    assert set(moved.unique().tolist()) <= {1000 * k for k in range(7)}
    assert torch.equal(moved, again * 1000)


def test_without_masks():
    flip = K.RandomHorizontalFlip(p=1.0)
    for transform in (flip, K.AugmentationSequential(flip, data_keys=["input", "mask"])):
        images, masks = apply_to_batch(transform, IMAGES, [])
        assert torch.equal(images, IMAGES.flip(-1))
        assert masks == ()


def test_the_size_may_change():
    images, (mask,) = apply_to_batch(K.RandomResizedCrop((5, 6)), IMAGES, [MASKS])
    assert images.shape == (4, 3, 5, 6)
    assert mask.shape == (4, 5, 6)


@pytest.mark.parametrize(
    ("transform", "got"),
    [
        (lambda images: images[:2], r"shape \(2, 3, 8, 8\)"),
        (lambda images: torch.cat([images, images]), r"shape \(8, 3, 8, 8\)"),
        (lambda images: images.mean(), r"shape \(\)"),
        (lambda images: None, "NoneType"),
        (lambda images: (images, images), "tuple"),
    ],
)
def test_the_rows_are_as_many_as_the_labels(transform, got):
    with pytest.raises(fm.FeatmixError, match=rf"Pipeline: batch: expected 4 images, got {got}"):
        apply_to_batch(transform, IMAGES, [])


def test_a_callable_that_forgets_the_masks_is_refused():
    with pytest.raises(fm.FeatmixError, match=r"expected 4 images and as many rows of 1 mask\(s\), got Tensor"):
        apply_to_batch(lambda images, mask: images, IMAGES, [MASKS])


def test_bytes_are_refused_for_kornia():
    with pytest.raises(fm.FeatmixError, match=r"floating images for kornia, got torch\.uint8\. Use pipeline\.collate"):
        apply_to_batch(K.RandomHorizontalFlip(), (IMAGES * 255).byte(), [])
