"""Several views of each sample, by one transform or by transforms of their own."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm

GREY = np.full((6, 6, 3), 128, np.uint8)
NOISE = A.Compose([A.GaussNoise(std_range=(0.2, 0.4), p=1)])
SMALL = A.Compose([A.RandomCrop(4, 4), A.GaussNoise(std_range=(0.2, 0.4), p=1)])


def train():
    return [(GREY, number) for number in range(8)]


def black(image):
    image[:] = 0  # into what it was given
    return image


@pytest.mark.parametrize(
    "settings",
    [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}],
    ids=["no workers", "workers", "persistent workers"],
)
@pytest.mark.parametrize("seed", [None, 0])
def test_two_views_of_one_transform_draw_apart(settings, seed):
    loader = fm.Pipeline(sample=NOISE, seed=seed).loader(train(), views=2, batch_size=4, shuffle=True, **settings)
    seen, labels = [], []
    for _ in range(2):
        for views, target in loader:
            assert [view.shape for view in views] == [(4, 3, 6, 6)] * 2
            seen += [image.numpy().tobytes() for view in views for image in view]
            labels += target.tolist()
    assert len(seen) == len(set(seen)) == 32
    assert sorted(labels) == sorted([*range(8)] * 2)


def test_each_view_may_have_a_transform_of_its_own():
    pipeline = fm.Pipeline(sample=lambda image: image + 1, seed=0)
    (first, second), labels = next(iter(pipeline.loader(train(), views=[black, lambda image: image], batch_size=8)))
    assert (float(first.max()), float((second * 255).min())) == (0, 128)  # nothing of the one in the other, or in `sample`
    assert labels.tolist() == [*range(8)]
    assert GREY.min() == 128
    for image in (Image.fromarray(GREY), torch.from_numpy(GREY).movedim(-1, 0)):
        views, label = pipeline.dataset([(image, 5)], views=[lambda image: image, lambda image: image])[0]
        assert (len(views), label) == (2, 5)


def test_groups_as_dino_has_them():
    views = {"global": [NOISE, A.NoOp()], "local": (SMALL, 6)}
    pipeline = fm.Pipeline(seed=0)
    batch, labels = next(iter(pipeline.loader(train(), views=views, batch_size=4)))
    assert {name: [tuple(view.shape) for view in group] for name, group in batch.items()} == {
        "global": [(4, 3, 6, 6)] * 2,
        "local": [(4, 3, 4, 4)] * 6,
    }
    assert labels.tolist() == [0, 1, 2, 3]
    assert len({image.numpy().tobytes() for view in batch["local"] for image in view}) == 24
    assert torch.equal(batch["global"][1], torch.full((4, 3, 6, 6), 128 / 255))
    mine = next(
        iter(fm.Pipeline(sample=A.NoOp(), seed=0).loader(train(), views={"weak": 1, "strong": (NOISE, 2)}, batch_size=4))
    )
    assert {name: len(group) for name, group in mine[0].items()} == {"weak": 1, "strong": 2}


@pytest.mark.parametrize("form", ["image", "dict", "mask", "boxes"])
def test_whatever_moves_is_there_once_for_each_view_and_labels_once(form):
    ramp = np.arange(36, dtype=np.uint8).reshape(6, 6)
    flip = A.Compose(
        [A.HorizontalFlip(p=1)], bbox_params=A.BboxParams("pascal_voc", label_fields=["kinds"]) if form == "boxes" else None
    )
    views = [flip, A.Compose([A.NoOp()])]
    if form == "image":
        first, second = next(iter(fm.Pipeline().loader([ramp] * 2, views=views, batch_size=2)))
        assert torch.equal(first, second.flip(-1))
        return
    if form == "mask":
        pipeline, item = fm.Pipeline(masks=1), (ramp, ramp, 7)
        (first, second), (one, other), labels = next(iter(pipeline.loader([item] * 2, views=views, batch_size=2)))
        assert torch.equal(one, (first * 255).round().long()[:, 0])
        assert torch.equal(one.flip(-1), other)
        assert labels.tolist() == [7, 7]
        return
    boxes = {"bboxes": np.array([[0.0, 0, 2, 6]]), "kinds": [4]} if form == "boxes" else {}
    item = {"image": ramp, "mask": ramp, "label": 7, "name": "x", **boxes}
    batch = next(iter(fm.Pipeline().loader([item] * 2, views=views[:1] * 2, batch_size=2)))
    assert torch.equal(batch["mask"][0], (batch["image"][0] * 255).round().long()[:, 0])
    assert torch.equal(batch["image"][0], batch["image"][1])
    assert (batch["label"].tolist(), batch["name"]) == ([7, 7], ["x", "x"])
    if boxes:
        moved = torch.tensor([[4.0, 0, 6, 6]]).double()
        assert all(torch.allclose(boxes, moved) for view in batch["bboxes"] for boxes in view)


def test_another_collate_function_sees_lists():
    item = fm.Pipeline(sample=NOISE).dataset(train(), views=2)[0]
    assert isinstance(item[0], list)
    views, labels = next(iter(DataLoader(fm.Pipeline(sample=NOISE).dataset(train(), views=2), batch_size=4)))
    assert [view.shape for view in views] == [(4, 6, 6, 3)] * 2
    assert labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (0, "views: expected a whole number from 1 up, got 0"),
        (True, r"views: expected 2, \[transform, transform\], or"),
        ([], "views: expected 2"),
        ("two", "views: expected 2"),
        ({}, "views: expected groups, each with a name"),
        ({1: 2}, "views: expected groups, each with a name"),
        ([black, 3], "views: expected a transform for each view, got 3"),
        ((black, 0), "views: expected a whole number from 1 up, got 0"),
        ({"local": "six"}, "views: expected 2"),
        (2, "a transform for each view, got None. A number alone means so many times the pipeline's sample="),
        ([fm.CutMix()], "views: expected transforms that leave each sample its own label"),
    ],
)
def test_what_stands_for_no_views_is_refused(views, message):
    with pytest.raises(fm.FeatmixError, match=message):
        fm.Pipeline().dataset(train(), views=views)


def test_views_of_views_are_refused():
    pipeline = fm.Pipeline(sample=NOISE)
    with pytest.raises(fm.FeatmixError, match=r"views: expected None, for what a pipeline made"):
        pipeline.dataset(pipeline.dataset(train()), views=2)
    with pytest.raises(fm.FeatmixError, match="expected as many views of each item"):
        pipeline.collate([pipeline.dataset(train(), views=count)[0] for count in (2, 3)])
