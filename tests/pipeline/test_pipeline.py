import inspect
import os

import numpy as np
import pytest
import torch
from kornia import augmentation as K
from torch import nn

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm


def everything():
    return fm.Pipeline(
        sample=A.Compose([A.RandomCrop(6, 6), A.HorizontalFlip()]),
        batch=K.AugmentationSequential(K.RandomAffine(15.0), K.ColorJiggle(0.1, 0.1)),
        mix=fm.Compose(
            [
                fm.At("input", fm.CutMix(p=0.5)),
                fm.OneOf([fm.At("0", fm.MoEx("in", lam=0.8)), fm.At("2", fm.MixStyle())], weights=[3, 1]),
            ]
        ),
        seed=7,
    )


def test_a_summary_says_what_is_done_where_and_what_labels_become():
    every = everything().summary().splitlines()
    lines = [line for line in every if not line.startswith(" ")]
    assert [line.split("(")[0].strip() for line in every if line.startswith(" ")] == [
        "RandomCrop",
        "HorizontalFlip",
        "RandomAffine",
        "ColorJiggle",
    ]
    assert [line.split()[0] for line in lines] == ["part", "sample", "batch", "mix", "mix", "mix", "seed"]
    assert "loader's workers" in lines[1]
    assert "albumentations Compose(p=1.0)" in lines[1]
    assert "kornia AugmentationSequential()" in lines[2]
    assert [line.split()[-1] for line in lines[1:6]] == ["stay", "stay", "mixed", "mixed", "stay"]
    assert "CutMix(alpha=1.0, loss_weight=1.0, p=0.5)" in lines[3]
    assert "MoEx(norm='in', lam=0.8, p=1.0), in 75% of steps" in lines[4]
    assert lines[6].split() == ["seed", "7"]


def test_summaries_of_little():
    assert fm.Pipeline().summary().split() == ["part", "where", "what", "labels", "seed", "torch's"]
    shared = fm.Compose([fm.At("input", fm.CutMix()), fm.At("a", fm.MoEx(), call=1)], share_partner=True)
    text = fm.Pipeline(batch=torch.relu, mix=shared).summary()
    assert "MoEx(norm='pono', lam=0.9, p=1.0), share_partner=True" in text
    assert "a (call 1)" in text
    assert "relu" in text
    some = fm.SomeOf([fm.At(site, fm.Mixup()) for site in ("input", "a", "b")], count=2, p=0.5)
    assert "Mixup(alpha=1.0, p=1.0), count=2, p=0.5" in fm.Pipeline(mix=some).summary()
    assert repr(fm.Pipeline(mix=some)).endswith("for site in ('input', 'a', 'b')], count=2, p=0.5),\n)")


def test_a_repr_reads_like_what_makes_it():
    assert repr(fm.Pipeline()) == "Pipeline()"
    text = repr(everything())
    assert text.startswith("Pipeline(\n    sample=Compose([")
    assert "At('input', CutMix(alpha=1.0, loss_weight=1.0, p=0.5))" in text
    assert "weights=[3, 1]" in text
    assert text.endswith("    seed=7,\n)")
    simple = fm.Pipeline(mix=fm.At("layer1", fm.Mixup()))
    assert repr(simple) == "Pipeline(\n    mix=At('layer1', Mixup(alpha=1.0, p=1.0)),\n)"


def test_what_was_given_is_kept():
    mix = {"input": fm.CutMix()}
    pipeline = fm.Pipeline(mix=mix)
    mix["layer1"] = fm.MoEx()
    assert list(pipeline.mix) == ["input"]
    tree = fm.At("input", fm.CutMix())
    assert fm.Pipeline(mix=tree).mix is tree


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample": 3}, "Pipeline: sample: expected a transform, got 3"),
        ({"sample": [A.NoOp()]}, "Pipeline: sample: expected a transform"),
        ({"batch": K.RandomAffine}, "Pipeline: batch: expected a transform"),
        ({"mix": 3}, "expected At, Compose, OneOf"),
        ({"mix": {}}, "Compose: members: expected at least one"),
        ({"mix": fm.CutMix()}, "expected At, Compose, OneOf"),
        ({"seed": -1}, "Pipeline: seed"),
        ({"seed": True}, "Pipeline: seed"),
        ({"seed": 0.5}, "Pipeline: seed"),
        ({"seed": 2**63}, "Pipeline: seed"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(fm.FeatmixError, match=message):
        fm.Pipeline(**settings)


def test_the_fifteen_lines():
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3), dtype=np.uint8)
    train = list(zip(images, np.arange(32) % 4, strict=True))
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pipeline = everything()
    mixer = pipeline.attach(model)
    losses = []
    for images, labels in pipeline.loader(train, batch_size=8, shuffle=True):
        images = mixer.prepare(images)
        mix = mixer.draw(images, target=labels)
        loss = mix.loss(nn.functional.cross_entropy, model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    mixer.remove()
    assert len(losses) == 4
    assert all(np.isfinite(losses))


def test_different_pipelines_do_not_read_alike():
    boxed = A.BboxParams("coco")
    recipes = [
        {"sample": A.Compose([A.HorizontalFlip(p=0.5), A.OneOf([A.GaussNoise(p=1.0), A.NoOp()], p=0.3)])},
        {"sample": A.Compose([A.HorizontalFlip(p=0.6), A.OneOf([A.GaussNoise(p=1.0), A.NoOp()], p=0.3)])},
        {"sample": A.Compose([A.HorizontalFlip(p=0.5), A.OneOf([A.GaussNoise(p=1.0), A.NoOp()], p=0.4)])},
        {"sample": A.Compose([A.HorizontalFlip(p=0.5), A.OneOf([A.NoOp(), A.GaussNoise(p=1.0)], p=0.3)])},
        {"sample": A.Compose([A.HorizontalFlip(p=0.5)], bbox_params=boxed)},
        {"batch": K.AugmentationSequential(K.RandomAffine(15.0))},
        {"batch": K.AugmentationSequential(K.RandomAffine(16.0))},
        {"batch": K.AugmentationSequential(K.RandomAffine(15.0), random_apply=1)},
        {"batch": torch.nn.Sequential(K.RandomAffine(15.0))},
    ]
    told = [fm.Pipeline(**recipe).summary() for recipe in recipes]
    assert len(set(told)) == len(told)
    lines = told[0].splitlines()
    assert "albumentations Compose(p=1.0)" in lines[1]
    assert lines[2] == " " * lines[1].index("albumentations") + "  HorizontalFlip(p=0.5)"
    assert "    NoOp(p=0.5)" in lines[5]
    assert "0x" not in fm.Pipeline(sample=object.__new__(type("Mine", (), {"__call__": lambda self, x: x}))).summary()


def test_a_replaced_part_leaves_all_others():
    parts = {
        "sample": lambda image: image,
        "batch": lambda images: images,
        "normalize": ((0.5,), (0.2,)),
        "mix": {"input": fm.Mixup()},
        "seed": 3,
        "images": ("left",),
        "masks": ("mask",),
        "stay": ("boxes",),
        "min_visible": 0.3,
        "mix_views": None,
    }
    assert parts.keys() == inspect.signature(fm.Pipeline).parameters.keys(), "a new part needs a value here"
    made = fm.Pipeline(**parts).replace(seed=4)
    found = {name: getattr(made, name) for name in parts}
    assert found == {**parts, "seed": 4}
    with pytest.raises(fm.FeatmixError, match="Did you mean 'seed'"):
        made.replace(sead=1)
