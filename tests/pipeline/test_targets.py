"""Boxes, keypoints and masks go where the image goes: content painted into the image says where that is."""

import os

import numpy as np
import pytest
import torch
from kornia import augmentation as K
from torch import nn

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm
from featmix.pipeline.geometry import moves_geometry

BOX = [2, 1, 5, 3]  # columns 2 to 4, rows 1 and 2
POINT = [6, 4]
HEIGHT, WIDTH = 6, 8


def painted(box=BOX, point=POINT):
    """An image with a box in its first channel and a point in its second."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2], 0] = 255
    image[point[1], point[0], 1] = 255
    return image


def tensor(*where):
    return torch.from_numpy(painted(*where)).movedim(-1, 0).float() / 255


def seen(image):
    """The box and the point that are seen in an image: channels first where it is a tensor."""
    x = np.asarray(image)
    x = x if isinstance(image, np.ndarray) else np.moveaxis(x, 0, -1)
    rows, columns = np.nonzero(x[..., 0] > x.max() / 2)
    y, x = np.unravel_index(x[..., 1].argmax(), x.shape[:2])
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], [x, y]


MASK = (painted()[..., 0] > 0).astype(np.int32)
BOXED = A.BboxParams("pascal_voc", label_fields=["labels"])
BY_ALBUMENTATIONS = A.Compose(
    [A.HorizontalFlip(p=1), A.RandomRotate90(p=1)],
    bbox_params=BOXED,
    keypoint_params=A.KeypointParams("xy"),
)
TARGETS = {"bboxes": np.array([BOX], np.float32), "keypoints": np.array([POINT], np.float32), "labels": ["cat"]}


def agree(image, boxes, points, mask):
    box, point = seen(image)
    assert np.allclose(np.asarray(boxes), [box], atol=1e-3)
    assert np.allclose(np.asarray(points), [point], atol=1e-3)
    assert np.array_equal(np.asarray(mask), channel(image, 0) > 0.5)
    assert box != BOX


def channel(image, k):
    return np.asarray(image)[..., k] if isinstance(image, np.ndarray) else np.asarray(image)[k]


@pytest.mark.parametrize("seed", range(3))
def test_albumentations_moves_its_targets_by_name_in_dictionaries_and_in_tuples(seed):
    pipeline = fm.Pipeline(sample=BY_ALBUMENTATIONS, seed=seed)
    done = pipeline.dataset([{"image": painted(), "mask": MASK, "masks": [MASK, MASK * 70_000], **TARGETS, "id": "x"}])[0]
    agree(done["image"] / 255, done["bboxes"], done["keypoints"], done["mask"])
    assert [mask.dtype for mask in done["masks"]] == [np.int32, np.int32]
    assert np.array_equal(done["masks"][1], done["mask"] * 70_000)
    assert (done["labels"], done["id"]) == (["cat"], "x")
    image, told = pipeline.dataset([(painted(), {**TARGETS, "masks": [MASK], "id": 7})])[0]
    agree(image / 255, told["bboxes"], told["keypoints"], told["masks"][0])
    assert (told["labels"], told["id"]) == (["cat"], 7)


@pytest.mark.parametrize(
    "transform",
    [
        K.RandomHorizontalFlip(p=1.0),
        K.AugmentationSequential(K.RandomVerticalFlip(p=1.0), K.RandomHorizontalFlip(p=1.0)),
        K.RandomRotation90((1, 3), p=1.0),
    ],
)
def test_kornia_moves_its_data_keys_in_sample(transform):
    item = {
        "image": painted(),
        "mask": MASK,
        "bbox_xyxy": torch.tensor([BOX]).float(),
        "bbox_xywh": np.array([[2, 1, 3, 2]], np.float32),
        "keypoints": [POINT],
        "labels": torch.tensor([3]),
    }
    square = {**item, "image": painted()[:, :6], "mask": MASK[:, :6], "keypoints": [[5, 4]]}
    square["image"][4, 5, 1] = 255
    given = square if isinstance(transform, K.RandomRotation90) else item
    done = fm.Pipeline(sample=transform, seed=1).dataset([given])[0]
    agree(done["image"], done["bbox_xyxy"], done["keypoints"], done["mask"])
    x, y, width, height = done["bbox_xywh"][0]
    assert np.allclose([x, y, x + width, y + height], seen(done["image"])[0], atol=1e-3)
    assert done["labels"].tolist() == [3]
    assert [type(done[key]) for key in ("bbox_xyxy", "bbox_xywh", "keypoints")] == [torch.Tensor, np.ndarray, list]
    empty = fm.Pipeline(sample=transform).dataset([{"image": painted(), "bbox_xyxy": torch.zeros(0, 4)}])[0]
    assert empty["bbox_xyxy"].shape == (0, 4)


STAYS = {
    "callable": (lambda image: image[:, ::-1], "use albumentations with bbox_params"),
    "kornia": (K.RandomHorizontalFlip(p=1.0), "Name boxes 'bbox_xyxy'"),
    "albumentations": (A.HorizontalFlip(p=1), "Call it '"),
}


@pytest.mark.parametrize(("transform", "fix"), STAYS.values(), ids=STAYS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("boxes", torch.tensor([BOX])),
        ("gt_bboxes", np.array([BOX])),
        ("landmarks", [POINT, POINT]),
        ("polygons", [[0.0, 0.0, 3.0, 0.0, 3.0, 3.0]]),
        ("bbox", BOX),
        ("instances", {"maps": [MASK, MASK]}),
        ("objects", np.zeros((3, 5), np.float32)),
    ],
)
def test_a_target_that_would_stay_behind_is_refused_by_name(transform, fix, name, value):
    item = {"image": painted(), name: value, "label": 3}
    with pytest.raises(fm.FeatmixError, match=rf"Pipeline: item\['{name}'\].*would leave behind\. .*{fix}.*stay=\('?"):
        fm.Pipeline(sample=transform).dataset([item])[0]
    with pytest.raises(fm.FeatmixError, match=rf"item\[1\]\['{name}'\].*would leave behind"):
        fm.Pipeline(sample=transform).dataset([(painted(), {name: value})])[0]
    told = fm.Pipeline(sample=transform, stay=name)
    assert told.dataset([item])[0][name] is value
    assert fm.from_dict(fm.to_dict(fm.Pipeline(stay=(name, 2)))).stay == (name, 2)


def test_a_table_in_a_tuple_is_asked_about_and_labels_are_not():
    boxes = torch.tensor([BOX]).float()
    flip = K.RandomHorizontalFlip(p=1.0)
    with pytest.raises(fm.FeatmixError, match=r"item\[1\].*a table with four or five columns.*stay=\(1,\)"):
        fm.Pipeline(sample=flip).dataset([(painted(), boxes)])[0]
    assert fm.Pipeline(sample=flip, stay=1).dataset([(painted(), boxes)])[0][1] is boxes
    for label in (torch.tensor(3), torch.rand(10), [1, 2, 3, 4], "cat", {"id": 3, "boxes": 2, "name": "x", "area": [1.0]}):
        assert fm.Pipeline(sample=flip).dataset([(painted(), label)])[0][1] is label


@pytest.mark.parametrize("transform", [K.ColorJiggle(0.1, 0.1), A.Compose([A.GaussNoise(p=1), A.NoOp()])])
def test_colours_leave_boxes_where_they_are(transform):
    boxes = torch.tensor([BOX])
    assert not moves_geometry(transform)
    assert fm.Pipeline(sample=transform).dataset([{"image": painted(), "boxes": boxes}])[0]["boxes"] is boxes


def test_ragged_targets_become_lists_and_the_rest_a_batch():
    items = [
        {"image": painted(), "bboxes": np.array([BOX] * n, np.float32).reshape(-1, 4), "labels": ["cat"] * n, "id": n}
        for n in (2, 0, 1)
    ]
    loader = fm.Pipeline(sample=A.Compose([A.HorizontalFlip(p=1)], bbox_params=BOXED)).loader(items, batch_size=3)
    batch = next(iter(loader))
    assert batch["image"].shape == (3, 3, HEIGHT, WIDTH)
    assert [tuple(boxes.shape) for boxes in batch["bboxes"]] == [(2, 4), (0, 4), (1, 4)]
    assert np.allclose(batch["bboxes"][2], [[3, 1, 6, 3]])
    assert batch["labels"] == [["cat", "cat"], [], ["cat"]]
    assert batch["id"].tolist() == [2, 0, 1]
    images, targets, numbers = next(iter(fm.Pipeline().loader([(painted(), {"boxes": item["bboxes"]}, 5) for item in items])))
    assert (images.shape[0], list(targets[0]), numbers.tolist()) == (1, ["boxes"], [5])


def test_views_have_boxes_of_their_own():
    flips = [A.Compose([flip(p=1)], bbox_params=BOXED) for flip in (A.HorizontalFlip, A.VerticalFlip)]
    item = (painted(), {"bboxes": np.array([BOX], np.float32), "labels": ["cat"]}, 3)
    loader = fm.Pipeline().loader([item] * 2, views=flips, batch_size=2)
    images, targets, labels = next(iter(loader))
    for view, boxes in zip(images, targets, strict=True):
        assert np.allclose(boxes[0]["bboxes"], [seen(view[0])[0]])
    assert labels.tolist() == [3, 3]


@pytest.mark.parametrize("transform", [K.RandomHorizontalFlip(p=0.5), nn.Sequential(K.RandomVerticalFlip(p=0.5))])
@pytest.mark.parametrize("stacked", [True, False])
def test_prepare_moves_boxes_and_points_row_by_row(transform, stacked):
    places = [([k, 1, k + 2, 3], [k + 1, 4]) for k in range(6)]
    images = torch.stack([tensor(*place) for place in places])
    boxes = [torch.tensor([box] * (1 if stacked else 1 + k % 2)).float() for k, (box, _) in enumerate(places)]
    points = [torch.tensor([point]).float() for _, point in places]
    masks = (images[:, 0] > 0).long()
    pipeline = fm.Pipeline(batch=transform, seed=0)
    with pipeline.attach(nn.Flatten()) as mixer:
        given = torch.stack(boxes) if stacked else boxes
        x, maps, moved, dots = mixer.prepare(images, masks, boxes=given, keypoints=points)
        assert isinstance(moved, torch.Tensor if stacked else list)
    assert torch.equal(maps, (x[:, 0] > 0).long())
    assert not torch.equal(x, images)
    for image, table, dot, before in zip(x, moved, dots, boxes, strict=True):
        assert table.shape == before.shape
        assert np.allclose(table, [seen(image)[0]] * len(before), atol=1e-3)
        assert np.allclose(dot, [seen(image)[1]], atol=1e-3)


def test_prepare_refuses_what_it_cannot_move():
    images, boxes = torch.rand(2, 3, HEIGHT, WIDTH), torch.tensor([[BOX]] * 2).float()
    with fm.Pipeline(batch=K.RandomHorizontalFlip(p=1.0)).attach(nn.Flatten()) as mixer:
        for table in (boxes, boxes[:, 0], torch.zeros(2, 3, 4)):
            with pytest.raises(fm.FeatmixError, match=r"Mixer\.prepare: masks: .*\(6, 8\).*prepare\(images, boxes="):
                mixer.prepare(images, table)
        for bad in (boxes[:1], boxes[..., :3], [boxes[0]], 3):
            with pytest.raises(fm.FeatmixError, match=r"Mixer\.prepare: boxes"):
                mixer.prepare(images, boxes=bad)
    mixer, said = fm.Pipeline(batch=lambda x: x.flip(-1)).attach(nn.Flatten()), "boxes and keypoints, got function, a callable"
    with mixer, pytest.raises(fm.FeatmixError, match=said):
        mixer.prepare(images, boxes=boxes)
    with fm.Pipeline().attach(nn.Flatten()) as mixer:
        assert mixer.prepare(images, boxes=boxes)[1] is boxes


def test_labels_of_dropped_boxes_are_dropped_or_it_is_refused():
    crop = [A.Crop(0, 0, 4, 4)]
    item = {
        "image": painted(),
        "bboxes": np.array([[0, 0, 2, 2], [6, 0, 8, 2]], np.float32),
        "labels": ["cat", "dog"],
        "id": "xy",
    }
    done = fm.Pipeline(sample=A.Compose(crop, bbox_params=BOXED)).dataset([item])[0]
    assert done["labels"] == ["cat"]
    loose = fm.Pipeline(sample=A.Compose(crop, bbox_params=A.BboxParams("pascal_voc")))
    with pytest.raises(fm.FeatmixError, match=r"item\['labels'\].*1 of 2 were dropped.*label_fields of BboxParams"):
        loose.dataset([item])[0]
    assert len(loose.dataset([{**item, "labels": 3}])[0]["bboxes"]) == 1
