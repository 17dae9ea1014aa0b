"""The names in the drawings of the documentation are those of the real networks."""

import runpy

import pytest
import torch

from tests.interop.real_torchvision import torchvision_or_skip
from tests.test_docs import ROOT


@pytest.fixture(scope="module")
def drawings():
    return runpy.run_path(str(ROOT / "docs" / "_ext" / "drawings.py"))


@pytest.mark.parametrize(("names", "usual"), [("RESNET", "USUAL_RESNET"), ("VIT", "USUAL_VIT")])
def test_sites_are_layers_of_the_network(names, usual, drawings):
    models = torchvision_or_skip("torchvision.models")
    with torch.device("meta"):
        model = pytest.importorskip("timm").create_model("vit_tiny_patch16_224") if names == "VIT" else models.resnet50()
    layers = dict(model.named_modules())
    assert [site for site in drawings[names] if site not in layers] == ["input"]
    order = [name for name in layers if name in drawings[names]]
    assert ["input", *order] == drawings[names]
    assert all({one.first, one.last} <= set(drawings[names]) for one in drawings[usual])


def test_pictures_are_drawn(drawings):
    for picture in drawings["pages"]().values():
        assert picture.startswith(b"\x89PNG")
        assert 10_000 < len(picture) < 100_000
