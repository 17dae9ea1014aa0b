"""A file may not ask for more memory than there is; code may let it."""

from __future__ import annotations

import inspect
import os

import pytest
from kornia import augmentation as K

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm
from featmix.configuration import allowed, bounds
from featmix.configuration.allowed import allow
from featmix.configuration.bounds import check_bounds
from featmix.configuration.place import Place
from tests.interop.real_torchvision import torchvision_or_skip

HERE = Place("f")


def sample(name, **arguments):
    return {"sample": {"albumentations": {"__class_fullname__": name, "p": 1.0, **arguments}}}


def batch(name, **arguments):
    return {"batch": {"class": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (sample("CoarseDropout", num_holes_range=[10**8, 10**8]), "sample.albumentations.num_holes_range[0]"),
        (sample("Resize", height=10**6, width=4), "sample.albumentations.height"),
        (sample("RandomScale", scale_limit=[1, 5000]), "sample.albumentations.scale_limit[1]"),
        (sample("ThinPlateSpline", num_control_points=1000), "sample.albumentations.num_control_points"),
        (sample("ZoomBlur", step_factor=[1e-9, 1e-9]), "sample.albumentations.step_factor[0]"),
        (sample("Affine", translate_px={"x": [0, 10**9], "y": 0}), "sample.albumentations.translate_px.x[1]"),
        (batch("kornia.augmentation.Resize", size=[10**6, 10**6]), "batch.arguments.size[0]"),
        (batch("kornia.augmentation.RandomJigsaw", grid=[5000, 5000]), "batch.arguments.grid[0]"),
        (batch("kornia.augmentation.CenterCrop", size={"tensor": [9e9]}), "batch.arguments.size.tensor[0]"),
        ({"strategy": {"name": "moex", "memory": 10**12}}, "strategy.memory"),
        ({"strategy": {"name": "mixup", "num_classes": 10**12}}, "strategy.num_classes"),
        ({"tree": {"at": "layer1", "strategy": {"name": "moex"}, "groups": 10**12}}, "tree.groups"),
    ],
)
def test_what_would_take_all_memory_is_refused(document, path):
    with pytest.raises(fm.FeatmixError, match=r"a number up to .*Code lets in more by featmix\.configuration\.allow") as caught:
        fm.from_dict(document)
    assert caught.value.argument == path


def test_torchvisions_mixture_of_chains_has_a_bound():
    torchvision_or_skip("torchvision.transforms.v2")
    with pytest.raises(fm.FeatmixError, match="a number up to 1000, got 1000000000"):
        fm.from_dict(batch("torchvision.transforms.v2.AugMix", mixture_width=10**9))


def test_what_people_use_is_within_them():
    for document in (
        sample("CoarseDropout", num_holes_range=[1, 64], fill=255),
        sample("Resize", height=2048, width=2048),
        sample("Normalize", mean=[30000.0], std=[12000.0], max_pixel_value=65535.0),
        batch("kornia.augmentation.RandomRain", number_of_drops=[1000, 2000]),
        {"strategy": {"name": "mixup", "alpha": 1e6, "memory": 65_536, "num_classes": 21_843}},
    ):
        fm.from_dict(document)


def test_every_default_is_within_them():
    """So that what a library makes by itself can be written and read."""
    classes = [cls for cls in vars(K).values() if isinstance(cls, type)]
    classes += list(A.core.serialization.SERIALIZABLE_REGISTRY.values())
    checked = 0
    for cls in classes:
        for name, parameter in inspect.signature(cls).parameters.items():
            value = parameter.default
            if isinstance(value, int | float | tuple):
                plainly = list(value) if isinstance(value, tuple) else value
                if not isinstance(plainly, list) or all(isinstance(n, int | float) for n in plainly):
                    check_bounds(cls, {name: plainly}, HERE)
                    checked += 1
    assert checked > 300


def test_code_lets_in_more(monkeypatch):
    monkeypatch.setattr(bounds, "_raised", {})
    monkeypatch.setattr(allowed, "_THINGS", dict(allowed._THINGS))
    many = sample("CoarseDropout", num_holes_range=[5000, 5000])
    with pytest.raises(fm.FeatmixError, match=r"a number up to 1000, .*most=\{'num_holes_range'"):
        fm.from_dict(many)
    allow(A.CoarseDropout, most={"num_holes_range": 10_000})
    assert fm.to_dict(fm.from_dict(many))["sample"] == fm.to_dict(fm.from_dict(many))["sample"]
    with pytest.raises(fm.FeatmixError, match="a number up to 10000"):
        fm.from_dict(sample("CoarseDropout", num_holes_range=[50_000, 50_000]))
    with pytest.raises(fm.FeatmixError, match="a number up to 4096"):
        fm.from_dict(sample("Resize", height=5000, width=4))  # of another class
    allow(fm.MoEx, most={"memory": 10**6})
    assert fm.from_dict({"strategy": {"name": "moex", "memory": 10**6}}).memory == 10**6


@pytest.mark.parametrize("most", [{"x": 0}, {"x": "a"}])
def test_a_bound_is_a_number_of_a_class(most):
    with pytest.raises(fm.FeatmixError, match="allow: most: expected positive numbers by argument"):
        allow(A.CoarseDropout, most=most)
    with pytest.raises(fm.FeatmixError, match="allow: most"):
        allow(test_code_lets_in_more, most={"x": 1})


def test_ones_own_class_has_the_bounds_that_it_was_given(monkeypatch):
    monkeypatch.setattr(bounds, "_raised", {})

    class Mine:
        pass

    check_bounds(Mine, {"size": 10**12}, HERE)
    bounds.raise_bounds(Mine, {"size": 10})
    with pytest.raises(fm.FeatmixError, match="f: size: expected a number up to 10, got 1000000000000"):
        check_bounds(Mine, {"size": 10**12}, HERE)
