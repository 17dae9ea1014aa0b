"""timm's transforms, as its train script makes them, once their modules are let in."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

import featmix as fm
from featmix.configuration import allowed
from tests.interop.real_torchvision import torchvision_or_skip

torchvision_or_skip("torchvision.transforms.v2")
data = pytest.importorskip("timm.data")

PICTURES = [Image.fromarray(np.uint8(np.random.default_rng(k).integers(0, 256, (40, 44, 3)))) for k in range(4)]
TRAIN = [
    {"auto_augment": "augmix-m3-w3"},
    {"auto_augment": "augmix-m5-w4-d2-mstd0.5", "re_prob": 0.5},
    {"auto_augment": "rand-m9-mstd0.5-inc1", "re_prob": 0.5, "re_mode": "rand", "re_count": 2},
    {"auto_augment": "rand-m7-n3", "interpolation": "bicubic"},
    {"auto_augment": "v0r-mstd0.5", "scale": (0.2, 1.0)},
    {"auto_augment": "3a", "interpolation": "random"},
    {"color_jitter": (0.1, 0.2, 0.3), "color_jitter_prob": 0.5, "grayscale_prob": 0.2, "gaussian_blur_prob": 0.3},
    {"train_crop_mode": "rkrc", "vflip": 0.5},
    {"no_aug": True, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
]
EVALUATION = [{}, {"crop_pct": 0.9, "crop_mode": "border"}, {"crop_mode": "squash", "interpolation": "bilinear"}]


@pytest.fixture(autouse=True)
def _let_in(monkeypatch):
    from timm.data import auto_augment, random_erasing, transforms
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import transforms as of_torchvision

    monkeypatch.setattr(allowed, "_THINGS", dict(allowed._THINGS))
    for thing in (transforms, auto_augment, random_erasing, of_torchvision, InterpolationMode, Image.Resampling):
        fm.configuration.allow(thing)


@pytest.mark.parametrize("settings", [{"is_training": True, **s} for s in TRAIN] + EVALUATION, ids=repr)
def test_it_comes_back_and_draws_the_same(settings, tmp_path):
    pipeline = fm.Pipeline(sample=data.create_transform(24, **settings), seed=0)
    fm.save(pipeline, tmp_path / "aug.yaml")
    again = fm.load(tmp_path / "aug.yaml")
    assert fm.to_dict(again) == fm.to_dict(pipeline)
    items = list(zip(PICTURES, range(4), strict=True))
    first, second = (next(iter(one.loader(items, batch_size=4)))[0] for one in (pipeline, again))
    assert first.shape == (4, 3, 24, 24)
    assert torch.equal(first, second)
    assert pipeline.summary() == again.summary()


def test_a_number_beyond_all_bounds_has_a_tag():
    mixing = fm.from_dict(fm.to_dict(fm.Pipeline(sample=data.auto_augment.augment_and_mix_transform("augmix-m3", {}))))
    assert mixing.sample.ops[0].hparams["magnitude_std"] == math.inf
    for wrong in (2, True, "1", 0):
        with pytest.raises(fm.FeatmixError, match="1 or -1"):
            fm.from_dict(_of_torchvision("Normalize", mean=[{"infinite": wrong}], std=[1.0]))


def test_a_file_does_not_get_past_bounds_by_it():
    with pytest.raises(fm.FeatmixError, match="a number up to"):
        fm.from_dict(_of_torchvision("RandomCrop", size=4, padding={"infinite": 1}))
    for name in ("alpha", "p", "eps"):
        with pytest.raises(fm.FeatmixError, match=name):
            fm.from_dict({"strategy": {"name": "mixstyle", name: {"infinite": 1}}})
    with pytest.raises(fm.FeatmixError, match="finite"):
        fm.to_dict(fm.Pipeline(sample=_allowed_with(torch.tensor([math.inf]))))


def _of_torchvision(name, **arguments):
    return {"sample": {"class": f"torchvision.transforms.v2.{name}", "arguments": arguments}}


class Adds:
    def __init__(self, value):
        self.value = value

    def __call__(self, x):
        return x + self.value


def _allowed_with(value):
    fm.configuration.allow(Adds)
    return Adds(value)
