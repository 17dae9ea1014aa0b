"""Boxes, and what belongs to each, are where the pixels are that carry its number, as many of them as is said."""

import numpy as np
import pytest
import torch
from torch import nn

import featmix as fm

HEIGHT, WIDTH, COUNTS = 18, 24, (2, 0, 3, 1)  # boxes of four images
NUMBERS = sum(COUNTS)


class Detector(nn.Module):
    """Keeps what it was given."""

    def forward(self, images, targets=None):
        self.images = images
        return images.mean((1, 2, 3))


def painted(seed, **more):
    """Images with a channel for each box, in which that box is 1, and targets that say so."""
    random = np.random.default_rng(seed)
    images, targets, number = torch.zeros(len(COUNTS), NUMBERS, HEIGHT, WIDTH), [], 0
    for row, count in enumerate(COUNTS):
        boxes, points = np.zeros((count, 4), np.float32), np.zeros((count, 2, 3), np.float32)
        for k in range(count):
            x, y = random.integers(0, WIDTH - 7), random.integers(0, HEIGHT - 6)
            boxes[k] = x, y, x + random.integers(3, 8), y + random.integers(3, 7)
            left, top, right, bottom = boxes[k].astype(int)
            images[row, number + k, top:bottom, left:right] = 1
            points[k] = [[left, top, 2], [right - 1, bottom - 1, 1]]
        labels = torch.arange(number, number + count)
        own = {"boxes": torch.from_numpy(boxes), "labels": labels, "image_id": row}
        given = {
            "masks": images[row, labels].bool(),
            "keypoints": torch.from_numpy(points),
            "area": images[row, labels].sum((1, 2)),
            "names": [f"box {k}" for k in labels.tolist()],
            "scores": np.linspace(0, 1, count),
        }
        targets.append({**own, **{key: given[key] for key in more.get("keys", given)}})
        number += count
    return images, targets


TREES = {
    "cutmix": fm.CutMix(),
    "cutmix of each": fm.CutMix(lam_per="sample", alpha=0.5, per="sample", p=0.7),
    "mixup": fm.Mixup(lam_per="sample"),
    "resizemix": fm.ResizeMix(lam_per="sample"),
    "fmix": fm.FMix(),
    "mosaic": fm.Mosaic(),
    "mosaic of some": fm.Mosaic(per="sample", p=0.6, scope=(0, 1)),
    "two boxes": fm.Compose([fm.At("input", fm.CutMix(lam_per="sample")), fm.At("input", fm.CutMix(lam_per="sample"))]),
    "mosaic, mixed up": fm.Compose([fm.At("input", fm.Mosaic()), fm.At("input", fm.Mixup(alpha=8.0))]),
    "shrunk after a box": fm.Compose([fm.At("input", fm.CutMix()), fm.At("input", fm.ResizeMix())]),
    "one of": fm.OneOf([fm.At("input", fm.CutMix()), fm.At("input", fm.Mixup()), fm.At("input", fm.MixStyle(p=0.0))]),
}


def step(tree, seed, least, **more):
    """The mixed images, and their targets."""
    images, targets = painted(seed, **more)
    mix = {"input": tree} if isinstance(tree, fm.Strategy) else tree
    detector = Detector()
    with fm.Pipeline(mix=mix, seed=seed, min_visible=least).attach(detector) as mixer:
        drawn = mixer.draw(images, target=targets)
        detector(images, drawn.targets)
    return detector.images, drawn.targets


def bounds(mask):
    rows, columns = mask.nonzero().unbind(1)
    return [columns.min().item(), rows.min().item(), columns.max().item() + 1, rows.max().item() + 1]


@pytest.mark.parametrize("name", TREES)
def test_the_image_is_the_sum_of_its_masks_and_boxes_and_points_lie_on_them(name):
    near = 1.0 if name == "resizemix" else 1e-4  # a shrunk edge lies within a pixel
    for seed in range(3):
        images, targets = step(TREES[name], seed, 0.0)
        assert [target["image_id"] for target in targets] == [0, 1, 2, 3]
        for image, target in zip(images, targets, strict=True):
            again = torch.zeros_like(image).index_add(0, target["labels"], target["weights"].view(-1, 1, 1) * target["masks"])
            assert torch.allclose(again, image, atol=1e-6)
            assert target["area"].tolist() == pytest.approx(target["masks"].sum((1, 2)).tolist(), abs=1e-3)
            assert target["names"] == [f"box {k}" for k in target["labels"].tolist()]
            assert {len(target[key]) for key in target if key != "image_id"} == {len(target["boxes"])}
            if name != "shrunk after a box":  # what is seen of a pixel's part is in the box, and may be no pixel of the mask
                for box, mask, points in zip(target["boxes"], target["masks"], target["keypoints"], strict=True):
                    assert np.allclose(box, bounds(mask), atol=near)
                    check_points(points, box, mask, near)


def check_points(points, box, mask, near):
    for x, y, flag in points.tolist():
        if flag:
            assert near == 1 or mask[int(np.floor(y + 0.5)), int(np.floor(x + 0.5))]
        else:
            assert (x, y) == (0, 0)
    if near < 1 and bool((points[:, 2] > 0).all()):
        assert np.allclose(points[0, :2], box[:2])  # both corners are seen: nothing was cut off them


@pytest.mark.parametrize("name", ["cutmix of each", "fmix", "mosaic", "two boxes", "mixup"])
def test_without_masks_the_area_is_what_is_seen_and_small_shares_are_dropped(name):
    for seed in range(3):
        images, targets = step(TREES[name], seed, 0.0, keys=("area",))
        kept = step(TREES[name], seed, 0.3, keys=("area",))[1]
        full = painted(seed)[0].sum((0, 2, 3))
        for image, target, large in zip(images, targets, kept, strict=True):
            held = torch.zeros(NUMBERS).index_add(0, target["labels"], target["area"])
            assert torch.allclose(held, (image > 0).float().sum((1, 2)), atol=1e-3)
            wanted = target["area"] >= 0.3 * full[target["labels"]] - 1e-4
            assert large["labels"].tolist() == target["labels"][wanted].tolist()
            assert torch.equal(large["boxes"], target["boxes"][wanted])


def test_a_mosaic_has_boxes_of_four_images_and_the_area_of_each_tile():
    images, targets = painted(0)
    detector = Detector()
    with fm.Pipeline(mix={"input": fm.Mosaic(scope=(0.5, 0.5))}, min_visible=0, seed=1).attach(detector) as mixer:
        mix = mixer.draw(images, target=targets, partner=[1, 2, 3, 0])
        detector(images)
    assert torch.equal(mix.mixture.matrix(), torch.full((4, 4), 0.25))
    for row, image in enumerate(detector.images):
        for tile, (down, right) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
            high, wide = HEIGHT // 2, WIDTH // 2
            found = image[:, down * high : (down + 1) * high, right * wide : (right + 1) * wide]
            other = images[(row + tile) % 4]
            top, left = (1 - down) * high, (1 - right) * wide  # a corner of each stands at the centre
            assert torch.equal(found, other[:, top : top + high, left : left + wide])
    assert {label for target in mix.targets for label in target["labels"].tolist()} <= set(range(NUMBERS))


@pytest.mark.parametrize("form", ["XYWH", "CXCYWH"])
def test_boxes_keep_the_form_that_they_have(form):
    images, targets = painted(3, keys=())
    expected = step(fm.CutMix(), 3, 0.1, keys=())[1]
    given = []
    for target in targets:
        low, high = target["boxes"][:, :2], target["boxes"][:, 2:]
        numbers = torch.cat([(low + high) / 2 if form == "CXCYWH" else low, high - low], 1)
        given.append({f"boxes_{form.lower()}": numbers.numpy(), "labels": target["labels"].tolist()})
    detector = Detector()
    with fm.Pipeline(mix={"input": fm.CutMix()}, seed=3).attach(detector) as mixer:
        found = mixer.draw(images, target=given).targets
    for one, other in zip(found, expected, strict=True):
        numbers = torch.from_numpy(one[f"boxes_{form.lower()}"])
        first, size = numbers[:, :2], numbers[:, 2:]
        low = first - size / 2 if form == "CXCYWH" else first
        assert numbers.dtype == torch.float32
        assert torch.allclose(torch.cat([low, low + size], 1), other["boxes"], atol=1e-5)
        assert one["labels"] == other["labels"].tolist()
