"""Transforms of albumentations 2.0.8, through its own serialization."""

import inspect
import os
import sys

import numpy as np
import pytest

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A
from albumentations.core.serialization import SERIALIZABLE_REGISTRY

import featmix as fm
from featmix.configuration import allowed
from featmix.configuration.albumentations_part import _is_allowed
from featmix.seeding import seed_transforms

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

REQUIRED = {
    "AtLeastOneBBoxRandomCrop": {"height": 4, "width": 4},
    "CenterCrop": {"height": 4, "width": 4},
    "CenterCrop3D": {"size": (2, 2, 2)},
    "CropAndPad": {"px": 2},
    "CropNonEmptyMaskIfExists": {"height": 4, "width": 4},
    "GridElasticDeform": {"num_grid_xy": (2, 2), "magnitude": 2},
    "LongestMaxSize": {"max_size": 8},
    "Pad3D": {"padding": 1},
    "PadIfNeeded3D": {"min_zyx": (2, 2, 2)},
    "RandomCrop": {"height": 4, "width": 4},
    "RandomCrop3D": {"size": (2, 2, 2)},
    "RandomResizedCrop": {"size": (4, 4)},
    "RandomSizedBBoxSafeCrop": {"height": 4, "width": 4},
    "RandomSizedCrop": {"min_max_height": (3, 5), "size": (4, 4)},
    "Resize": {"height": 4, "width": 4},
    "SmallestMaxSize": {"max_size": 4},
    "SomeOf": {"n": 1},
}
REFUSED = {"FDA", "HistogramMatching", "PixelDistributionAdaptation", "TextImage"}  # they read files, or run functions
NO_TRANSFORMS = {"BboxParams", "KeypointParams", "BasicTransform", "DualTransform", "ImageOnlyTransform", "Transform3D"}


def every_transform():
    for name, cls in sorted(SERIALIZABLE_REGISTRY.items()):
        abstract = name in NO_TRANSFORMS or name.startswith(("Base", "_Base", "MaxSize"))
        if cls.__module__.startswith("albumentations.") and not abstract and name not in REFUSED:
            yield pytest.param(cls, REQUIRED.get(name, {}), id=name)


def made(cls, arguments):
    if issubclass(cls, A.BaseCompose):
        return cls(transforms=[A.HorizontalFlip(), A.Affine(rotate=(-20, 20))], **arguments)
    return cls(**arguments)


def outcome(transform, **data):
    seed_transforms(transform, seed=0)
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    results = []
    for _ in range(3):
        try:
            results.append(transform(image=image.copy(), **data)["image"])
        except Exception as error:  # what it cannot do, it cannot do twice
            results.append(str(error))
    return results


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, b) if isinstance(a, np.ndarray) else repr(a) == repr(b) for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize(("cls", "arguments"), list(every_transform()))
def test_every_transform_comes_back(cls, arguments):
    transform = made(cls, arguments)
    written = fm.to_dict(transform)
    again = fm.from_dict(written)
    assert type(again) is cls
    assert fm.to_dict(again) == written
    assert same(outcome(transform), outcome(again))


def test_what_albumentations_leaves_out_is_written():
    inner = A.Compose([A.Affine(rotate=(-20, 20))], p=0.5, mask_interpolation=1)
    transform = A.Compose(
        [inner, A.OneOf([A.HorizontalFlip(), A.NoOp()], p=0.9)],
        mask_interpolation=0,
        seed=3,
        save_applied_params=True,
        bbox_params=A.BboxParams("coco", label_fields=["kinds"], min_area=1.0),
        additional_targets={"image2": "image"},
    )
    lost = A.from_dict(A.to_dict(transform))
    assert (lost.mask_interpolation, lost.seed, lost.save_applied_params) == (None, None, False)
    again = fm.from_dict(fm.to_dict(transform))
    assert (again.mask_interpolation, again.seed, again.save_applied_params) == (0, 3, True)
    assert again.transforms[0].transforms[0].mask_interpolation == transform.transforms[0].transforms[0].mask_interpolation
    assert again.processors["bboxes"].params.min_area == 1.0


@pytest.mark.parametrize(
    "transform",
    [
        lambda: A.HistogramMatching([np.zeros((4, 4, 3), np.uint8)], read_fn=lambda x: x),
        lambda: A.Lambda(image=lambda image, **_: image, name="mine"),
        lambda: A.Compose([A.NoOp(), A.Lambda(image=lambda image, **_: image)]),
        lambda: A.TextImage(font_path="/usr/share/fonts/x.ttf"),
    ],
)
def test_what_reads_files_or_runs_functions_is_not_written(transform):
    with pytest.raises(fm.FeatmixError) as caught:
        fm.to_dict(fm.Pipeline(sample=transform()))
    assert caught.value.argument.startswith("sample.albumentations")


class Own(A.HorizontalFlip):
    pass


def test_a_transform_of_ones_own_is_let_in_by_code(monkeypatch):
    monkeypatch.setattr(allowed, "_THINGS", dict(allowed._THINGS))
    pipeline = fm.Pipeline(sample=A.Compose([Own(p=0.25)]))
    assert not _is_allowed(Own)
    with pytest.raises(
        fm.FeatmixError, match=r"sample\.albumentations\.transforms\[0\]\.__class_fullname__: expected a transform"
    ):
        fm.to_dict(pipeline)
    fm.configuration.allow(Own)
    again = fm.from_dict(fm.to_dict(pipeline)).sample.transforms[0]
    assert (type(again), again.p) == (Own, 0.25)


NAME = "__class_fullname__"
FLIP = {NAME: "HorizontalFlip", "p": 0.5}


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        (3, "", "a transform"),
        ({}, f".{NAME}", "the name of a transform"),
        ({NAME: ["HorizontalFlip"]}, f".{NAME}", "the name of a transform"),
        ({NAME: "HorizontalFlop"}, f".{NAME}", "Did you mean 'HorizontalFlip'"),
        ({NAME: "os.system"}, f".{NAME}", "a transform of albumentations"),
        ({NAME: "albumentations.evil.HorizontalFlip"}, f".{NAME}", "a transform of albumentations"),
        ({NAME: "Lambda", "__name__": "mine"}, f".{NAME}", "a transform of albumentations"),
        ({NAME: "BboxParams", "format": "coco"}, f".{NAME}", "a transform of albumentations"),
        ({NAME: "TextImage", "font_path": "/etc/passwd"}, "", "a transform that reads no files"),
        ({NAME: "HistogramMatching", "reference_images": ["/etc/passwd"]}, "", "a transform that reads no files"),
        ({NAME: "FDA", "reference_images": ["/etc/passwd"], "read_fn": None}, "", ""),
        ({NAME: "Equalize", "mask": "x"}, "", "a transform that reads no files"),
        ({**FLIP, "q": 1}, ".q", "an argument of HorizontalFlip"),
        ({**FLIP, "p": 2}, ".p", "less than or equal to 1"),
        ({**FLIP, "p": "often"}, ".p", "what HorizontalFlip can be made with"),
        ({NAME: "RandomCrop", "height": 4}, ".width", "Field required"),
        ({NAME: "Blur", "blur_limit": {"a": 1}}, ".blur_limit", "what Blur can be made with"),
        ({NAME: "Compose", "transforms": 3}, ".transforms", "a list of transforms"),
        ({NAME: "Compose", "transforms": [FLIP, 3]}, ".transforms[1]", "a transform"),
        (
            {NAME: "Compose", "transforms": [FLIP, {NAME: "OneOf", "transforms": [{**FLIP, "p": 2}]}]},
            ".transforms[1].transforms[0].p",
            "",
        ),
        ({NAME: "Compose", "transforms": [FLIP], "bbox_params": 3}, "", "what albumentations can make"),
        ({NAME: "Compose", "transforms": [FLIP], "seed": "x"}, "", "what albumentations can make"),
        ({NAME: "Compose"}, "", "what Compose can be made with"),
    ],
)
def test_refusals(value, path, message):
    with pytest.raises(fm.FeatmixError) as caught:
        fm.from_dict({"sample": {"albumentations": value}})
    assert caught.value.argument == f"sample.albumentations{path}"
    assert message in str(caught.value)


def test_wrong_arguments_that_albumentations_lets_pass_are_refused():
    value = {NAME: "Compose", "transforms": [FLIP, {**FLIP, "limit": 3}]}
    A.from_dict({"transform": value})  # it warns, and goes on
    with pytest.raises(fm.FeatmixError, match=r"transforms\[1\]\.limit: expected an argument of HorizontalFlip"):
        fm.from_dict({"sample": {"albumentations": value}})


def test_a_probability_that_is_not_there_is_the_class_s_own():
    assert fm.from_dict({"sample": {"albumentations": {NAME: "CenterCrop", "height": 4, "width": 4}}}).sample.p == 1.0


def test_importing_it_asks_no_server(monkeypatch):
    from featmix.configuration import albumentations_part
    from featmix.configuration.place import Place

    seen = []
    monkeypatch.delenv("NO_ALBUMENTATIONS_UPDATE", raising=False)
    monkeypatch.setattr(
        albumentations_part.importlib, "import_module", lambda name: seen.append(os.environ.get("NO_ALBUMENTATIONS_UPDATE"))
    )
    albumentations_part._library(Place("f"))
    assert seen == ["1"]
    assert "NO_ALBUMENTATIONS_UPDATE" not in os.environ


def test_where_it_is_missing_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(fm.FeatmixError, match=r"sample\.albumentations: expected albumentations to be installed"):
        fm.from_dict({"sample": {"albumentations": FLIP}})


def test_whole_numbers_stay_whole_where_they_mean_pixels():
    tried = set()
    for parameter in every_transform():
        cls, required = parameter.values
        for name, told in inspect.signature(cls).parameters.items():
            if "tuple[int" in str(told.annotation) and "tuple[float" in str(told.annotation):
                try:
                    transform = cls(**{**required, name: (2, 3)})
                except ValueError:  # shares alone
                    continue
                again = fm.from_dict(fm.to_dict(fm.Pipeline(sample=transform))).sample
                assert repr(getattr(again, name)) == repr(getattr(transform, name)), f"{cls.__name__}: {name}"
                tried.add((cls.__name__, name))
    assert ("CoarseDropout", "hole_height_range") in tried
