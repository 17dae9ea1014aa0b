import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A
import kornia.augmentation as K

import featmix as fm
from featmix import schedule
from featmix.compare import SmallResNet
from featmix.show import look

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_digits_where_no_images_are_given():
    step = look("moex", count=3)
    assert len(step.originals) == 3
    assert set(step.names) <= set("0123456789")
    assert [site.place for site in step.sites] == ["stem"]


def test_features_are_those_of_the_network_of_compare_from_the_seed():
    step = look("moex@layer1", images=IMAGES, seed=7)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = SmallResNet(10).eval()
    x = network.layer1(network.stem(IMAGES))
    assert torch.allclose(step.sites[0].before.std, x.std(1), atol=1e-6)
    assert step.random_weights
    assert not look("moex@layer1", images=IMAGES, model=network).random_weights


def test_another_seed_is_another_step():
    first, again, other = (look("cutmix", images=IMAGES, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.mixed, again.mixed)
    assert not torch.equal(first.mixed, other.mixed)


def test_at_most_so_many():
    step = look("mixup", images=IMAGES, labels=["a", "b", "c", "d"], count=2)
    assert step.names == ("a", "b")
    assert len(step.mixed) == len(step.originals) == 2


def test_images_of_other_forms():
    arrays = list(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8))
    for images in (arrays, [Image.fromarray(image) for image in arrays], torch.from_numpy(np.stack(arrays)).movedim(-1, 1)):
        step = look("moex", images=images)
        assert torch.allclose(step.prepared[1], torch.from_numpy(arrays[1]).movedim(-1, 0) / 255)
    assert look("moex", images=IMAGES[:, :1]).mixed.shape == (4, 3, 8, 8)  # grey ones, for a network that sees colours
    assert look("cutmix", images=IMAGES[:, :2]).mixed.shape == (4, 2, 8, 8)  # no hidden layer is looked at
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU())
    assert look({"0": fm.MoEx()}, images=IMAGES[:, :2], model=model).sites[0].after.mean.shape == (4, 6, 6)


@pytest.mark.parametrize(
    ("labels", "classes", "names"),
    [
        (None, None, ("image 0", "image 1", "image 2", "image 3")),
        (["dog", "cat", "dog", "hen"], None, ("dog", "cat", "dog", "hen")),
        (["dog", "cat", "dog", "hen"], ["hen", "dog", "cat"], ("dog", "cat", "dog", "hen")),
        ([1, 0, 1, 1], ["cat", "dog"], ("dog", "cat", "dog", "dog")),
        (np.array([1, 0, 1, 1]), ["cat", "dog"], ("dog", "cat", "dog", "dog")),
        (torch.tensor([1, 0, 1, 1]), None, ("1", "0", "1", "1")),
        ([[0.0, 1.0], [1.0, 0.0], [0.4, 0.6], [0.5, 0.5]], None, ("1", "0", "1", "0")),
    ],
)
def test_labels_of_all_forms(labels, classes, names):
    step = look("mixup", images=IMAGES, labels=labels, classes=classes)
    assert step.names == names


def test_a_pipeline_of_three_libraries_from_a_file(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3), dtype=np.uint8)
    fm.save(
        fm.Pipeline(
            sample=A.Compose([A.CenterCrop(8, 8), A.HorizontalFlip(p=1.0)]),
            batch=K.AugmentationSequential(K.RandomVerticalFlip(p=1.0)),
            mix={"input": fm.CutMix(), "layer1": fm.MoEx(lam=0.9)},
            seed=0,
        ),
        tmp_path / "aug.yaml",
    )
    step = look(fm.load(tmp_path / "aug.yaml"), images=list(images), labels=[0, 1, 2, 3])
    assert step.has_parts
    assert step.originals[0].shape == (3, 12, 12)
    cropped = torch.from_numpy(images[:, 2:10, 2:10].copy()).movedim(-1, 1) / 255
    assert torch.allclose(step.prepared, cropped.flip(-1).flip(-2), atol=1e-6)
    own = step.mixed == step.prepared  # all of a sample, but for the partner's box, of the area that the label says
    assert own.all(1).flatten(1).float().mean(1).tolist() == pytest.approx(step.at_input.matrix().diagonal().tolist())
    (site,) = step.sites
    exchanged = 0.9 * torch.eye(4) + 0.1 * torch.eye(4)[site.partner]
    assert torch.allclose(step.mixture.matrix(), exchanged @ step.at_input.matrix(), atol=1e-6)


def test_a_pipeline_shows_what_its_preview_shows():
    pipeline = fm.Pipeline(sample=A.GaussNoise(p=1.0), mix={"input": fm.CutMix()}, seed=0)
    images = list(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8))
    step, figure = look(pipeline, images=images, seed=5), pipeline.preview(images, seed=5)
    shown = [np.asarray(axis.get_images()[0].get_array()) for axis in figure.axes[4:]]
    assert np.allclose(np.stack(shown), step.mixed.movedim(1, -1), atol=1e-6)


def test_a_pipeline_that_mixes_nothing():
    step = look(fm.Pipeline(batch=K.RandomVerticalFlip(p=1.0)), images=IMAGES, site="layer1")
    assert step.does == "nothing is mixed"
    assert step.idle
    assert torch.equal(step.mixed, IMAGES.flip(-2))
    assert torch.equal(step.sites[0].before.mean, step.sites[0].after.mean)


def test_schedules_are_those_of_the_progress():
    late = schedule.switch_off(1.0, at=0.9)
    assert not look({"input": fm.CutMix(p=late)}, images=IMAGES).idle
    assert look({"input": fm.CutMix(p=late)}, images=IMAGES, progress=1.0).idle


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "resnet"}, "show: model: expected a torch.nn.Module, got str"),
        ({"site": "input"}, "show: site: expected a hidden layer, got 'input'"),
        ({"site": 3}, "show: site: expected a hidden layer, got 3"),
        ({"site": "layr1"}, "attach: site: expected the name of a module, got 'layr1'. Did you mean 'layer1'"),
        ({"seed": -1}, "show: seed: expected a whole number from 0 up, got -1"),
        ({"count": 0}, "show: count: expected a whole number from 1 up, got 0"),
        ({"count": True}, "show: count: expected a whole number"),
        ({"progress": 2}, "show: progress: expected"),
        ({"labels": [1, 2]}, "show: labels: expected one for each of 4 images, got 2"),
        ({"labels": [1, 2, 3, None]}, "show: labels: expected class indices, names, or vectors"),
        ({"labels": [0, 1, 2, 3], "classes": ["a"]}, "show: labels: expected indices of the 1 classes, got 1"),
        ({"labels": list("abca"), "classes": ["a", "b"]}, "show: labels: expected names of classes, got 'c'"),
        ({"images": []}, "show: images: expected at least one, got none"),
        ({"images": None, "labels": [1]}, "show: images: expected images for these labels, got none"),
        ({"images": IMAGES[:, :2], "site": "stem"}, "show: images: expected 1 or 3 channels, got 2 channels"),
        ({"images": [IMAGES[0], IMAGES[0, :, 1:]]}, "Pipeline.collate: items: expected images of one shape"),
        ({"images": IMAGES[0, 0]}, "Pipeline: item: expected an image"),
    ],
)
def test_bad_input_is_refused(settings, said):
    with pytest.raises(fm.FeatmixError) as caught:
        look("cutmix", **{"images": IMAGES, **settings})
    assert str(caught.value).startswith(said)


def test_images_that_a_pipeline_cannot_take_are_refused():
    pipeline = fm.Pipeline(sample=A.RandomCrop(24, 24))
    with pytest.raises(fm.FeatmixError, match=r"show: images: expected images that the pipeline takes, got .*kind and size"):
        look(pipeline, images=IMAGES)
