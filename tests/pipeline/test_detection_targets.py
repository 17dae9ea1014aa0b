"""Which targets of detection follow, in which form, and which are refused by their names."""

import os

import numpy as np
import pytest
import torch
from torch import nn

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm
from tests.interop.real_torchvision import torchvision_or_skip

SIZE = (12, 16)
IMAGES = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 3, *SIZE)
BOXES = [torch.tensor([[1.0, 2, 9, 8], [4, 4, 12, 11]]), torch.zeros(0, 4)]


def targets(**more):
    own = [{"boxes": boxes, "labels": torch.arange(len(boxes))} for boxes in BOXES]
    return [{**target, **{key: value[row] for key, value in more.items()}} for row, target in enumerate(own)]


class Flat(nn.Module):
    def forward(self, images):
        return images.flatten(1).mean(1)


def attached(mix=None, **settings):
    tree = mix if isinstance(mix, fm.At | fm.Compose) else {"input": mix or fm.CutMix()}
    return fm.Pipeline(mix=tree, seed=0, **settings).attach(Flat())


REFUSED = {
    "keypoints without visibility": ({"keypoints": [torch.ones(2, 5, 2), torch.ones(0, 5, 2)]}, "'keypoints'.*with their visi"),
    "polygons": ({"segmentation": [[[1, 2, 3, 4, 5, 6]] * 2, []]}, r"'segmentation'.*a map \(list\)"),
    "masks of another size": ({"masks": [torch.ones(2, 6, 8), torch.ones(0, 6, 8)]}, r"'masks'.*masks \(N, 12, 16\)"),
    "run lengths": ({"masks": [[{"counts": "x"}] * 2, []]}, "'masks'.*would be left behind"),
    "another table": ({"corners": [torch.ones(2, 4), torch.ones(0, 4)]}, r"'corners'.*a table.*stay=\('corners',\)"),
    "counts": ({"num_keypoints": [torch.ones(2), torch.ones(0)]}, "'num_keypoints'.*left behind"),
    "too few": ({"scores": [torch.ones(1), torch.ones(0)]}, r"'scores'.*as many entries as boxes, \[2, 0\], got \[1, 0\]"),
    "two of boxes": ({"gt_boxes": BOXES}, "one entry of boxes, got 'boxes' and 'gt_boxes'"),
}


@pytest.mark.parametrize(("more", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_follow_is_refused_by_name(more, message):
    with attached() as mixer:
        with pytest.raises(fm.FeatmixError, match=message):
            mixer.draw(IMAGES, target=targets(**more))
        mixer.draw(IMAGES, target=targets())  # nothing was armed


NO_TARGETS = {
    "one for two": (targets()[:1], "2 dictionaries, one for each image, got 1 of dict"),
    "other keys": ([targets()[0], {"boxes": BOXES[1]}], r"dictionaries of \['boxes', 'labels'\], got one of \['boxes'\]"),
    "no boxes": ([{"labels": torch.ones(1)}] * 2, r"one entry of boxes, got none among \['labels'\].*Call them 'boxes'"),
    "five columns": ([{"boxes": torch.ones(1, 5)}] * 2, r"target\['boxes'\]: expected boxes \(N, 4\)"),
    "columns of another length": ({"boxes": BOXES[:1]}, "2 entries, one for each image, got 1"),
}


@pytest.mark.parametrize(("given", "message"), NO_TARGETS.values(), ids=NO_TARGETS)
def test_what_are_no_targets_is_refused(given, message):
    with attached() as mixer, pytest.raises(fm.FeatmixError, match=message):
        mixer.draw(IMAGES, target=given)


TREES = {
    "shares without a place": (fm.MoEx(), "MoEx: boxes: expected a strategy that says what is seen where"),
    "a rest of the own label": (fm.CutMix(own_term=0.5), "own_term=0.5"),
    "a memory": (fm.Mixup(memory=8), "memory="),
    "a soft mask": (fm.FMix(max_soft=0.5), "blends some positions"),
    "labels that stay": (fm.FMix(reformulate=True), "mixes content and leaves labels"),
    "another order of axes": (fm.CutMix(layout="bchx"), "reads images as 'bchw'.*'bchx'"),
}


@pytest.mark.parametrize(("strategy", "message"), TREES.values(), ids=TREES)
def test_strategies_that_boxes_cannot_follow_are_refused_whatever_is_drawn(strategy, message):
    strategy.p = 0.0
    with attached(strategy) as mixer, pytest.raises(fm.FeatmixError, match=message):
        mixer.draw(IMAGES, target=targets())


def test_hidden_layers_mix_no_labels_beside_boxes_and_what_leaves_labels_may_be_anywhere():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten())
    with fm.Pipeline(mix={"0": fm.Mixup()}).attach(model) as mixer, pytest.raises(fm.FeatmixError, match="Mixup at '0'"):
        mixer.draw(IMAGES, target=targets())
    with fm.Pipeline(mix={"0": fm.MixStyle(p=1)}).attach(model) as mixer:
        mix = mixer.draw(IMAGES, target=targets())
        model(IMAGES)
    assert all(torch.equal(new["boxes"], old) for new, old in zip(mix.targets, BOXES, strict=True))


def test_images_are_one_batch_and_masks_of_padding_are_refused():
    with attached() as mixer:
        with pytest.raises(fm.FeatmixError, match="a batch, in one tensor, got a list of 2 tensors"):
            mixer.draw(list(IMAGES), target=targets())
        with pytest.raises(fm.FeatmixError, match="mask: expected None, beside boxes"):
            mixer.draw(IMAGES, target=targets(), mask=torch.ones(2, *SIZE, dtype=torch.bool))
        with pytest.raises(fm.FeatmixError, match=r"images \(B, C, H, W\), for boxes"):
            mixer.draw(torch.rand(2, 3, 4, 4, 4), target=targets())
    large = np.zeros((4, 4, 3), np.uint8), {"boxes": np.zeros((1, 4))}
    small = np.zeros((4, 5, 3), np.uint8), {"boxes": np.zeros((2, 4))}
    with pytest.raises(fm.FeatmixError, match=r"images of one shape in a batch.*Crop or resize them in sample="):
        next(iter(fm.Pipeline().loader([large, small], batch_size=2)))


def test_nothing_is_mixed_in_eval_mode_or_where_p_says_so_and_weights_are_there_all_the_same():
    given = targets(area=[torch.tensor([48, 56]), torch.zeros(0, dtype=torch.int64)])
    for p, training in ((0.0, True), (1.0, False)):
        with attached(fm.Mosaic(p=p)) as mixer:
            mixer._root.train(training)
            found = mixer.draw(IMAGES, target=given).targets
        for new, old in zip(found, given, strict=True):
            assert all(new[key] is old[key] for key in old)
            assert torch.equal(new["weights"], torch.ones(len(old["boxes"])))
    with attached() as mixer, pytest.raises(fm.FeatmixError, match="drawn with targets of detection, got none"):
        _ = mixer.draw(IMAGES).targets


def test_weights_of_ones_own_are_multiplied_and_what_is_to_stay_stays():
    strategy = fm.Mixup(lam_per="sample")
    weights, table = [torch.tensor([2.0, 4.0]), torch.zeros(0)], [torch.eye(4)[:2], torch.zeros(0, 4)]
    with attached(strategy, stay=("corners",)) as mixer:
        mix = mixer.draw(IMAGES, target=targets(weights=weights, corners=table, size=[torch.tensor(SIZE)] * 2))
    lam = mix.params["input"].lam
    own, other = mix.targets
    assert torch.allclose(own["weights"], lam[0] * weights[0])
    assert torch.allclose(other["weights"], (1 - lam[1]) * weights[0])
    assert torch.equal(own["corners"], table[0])
    assert torch.equal(other["boxes"], BOXES[0])
    assert other["size"].tolist() == [*SIZE]


def unasked(mixer):
    for _ in range(12):
        mix = mixer.draw(IMAGES, target=targets())
        output = mixer._root(IMAGES)
    return mix, output


def test_the_loss_of_whole_images_takes_no_boxes_and_boxes_that_nobody_asked_for_are_noticed():
    with attached() as mixer:
        with pytest.warns(UserWarning, match=r"features alone are mixed.*A detector learns from mix.targets"):
            mix, output = unasked(mixer)
        with pytest.raises(fm.FeatmixError, match=r"whole images, got targets of detection.*detector\(images, mix.targets\)"):
            mix.loss(lambda x, y: x, output, targets())


def test_loss_weight_is_in_the_weights():
    with attached(fm.CutMix(loss_weight=2.0), min_visible=0) as mixer:
        mix = mixer.draw(IMAGES, target=targets())
    assert {weight for target in mix.targets for weight in target["weights"].tolist()} == {2.0}


@pytest.mark.parametrize(("form", "numbers"), [("pascal_voc", [2, 1, 8, 5]), ("coco", [2, 1, 6, 4])])
def test_lists_by_key_as_albumentations_gives_them(form, numbers):
    sample = A.Compose([A.HorizontalFlip(p=1)], bbox_params=A.BboxParams(form, label_fields=["kinds"]))
    mask = np.zeros(SIZE, np.uint8)
    mask[1:5, 2:8] = 7
    item = {
        "image": np.repeat(mask[..., None], 3, 2),
        "bboxes": np.array([numbers], np.float64),
        "kinds": ["cat"],
        "masks": [mask],
    }
    pipeline = fm.Pipeline(sample=sample, mix={"input": fm.Mixup()}, seed=0)
    batch = next(iter(pipeline.loader([item] * 2, batch_size=2)))
    keys = ("bboxes", "kinds", "masks")
    with pipeline.attach(Flat()) as mixer:
        found = mixer.draw(batch["image"], target={key: batch[key] for key in keys}).targets
    expected = [8, 1, 14, 5] if form == "pascal_voc" else [8, 1, 6, 4]
    assert all(np.allclose(table, [expected] * 2, atol=1e-4) for table in found["bboxes"])
    assert found["kinds"] == [["cat", "cat"]] * 2
    assert all(np.array_equal(mask, item["masks"][0][:, ::-1]) for masks in found["masks"] for mask in masks)
    assert set(found) == {*keys, "weights"}


def test_boxes_whose_form_nobody_knows_any_more_are_refused():
    sample = A.Compose([A.NoOp()], bbox_params=A.BboxParams("coco"))
    table = [torch.tensor([[2.0, 1, 8, 5]])] * 2
    with attached(fm.Mixup(), sample=sample) as mixer:
        with pytest.raises(fm.FeatmixError, match=r"'boxes'.*how boxes are meant, got xywh in sample=.*_xyxy or _xywh"):
            mixer.draw(IMAGES, target={"boxes": table})
        assert mixer.draw(IMAGES, target={"boxes_xyxy": table}).targets["boxes_xyxy"][0][0].tolist() == [2, 1, 8, 5]


def test_boxes_in_no_pixels_are_refused():
    sample = A.Compose([A.NoOp()], bbox_params=A.BboxParams("yolo"))
    with attached(sample=sample) as mixer, pytest.raises(fm.FeatmixError, match=r"xyxy, xywh or cxcywh.*yolo"):
        mixer.draw(IMAGES, target={"bboxes": [torch.tensor([[0.5, 0.5, 0.2, 0.2]])] * 2})


def test_a_detector_of_torchvision_learns_from_them():
    kinds = torchvision_or_skip("torchvision.tv_tensors")
    torchvision_or_skip("torchvision.models.detection.retinanet")
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.retinanet import RetinaNet

    backbone = nn.Conv2d(3, 4, 3, stride=8, padding=1)
    backbone.out_channels = 4
    detector = RetinaNet(backbone, 3, min_size=32, max_size=32, anchor_generator=AnchorGenerator(((16,),), ((1.0,),)))
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tables = [torch.tensor([[4.0, 4, 30, 20]] * count).view(-1, 4) for count in (2, 1, 0)]
    typed = [kinds.BoundingBoxes(table, format="XYXY", canvas_size=(32, 32)) for table in tables]
    given = [{"boxes": boxes, "labels": torch.ones(len(boxes), dtype=torch.int64)} for boxes in typed]
    with fm.Pipeline(mix={"input": fm.Mosaic()}, seed=0).attach(detector) as mixer:
        mix = mixer.draw(images, target=given)
        losses = detector(images, mix.targets)
        sum(losses.values()).backward()
        assert all(type(target["boxes"]) is kinds.BoundingBoxes for target in mix.targets)
        off = [{**target, "boxes": kinds.BoundingBoxes(tables[0], format="XYXY", canvas_size=(8, 8))} for target in given]
        with pytest.raises(fm.FeatmixError, match=r"boxes on images of \(32, 32\), got boxes on \(8, 8\)"):
            mixer.draw(images, target=off)


def test_min_visible_is_checked_shown_and_saved(tmp_path):
    pipeline = fm.Pipeline(mix={"input": fm.Mosaic(scope=(0.4, 0.6))}, min_visible=0.5)
    fm.save(pipeline, tmp_path / "p.yaml")
    again = fm.load(tmp_path / "p.yaml")
    assert again.min_visible == 0.5
    assert repr(again) == repr(pipeline)
    assert "min_visible=0.5" in repr(again)
    assert "min_visible" not in str(fm.to_dict(fm.Pipeline()))
    with pytest.raises(fm.FeatmixError, match=r"min_visible: expected a number in \[0, 1\], got 2"):
        fm.Pipeline(min_visible=2)


def test_boxes_are_drawn_over_mixed_images():
    sample = A.Compose([A.NoOp()], bbox_params=A.BboxParams("pascal_voc"))
    items = [{"image": np.full((8, 8, 3), 40 * row, np.uint8), "bboxes": np.array([[1.0, 1, 7, 7]])} for row in range(4)]
    preview = fm.Pipeline(sample=sample, mix={"input": fm.Mosaic(scope=(0.5, 0.5))}).preview(items)
    drawn = [axis for axis in preview.axes if axis.get_images()]
    assert [len(axis.patches) for axis in drawn] == [1] * 4 + [4] * 4
    assert sorted(patch.get_xy() for patch in drawn[4].patches) == [(-0.5, -0.5), (-0.5, 4.5), (4.5, -0.5), (4.5, 4.5)]
    hidden = fm.Pipeline(sample=sample, mix={"input": fm.MoEx()}).preview(items)
    assert [len(axis.patches) for axis in hidden.axes if axis.get_images()] == [1] * 4 + [0] * 4
