"""A pipeline with boxes that was used can be saved and shown, and reference images do not get into batches."""

import os

import numpy as np
import pytest
import torch
from kornia import augmentation as K
from PIL import Image

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm
from featmix.interop.albumentations import MomentExchange
from featmix.show import looking
from tests.interop.real_torchvision import torchvision_or_skip
from tests.pipeline.test_targets import BOX, painted, seen

IMAGE = painted()


def detection():
    boxed = A.BboxParams("pascal_voc", label_fields=["labels"], check_each_transform=True)
    return fm.Pipeline(
        sample=A.Compose([A.HorizontalFlip(p=1), A.GaussNoise(std_range=(0.01, 0.02), p=0.5)], bbox_params=boxed), seed=0
    )


ITEMS = [{"image": IMAGE, "bboxes": np.array([BOX] * n, np.float32), "labels": ["cat"] * n} for n in (1, 2)]


def test_it_is_saved_after_use_as_before(tmp_path):
    pipeline = detection()
    before = fm.to_dict(pipeline)
    batch = next(iter(pipeline.loader(ITEMS, batch_size=2)))
    assert len(batch["bboxes"]) == 2
    assert fm.to_dict(pipeline) == before
    fm.save(pipeline, tmp_path / "aug.yaml")
    again = next(iter(fm.load(tmp_path / "aug.yaml").loader(ITEMS, batch_size=2)))
    assert torch.equal(again["image"], batch["image"])
    assert all(torch.equal(a, b) for a, b in zip(again["bboxes"], batch["bboxes"], strict=True))


@pytest.mark.parametrize("images", [ITEMS, [IMAGE, IMAGE], torch.from_numpy(np.stack([IMAGE] * 2)).movedim(-1, 1)])
def test_it_is_previewed_and_shown_with_and_without_boxes(images):
    figure = detection().preview(images)
    before, after = (np.asarray(figure.axes[k].get_images()[0].get_array()) for k in (0, 2))
    assert seen(before)[0] == BOX
    assert seen(after)[0] == [3, 1, 6, 3]
    step = looking.look(detection(), images=images)
    assert len(step.originals) == 2


def test_show_knows_which_entries_are_images():
    pipeline = fm.Pipeline(sample=lambda left, right, mask: (left[:, ::-1], right, mask), images=(0, 1), masks=3)
    step = looking.look(pipeline, images=[(IMAGE, IMAGE, 5, IMAGE[..., 0])] * 2)
    assert seen(step.originals[0])[0] == BOX


def test_reference_images_move_nothing_and_are_not_collated():
    exchange = A.Compose([MomentExchange("in", blend_ratio=(1, 1), metadata_key="styles", p=1)])
    reference, grey = np.full((4, 6, 3), 200, np.uint8), np.full((6, 8, 3), 50, np.uint8)
    pipeline = fm.Pipeline(sample=exchange)
    batch = next(iter(pipeline.loader([{"image": grey, "styles": [reference], "label": 3}] * 2, batch_size=2)))
    assert set(batch) == {"image", "label"}
    assert torch.allclose(batch["image"], torch.tensor(200 / 255))
    images, labels = next(iter(pipeline.loader([(grey, 3, {"styles": [reference]})] * 2, batch_size=2)))
    assert torch.allclose(images, torch.tensor(200 / 255))
    assert labels.tolist() == [3, 3]
    for item in ((grey, 3), {"image": grey}):
        with pytest.raises(fm.FeatmixError, match=r"item: expected 'styles', which the transform asks for.*'styles': \.\.\."):
            pipeline.dataset([item])[0]


def test_timms_transforms_are_saved_once_their_modules_are_let_in():
    torchvision_or_skip("torchvision.transforms.v2")
    data = pytest.importorskip("timm.data", exc_type=ImportError)
    from timm.data import auto_augment, random_erasing, transforms
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import transforms as first

    for thing in (transforms, auto_augment, random_erasing, first, InterpolationMode, Image.Resampling):
        fm.configuration.allow(thing)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
    for settings in ({}, {"auto_augment": "rand-m9-mstd0.5-inc1", "re_prob": 0.5}):
        pipeline = fm.Pipeline(sample=data.create_transform(16, is_training=True, **settings), seed=0)
        loaded = fm.from_dict(fm.to_dict(pipeline))
        one, other = (next(iter(p.loader([(image, 0)] * 4, batch_size=4)))[0] for p in (pipeline, loaded))
        assert torch.equal(one, other)


def boxes_and_masks(axis):
    boxes = [(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in axis.patches]
    return boxes, [np.ma.filled(np.ma.asarray(image.get_array()), 0) for image in axis.get_images()[1:]]


@pytest.mark.parametrize("form", ["pascal_voc", "coco"])
def test_masks_and_boxes_are_drawn_over_images_before_and_after(form):
    box = BOX if form == "pascal_voc" else [2, 1, 3, 2]
    mask = (IMAGE[..., 0] > 0).astype(np.uint8) * 3
    item = {"image": IMAGE, "mask": mask, "bboxes": np.array([box], np.float32)}
    sample = A.Compose([A.HorizontalFlip(p=1)], bbox_params=A.BboxParams(form))
    pipeline = fm.Pipeline(sample=sample, batch=K.RandomVerticalFlip(p=1.0))
    figure = pipeline.preview([item] * 11)  # more than a line
    before, after = figure.axes[0], figure.axes[10]
    assert boxes_and_masks(before)[0] == [(1.5, 0.5, 3, 2)]
    assert np.array_equal(boxes_and_masks(before)[1][0], mask)
    assert np.allclose(boxes_and_masks(after)[0], [(2.5, 2.5, 3, 2)], atol=1e-3)
    assert np.array_equal(boxes_and_masks(after)[1][0], mask[::-1, ::-1])
    drawn = [axis for axis in figure.axes if axis.get_images()]
    assert [len(axis.patches) for axis in drawn] == [1] * 22
    mixed = fm.Pipeline(sample=sample, mix={"input": fm.Mixup()}).preview([item] * 2, [0, 1])
    assert [len(axis.patches) for axis in mixed.axes] == [1, 1, 2, 2]  # of the sample, and of its partner
