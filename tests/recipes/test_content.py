"""What is painted into each sample comes out where its label, its mask and its boxes say, in every recipe's own loop."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from featmix.configuration import allowed
from tests.recipes.running import FOLDER, load, recorded, reseeded, run

PHOTOGRAPHS = [image for image, _ in run.photographs(24)]
SPECTROGRAMS = [image for image, _ in run.spectrograms(24)]


@pytest.fixture(autouse=True)
def _allowed_here_alone(monkeypatch):
    monkeypatch.setattr(allowed, "_THINGS", dict(allowed._THINGS))


def changes(name, images, painted, seed):
    """How much each row's output changes once a sample is another image; with the first run."""
    one = recorded(name, [(images[k], k) for k in range(8)], seed=seed)
    found = {}
    for which in painted:
        model, *_ = recorded(name, [(images[k + 8 * (k == which)], k) for k in range(8)], seed=seed)
        found[which] = [(y - x).abs().flatten(1).amax(1) for x, y in zip(one[0].outputs, model.outputs, strict=True)]
    return one, found


# -- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["torchvision_imagenet", "timm_train", "albumentations_classification", "kornia_batch"])
def test_a_row_holds_the_samples_that_its_label_names(name):
    mixed, held = 0, []
    for seed in range(4):
        (_, mixes, (labels,)), found = changes(name, PHOTOGRAPHS, (0, 7), seed)
        weights = mixes[0].mixture.dense(labels, 8)
        mixed += int((weights > 1e-3).sum()) - 8
        for which, (change,) in found.items():
            share = weights[:, which]
            held += (change[share > 1e-3] > 1e-6).tolist()
            assert bool((change[share == 0] < 1e-6).all()), f"seed {seed}: {which} is where no label says so"
    assert mixed > 8
    assert np.mean(held) > 0.9  # a box may be cut out of a border that a rotation left empty


def test_spectrograms_keep_their_labels_whatever_their_style():
    for seed in range(3):
        (model, mixes, (labels,)), found = changes("spectrograms", SPECTROGRAMS, (0, 5), seed)
        assert torch.equal(mixes[0].mixture.dense(labels, 8), F.one_hot(labels, 8).float())
        for which, (change,) in found.items():
            assert change.argmax() == labels.tolist().index(which)
        sources = torch.stack([torch.from_numpy(x)[..., 0] for x in SPECTROGRAMS[:8]])
        likeness = torch.stack([_likeness(row[0], sources) for row in model.given[0]])
        assert torch.equal(likeness.argmax(1), labels)


def _likeness(row, sources):
    """Correlation over time, averaged over frequencies: what statistics of a frequency do not change."""
    x, y = row - row.mean(1, keepdim=True), sources - sources.mean(2, keepdim=True)
    return F.cosine_similarity(x.expand_as(y), y, dim=2).mean(1)


def test_both_views_are_of_one_sample():
    for seed in range(2):
        (model, *_), found = changes("two_views", PHOTOGRAPHS, (0, 3), seed)
        assert not torch.equal(model.given[0], model.given[1])
        rows = []
        for first, second in found.values():
            assert torch.equal(first > 1e-6, second > 1e-6)
            assert int((first > 1e-6).sum()) == 1
            rows.append(int(first.argmax()))
        assert len(set(rows)) == 2


# -- masks -------------------------------------------------------------------------------------------------------------


def painted_maps(shape, count=8):
    """Light boxes on dark ground, and where they are."""
    random = np.random.default_rng(0)
    masks = np.zeros((count, *shape), np.uint8)
    for mask in masks:
        mask[
            tuple(slice(start, start + size // 2) for start, size in zip(random.integers(1, 7, len(shape)), shape, strict=True))
        ] = 1
    return np.where(masks, 230, 20).astype(np.uint8), masks


@pytest.mark.parametrize(
    ("name", "shape", "image", "mask"),
    [("albumentations_segmentation", (32, 32), "image", "mask"), ("volumes", (8, 16, 16), "volume", "mask3d")],
)
def test_masks_lie_on_what_they_are_of(name, shape, image, mask):
    images, masks = painted_maps(shape)
    items = [{image: x[..., None] if len(shape) == 2 else x, mask: m} for x, m in zip(images, masks, strict=True)]
    mixed = 0
    for seed in range(6):
        model, mixes, targets = recorded(name, items, seed=seed)
        seen, told = model.given[0][:, 0], mixes[0].dense_targets(targets[0])
        assert seen.shape == told.shape
        middle = (seen.flatten(1).amax(1) + seen.flatten(1).amin(1)) / 2
        light = seen > middle.view(-1, *(1,) * len(shape))
        assert float((light == (told == 1)).float().mean()) > 0.97
        assert 0.05 < float(light.float().mean()) < 0.95
        mixed += not torch.equal(told, targets[0])
    assert mixed


# -- boxes -------------------------------------------------------------------------------------------------------------


def test_boxes_and_their_labels_lie_on_what_they_are_of():
    recipe, random = load("detection"), np.random.default_rng(0)
    items = []
    for _ in range(8):
        page, boxes = np.zeros((48, 48, 1), np.uint8), []
        for label, place in enumerate((0, 24)):
            left, top = random.integers(0, 10) + place, random.integers(0, 34)
            page[top : top + 12, left : left + 10] = 120 + 100 * label
            boxes.append([left, top, left + 10, top + 12])
        items.append({"image": page, "bboxes": np.float32(boxes), "labels": [0, 1]})
    kept = 0
    for seed in range(3):
        for batch in reseeded(recipe, seed).loader(items, batch_size=8):
            for image, boxes, labels in zip(batch["image"], batch["bboxes"], batch["labels"], strict=True):
                assert len(boxes) == len(labels)
                for box, label in zip(boxes, labels, strict=True):
                    left, top, right, bottom = box.round().int().tolist()
                    inside = image[0, top:bottom, left:right]
                    assert inside.numel() > 20
                    assert float(inside.max() - inside.min()) < 0.01
                    assert (float(inside.mean()) > 0.67) == (int(label) == 1)
                    kept += 1
                covered = recipe.covered(boxes, image) > 0
                assert bool((image[0][covered] > 0.2).all())
                left_over = ~covered & (image[0] > 0.2)
                assert int(left_over.sum()) <= 0.3 * 2 * 120
    assert kept > 24


# -- evaluation --------------------------------------------------------------------------------------------------------


def test_evaluation_sees_the_middle_of_each_image_as_its_native_version_does():
    items = [(image, k) for k, image in enumerate(PHOTOGRAPHS[:8])]
    recipe, native = load("evaluation"), load("evaluation", FOLDER / "native")
    seen = []
    model = run.network("evaluation")
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    recipe.evaluate(recipe.pipeline(), items, model)
    expected = torch.stack([image for image, _ in native.Images(items, 32)])
    torch.testing.assert_close(seen[0], expected, atol=1e-5, rtol=0)
