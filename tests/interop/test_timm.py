import pytest
import torch
from torch.nn import functional as F

import featmix as fm
from featmix.mixer.stages import stages
from tests.interop.real_torchvision import torchvision_or_skip

torchvision_or_skip()  # timm imports it
timm = pytest.importorskip("timm")

CNN = {
    "resnet10t": {"stem": "maxpool", "stage1": "layer1", "stage4": "layer4"},
    "convnext_atto": {"stem": "stem", "stage1": "stages.0", "stage4": "stages.3"},
    "efficientnet_b0": {"stem": "blocks.0", "stage1": "blocks.1", "stage4": "blocks.6"},
    "regnetx_002": {"stem": "stem", "stage1": "s1", "stage4": "s4"},
    "densenet121": {"stem": "features.pool0", "stage1": "features.denseblock1"},
}


@pytest.mark.parametrize("name", CNN)
def test_sites_of_convolutional_networks(name):
    model = timm.create_model(name, num_classes=5).train()
    assert CNN[name].items() <= stages(model).items()
    x, y = torch.rand(2, 3, 64, 64), torch.tensor([0, 1])
    tree = fm.Compose([fm.At("stem", fm.MoEx("pono")), fm.At("stage1", fm.CutMix()), fm.At("stage2", fm.MixStyle(p=1.0))])
    with fm.attach(model, tree, example=x, seed=0) as mixer:
        assert mixer.shapes["stage1"][1:] == (16, 16)  # a quarter of the image
        assert mixer.shapes["stage2"][1:] == (8, 8)
        mix = mixer.draw(x, target=y)
        loss = mix.loss(F.cross_entropy, model(x), y)  # raises where a site did not fire
        loss.backward()
    assert bool(loss.isfinite())


def test_swin_has_channels_last():
    model = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=56, window_size=7, depths=(1, 1), num_heads=(3, 6)
    ).train()
    assert stages(model) == {"stem": "patch_embed", "stage1": "layers.0", "stage2": "layers.1"}
    x, y = torch.rand(2, 3, 56, 56), torch.tensor([0, 1])
    tree = {"stem": fm.MoEx("in", layout="bhwc"), "stage1": fm.CutMix(layout="bhwc")}
    with fm.attach(model, tree, example=x, seed=0) as mixer:
        assert mixer.shapes["stage1"][:2] == (14, 14)
        mix = mixer.draw(x, target=y)
        assert bool(mix.loss(F.cross_entropy, model(x), y).isfinite())


@pytest.mark.parametrize(("name", "prefix"), [("vit_tiny_patch16_224", 1), ("deit_tiny_distilled_patch16_224", 2)])
def test_vit_with_prefix_tokens(name, prefix):
    model = timm.create_model(name, img_size=32, depth=3, num_classes=5).train()
    assert model.num_prefix_tokens == prefix
    assert stages(model)["stage3"] == "blocks.2"
    x, y = torch.rand(3, 3, 32, 32), torch.tensor([0, 1, 2])
    moex = fm.MoEx("pono", layout="bnc", num_prefix_tokens=prefix)
    seen = []
    for mixed in (False, True):
        with fm.attach(model, {"stem": moex}, example=x, seed=0) as mixer:
            mix = mixer.draw(x, target=y) if mixed else None
            handle = model.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
            output = model(x)
            handle.remove()
            if mix is not None:
                mix.loss(F.cross_entropy, output[0] if isinstance(output, tuple) else output, y)
    plain, mixed = seen
    assert torch.equal(plain[:, :prefix], mixed[:, :prefix])
    torch.testing.assert_close(mixed, moex.transform(plain, mix.params["stem"]))
    assert not torch.equal(plain[:, prefix:], mixed[:, prefix:])


def test_a_model_that_returns_features():
    model = timm.create_model("convnext_atto", features_only=True).train()
    assert {"stage1": "stages_0", "stage2": "stages_1"}.items() <= stages(model).items()


def test_a_misspelt_stage_names_the_nearest():
    model = timm.create_model("resnet10t")
    with pytest.raises(fm.FeatmixError, match="stage1"):
        fm.attach(model, {"stage_1": fm.MoEx()})
    with pytest.raises(fm.FeatmixError, match="site"):
        fm.attach(model, {"stage5": fm.MoEx()})
