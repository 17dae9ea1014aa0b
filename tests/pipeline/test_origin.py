import os
from functools import partial

import torch
from kornia import augmentation as K
from torch import nn

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

from featmix.pipeline.origin import derives_from, library_of, parts_of


class Mine(K.RandomAffine):
    pass


class Caller:
    def __init__(self, *held):
        self.held = {"some": list(held)}

    def __call__(self, x):
        return x

    def method(self, x):
        return x


def test_libraries_are_told_by_the_classes_modules():
    assert library_of(A.HorizontalFlip()) == library_of(A.Compose([])) == "albumentations"
    assert library_of(K.RandomAffine(1.0)) == library_of(Mine(1.0)) == "kornia"
    assert library_of(nn.Identity()) == library_of(len) == library_of(lambda x: x) == ""
    assert library_of(type("Fake", (), {"__module__": "korniax.augmentation"})()) == ""


def test_every_part_is_found_however_it_is_held():
    inner = [K.RandomAffine(1.0), nn.Identity(), torch.relu]
    for whole in (
        nn.Sequential(inner[0], nn.Sequential(inner[1])),
        Caller(*inner),
        Caller(*inner).method,
        partial(Caller(), Caller(*inner), key=inner[1]),
        [inner, {"a": inner[0]}],
        A.Compose([A.OneOf([A.NoOp()])]),
    ):
        assert any(part in inner or isinstance(part, A.NoOp) for part in parts_of(whole))
    circle = Caller()
    circle.held["own"] = circle
    assert list(parts_of(circle)) == [circle]


def test_bases_are_told_by_name():
    assert derives_from(Mine(1.0), ("kornia.augmentation._2d.geometric.affine.RandomAffine",))
    assert not derives_from(nn.Identity(), ("kornia.augmentation._2d.geometric.affine.RandomAffine",))
