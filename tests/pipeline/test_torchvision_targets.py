"""Torchvision's tensors that say what they are go through ``sample`` and ``prepare`` with their image."""

import numpy as np
import pytest
import torch
from torch import nn

import featmix as fm
from tests.interop.real_torchvision import torchvision_or_skip
from tests.pipeline.test_targets import BOX, HEIGHT, MASK, POINT, WIDTH, agree, painted, seen, tensor

v2 = torchvision_or_skip("torchvision.transforms.v2")
tv = torchvision_or_skip("torchvision.tv_tensors")

SIZE = (HEIGHT, WIDTH)
FLIPS = v2.Compose([v2.RandomHorizontalFlip(p=1.0), v2.RandomVerticalFlip(p=1.0)])


def boxes(rows=(BOX,), form="XYXY"):
    return tv.BoundingBoxes(torch.tensor(rows).float(), format=form, canvas_size=SIZE)


def points():
    return tv.KeyPoints(torch.tensor([POINT]).float(), canvas_size=SIZE)


@pytest.mark.parametrize("image", [painted(), tensor()], ids=["array", "tensor"])
def test_an_item_goes_through_whole_whatever_its_structure(image):
    pipeline = fm.Pipeline(sample=FLIPS)
    target = {"boxes": boxes(), "points": points(), "masks": tv.Mask(torch.from_numpy(MASK)[None]), "labels": torch.tensor([3])}
    x, told = pipeline.dataset([(image, target)])[0]
    agree(x, told["boxes"], told["points"], told["masks"][0])
    assert told["labels"].tolist() == [3]
    assert (type(x), type(told["boxes"])) == (torch.Tensor, tv.BoundingBoxes)
    done = pipeline.dataset([{"image": image, "mask": MASK, **target, "array": np.zeros((9, 9, 3), np.uint8)}])[0]
    agree(done["image"], done["boxes"], done["points"], done["mask"])
    assert isinstance(done["array"], np.ndarray)
    x, first, (second, label) = pipeline.dataset([(image, points(), (boxes(), 7))])[0]
    agree(x, second, first, x[0] > 0)
    assert label == 7
    assert target["boxes"].tolist() == [BOX]


def test_boxes_that_are_dropped_take_their_labels_along():
    keep = v2.Compose([v2.RandomHorizontalFlip(p=1.0), v2.SanitizeBoundingBoxes(min_size=2)])
    target = {"boxes": boxes([BOX, [1, 1, 2, 2]]), "labels": torch.tensor([3, 4])}
    _, told = fm.Pipeline(sample=keep).dataset([(painted(), target)])[0]
    assert told["boxes"].tolist() == [[3, 1, 6, 3]]
    assert told["labels"].tolist() == [3]


@pytest.mark.parametrize(("name", "value"), [("boxes", torch.tensor([BOX])), ("masks", [MASK]), ("keypoints", [POINT])])
def test_what_does_not_say_what_it_is_is_refused(name, value):
    for flip in (FLIPS, v2.RandomHorizontalFlip(p=1.0)):
        with pytest.raises(fm.FeatmixError, match=rf"\['{name}'\].*leave behind\. Wrap it: tv_tensors"):
            fm.Pipeline(sample=flip).dataset([{"image": painted(), name: value, "other": boxes()}])[0]
    colours = v2.Compose([v2.ColorJitter(0.1), v2.ToDtype(torch.float32)])
    assert fm.Pipeline(sample=colours).dataset([{"image": painted(), name: value}])[0][name] is value


def test_kornia_and_albumentations_with_torchvisions_tensors():
    K = pytest.importorskip("kornia.augmentation")
    A = pytest.importorskip("albumentations")
    flip = K.RandomHorizontalFlip(p=1.0)
    item = (painted(), {"a": boxes(), "b": boxes([[2, 1, 3, 2]], "XYWH"), "c": points(), "d": tv.Mask(torch.from_numpy(MASK))})
    x, told = fm.Pipeline(sample=flip).dataset([item])[0]
    agree(x, told["a"], told["c"], told["d"])
    assert np.allclose(told["b"], [[3, 1, 3, 2]], atol=1e-3)
    assert (told["b"].format.name, told["b"].canvas_size) == ("XYWH", SIZE)
    told_boxes = A.Compose([A.HorizontalFlip(p=1)], bbox_params=A.BboxParams("coco"))
    with pytest.raises(fm.FeatmixError, match=r"\['bboxes'\].*leave behind\. Call it 'bboxes', an array"):
        fm.Pipeline(sample=told_boxes).dataset([{"image": painted(), "bboxes": boxes()}])[0]


def test_batches_hold_targets_as_detectors_take_them_and_prepare_moves_them():
    items = [(tensor(), {"boxes": boxes([BOX] * n), "labels": torch.ones(n)}) for n in (1, 2)]
    pipeline = fm.Pipeline(sample=v2.RandomHorizontalFlip(p=1.0), batch=v2.RandomVerticalFlip(p=1.0))
    images, targets = next(iter(pipeline.loader(items, batch_size=2)))
    assert [target["labels"].shape for target in targets] == [(1,), (2,)]
    with pipeline.attach(nn.Flatten()) as mixer:
        x, moved, dots = mixer.prepare(images, boxes=[target["boxes"] for target in targets], keypoints=[points(), points()])
    assert torch.equal(x, images.flip(-2))
    for image, table, dot in zip(x, moved, dots, strict=True):
        assert np.allclose(table, [seen(image)[0]] * len(table))
        assert isinstance(table, tv.BoundingBoxes)
        assert dot.tolist() == [[POINT[0], HEIGHT - 1 - POINT[1]]]


def test_boxes_dropped_from_a_batch_would_leave_their_labels():
    sanitize = v2.SanitizeBoundingBoxes(min_size=2, labels_getter=None)
    mixer = fm.Pipeline(batch=sanitize).attach(nn.Flatten())
    tables = [torch.tensor([BOX, [1, 1, 2, 2]]).float()]
    with mixer, pytest.raises(fm.FeatmixError, match=r"batch: expected \[2\] rows back, got \[1\]\. Drop boxes in sample="):
        mixer.prepare(tensor()[None], boxes=tables)
