import pytest
import torch
from torch.nn import functional as F

from tests.examples.running import load, run
from tests.interop.real_torchvision import torchvision_or_skip

torchvision_or_skip()  # timm imports it
pytest.importorskip("timm")


def test_it_learns_and_stages_mean_the_same_everywhere(capsys):
    found = run("timm_stages", epochs=2, limit=480, size=32)
    assert found.pop("accuracy") > 0.3  # of ten classes, after two epochs
    assert found == {"stage1 of resnet10t": 8, "stage1 of convnext_atto": 8}  # a quarter of 32
    printed = capsys.readouterr().out
    assert "stem is maxpool (64, 8, 8), stage1 is layer1 (64, 8, 8)" in printed
    assert "stem is stem (40, 8, 8), stage1 is stages.0 (40, 8, 8)" in printed


def test_each_step_mixes_at_one_of_the_stages():
    names = load("timm_stages")
    model, x, y = names["timm"].create_model("resnet10t", num_classes=10), torch.rand(4, 3, 32, 32), torch.arange(4)
    chosen = set()
    with names["fm"].attach(model.train(), names["TREE"], example=x, seed=0) as mixer:
        for _ in range(8):
            mix = mixer.draw(x, target=y)
            mix.loss(F.cross_entropy, model(x), y)
            chosen.add(tuple(site for site, params in mix.params.items() if bool(params.active.any())))
    assert chosen == {("stem",), ("stage1",)}
