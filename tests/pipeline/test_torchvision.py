"""A pipeline of torchvision's transforms v2; with the real torchvision, where there is one."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import featmix as fm
from tests.interop.real_torchvision import torchvision_or_skip

v2 = torchvision_or_skip("torchvision.transforms.v2")
tv_tensors = torchvision_or_skip("torchvision.tv_tensors")

ARRAY = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
LABELS = np.arange(48).reshape(6, 8)
FORMS = {"array": ARRAY, "tensor": torch.from_numpy(ARRAY).movedim(-1, 0), "PIL": Image.fromarray(ARRAY)}


@pytest.mark.parametrize("image", FORMS.values(), ids=FORMS)
def test_images_and_masks_of_all_forms_go_through_sample(image):
    pipeline = fm.Pipeline(sample=v2.Compose([v2.RandomHorizontalFlip(p=1.0), v2.RandomCrop(4)]), seed=0, masks=1)
    images, masks = next(iter(pipeline.loader([(image, LABELS)] * 4, batch_size=4)))
    assert images.shape == (4, 3, 4, 4)
    assert (type(images), images.dtype) == (torch.Tensor, torch.float32)
    assert (type(masks), masks.dtype) == (torch.Tensor, torch.int64)
    for moved, mask in zip(images, masks, strict=True):
        places = np.stack(np.divmod(mask.numpy(), 8), axis=-1)
        assert np.allclose(moved.movedim(0, -1), ARRAY[places[..., 0], places[..., 1]] / 255)


def test_batches_and_their_masks_are_moved_together_and_repeatably():
    pipeline = fm.Pipeline(batch=v2.Compose([v2.RandomAffine(30), v2.RandomVerticalFlip(p=1.0), v2.Resize(5)]), seed=0)
    x, masks = torch.rand(4, 3, 8, 8), torch.arange(4 * 64).view(4, 8, 8) % 5
    outcomes = []
    for _ in range(2):
        with pipeline.attach(nn.Flatten()) as mixer:
            outcomes.append(mixer.prepare(x, masks))
    (first, maps), (again, maps_again) = outcomes
    assert torch.equal(first, again)
    assert torch.equal(maps, maps_again)
    assert first.shape == (4, 3, 5, 5)
    assert maps.shape == (4, 5, 5)
    assert maps.dtype == torch.int64
    assert set(maps.unique().tolist()) <= set(range(5))
    assert type(first) is type(maps) is torch.Tensor


def test_a_loaded_pipeline_does_the_same(tmp_path):
    pipeline = fm.Pipeline(
        sample=v2.Compose([v2.RandomResizedCrop(4), v2.ColorJitter(0.2)]),
        batch=v2.RandomAffine(20),
        mix={"input": fm.CutMix()},
        seed=0,
    )
    fm.save(pipeline, tmp_path / "aug.yaml")
    seen = []
    for one in (pipeline, fm.load(tmp_path / "aug.yaml")):
        with one.attach(nn.Flatten()) as mixer:
            for images, labels in one.loader([(ARRAY, 0), (ARRAY, 1), (ARRAY, 2)], batch_size=3, shuffle=True):
                x = mixer.prepare(images)
                mixer.draw(x, target=labels)
                seen.append((images, x, labels))
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


@pytest.mark.parametrize("image", FORMS.values(), ids=FORMS)
def test_several_images_are_moved_by_one_draw(image):
    pipeline = fm.Pipeline(sample=v2.Compose([v2.RandomAffine(90), v2.RandomCrop(4)]), seed=0, images=(0, 1), masks=2)
    for one, other, _ in pipeline.loader([(image, image, LABELS)] * 4, batch_size=1):
        assert one.shape == (1, 3, 4, 4)
        assert torch.equal(one, other)
