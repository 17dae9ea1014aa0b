import os

import numpy as np
import pytest
import torch
from kornia import augmentation as K
from torch import nn

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm
from featmix import schedule


def everything(seed=0):
    return fm.Pipeline(
        sample=A.Compose(
            [A.RandomCrop(12, 12), A.OneOf([A.HorizontalFlip(p=1), A.Affine(rotate=(-20, 20), p=1)]), A.GaussNoise()]
        ),
        batch=K.AugmentationSequential(K.RandomAffine(15.0), K.ColorJiggle(0.1, 0.1, 0.1, 0.1), K.RandomGaussianNoise(std=0.1)),
        mix=fm.Compose(
            [
                fm.At("input", fm.CutMix(p=schedule.linear(0.5, 1))),
                fm.OneOf([fm.At("0", fm.MoEx("pono")), fm.At("2", fm.MixStyle())], weights=[2, 1]),
            ]
        ),
        seed=seed,
    )


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def trained(pipeline, workers=0, epochs=2):
    """Everything that a model sees in two epochs, and the labels."""
    images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    model = net()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.1)
    seen = []
    with pipeline.attach(model, example=torch.rand(4, 3, 12, 12)) as mixer:
        for _ in range(epochs):
            for batch, labels in pipeline.loader(
                list(zip(images, range(16), strict=True)), batch_size=4, shuffle=True, num_workers=workers
            ):
                x = mixer.prepare(batch)
                mix = mixer.draw(x, target=labels)
                seen += [batch, x, model(x), labels, mix.mixture.matrix()]
    return seen


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_loaded_pipeline_does_the_same_bit_for_bit(tmp_path):
    pipeline = everything()
    fm.save(pipeline, tmp_path / "aug.yaml")
    again = fm.load(tmp_path / "aug.yaml")
    assert fm.to_dict(again) == fm.to_dict(pipeline)
    first, second = trained(pipeline), trained(again)
    assert len(first) == 40
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    other = trained(everything(seed=1))
    assert not any(torch.equal(a, b) for a, b in zip(first[1::5], other[1::5], strict=True))


def test_names_of_images_and_masks_are_kept():
    for names in ({"images": ("left", "right"), "masks": "depth"}, {"images": 1, "masks": ()}, {"masks": (1, 2)}):
        pipeline = fm.Pipeline(**names)
        again = fm.from_dict(fm.to_dict(pipeline))
        assert (again.images, again.masks) == (pipeline.images, pipeline.masks)
        assert fm.to_dict(again) == fm.to_dict(pipeline)
    with pytest.raises(fm.FeatmixError, match="keys or positions"):
        fm.from_dict({**fm.to_dict(fm.Pipeline()), "masks": [0.5]})


def test_parts_that_are_not_there_stay_so():
    for pipeline in (fm.Pipeline(), fm.Pipeline(mix={"input": fm.CutMix()}), fm.Pipeline(batch=K.RandomAffine(1.0), seed=3)):
        again = fm.from_dict(fm.to_dict(pipeline))
        assert [again.sample is None, again.batch is None, again.mix is None, again.seed] == [
            pipeline.sample is None,
            pipeline.batch is None,
            pipeline.mix is None,
            pipeline.seed,
        ]
    assert type(fm.from_dict(fm.to_dict(fm.Pipeline(mix={"input": fm.CutMix()}))).mix) is dict


def test_what_a_person_writes(tmp_path):
    path = tmp_path / "aug.yaml"
    path.write_text(
        """
        sample: {albumentations: {__class_fullname__: RandomCrop, height: 4, width: 4}}
        batch: {class: kornia.augmentation.RandomHorizontalFlip}
        mix:
          sites:
            input: {name: cutmix, p: 0.5}
            layer1: {name: moex, norm: in, eps: 1e-6}  # the norm is text, the number is one
        """
    )
    pipeline = fm.load(path)
    assert isinstance(pipeline.sample, A.RandomCrop)
    assert isinstance(pipeline.batch, K.RandomHorizontalFlip)
    assert pipeline.mix["layer1"].settings() == fm.MoEx("in", eps=1e-6).settings()


MOEX = {"at": "a", "strategy": {"name": "moex"}}
MIXUP = {"class": "kornia.augmentation.RandomMixUpV2"}


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"mix": 3}, "mix", "a tree"),
        (
            {"mix": {"compose": [MOEX, {**MOEX, "strategy": {"name": "moex", "norm": "x"}}]}},
            "mix.compose[1].strategy.norm",
            "x",
        ),
        ({"mix": None, "seed": "x"}, "seed", "a whole number"),
        ({"mix": None, "seed": -1}, "seed", "a whole number"),
        ({"mix": None, "seed": True}, "seed", "a whole number"),
        ({"sample": {"name": "moex"}}, "sample", "a transform"),
        ({"sample": "os.system"}, "sample", "a transform"),
        ({"batch": MIXUP}, "batch", "leave each sample its own label"),
        ({"batch": {"class": "torch.nn.Sequential", "members": [MIXUP]}}, "batch", "fm.interop.kornia.from_kornia"),
    ],
)
def test_refusals(value, path, message):
    with pytest.raises(fm.FeatmixError) as caught:
        fm.from_dict(value)
    assert caught.value.argument == path
    assert message in str(caught.value)


def test_a_pipeline_of_ones_own_is_refused():
    class Mine(fm.Pipeline):
        pass

    with pytest.raises(fm.FeatmixError, match=r"expected a featmix\.Pipeline"):
        fm.to_dict(Mine())
