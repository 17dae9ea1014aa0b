"""timm's models say how their axes are ordered, and how many tokens are none of the image."""

import pytest
import torch
from torch.nn import functional as F

import featmix as fm
from featmix import FeatmixError
from tests.interop.real_torchvision import torchvision_or_skip

torchvision_or_skip()  # timm imports it
timm = pytest.importorskip("timm")


def swin():
    return timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=56, window_size=7, depths=(1, 1), num_heads=(3, 6), num_classes=5
    ).train()


def vit(**settings):
    name = settings.pop("name", "vit_tiny_patch16_224")
    return timm.create_model(name, img_size=32, depth=3, num_classes=5, **settings).train()


def around(model, site, x):
    """What a module returns, before and after what is attached to it."""
    seen = []
    module = model.get_submodule(site)
    handles = [module.register_forward_hook(lambda _, __, y: seen.append(y.detach().clone()), prepend=p) for p in (True, False)]
    model(x)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("site", ["patch_embed", "layers.0", "stage2", "layers.0.blocks.0"])
@pytest.mark.parametrize("known", [False, True], ids=["no example", "example"])
def test_swin_is_read_with_channels_last(site, known):
    model, x, y = swin(), torch.rand(3, 3, 56, 56), torch.tensor([0, 1, 2])
    name = {"stage2": "layers.1"}.get(site, site)
    with fm.attach(model, {site: fm.MoEx("pono")}, example=x if known else None, seed=0) as mixer:
        mix = mixer.draw(x, target=y)
        before, after = around(model, name, x)
    moments = after.mean(3), before.mean(3)[mix.params[site].partner]
    torch.testing.assert_close(*moments, atol=1e-4, rtol=1e-3)


def test_boxes_cut_no_channels_of_swin():
    model, x = swin(), torch.rand(2, 3, 56, 56)
    with fm.attach(model, {"layers.0": fm.CutMix()}, example=x, seed=0) as mixer:
        assert mixer.draw(x, target=torch.arange(2)).params["layers.0"].sizes == (14, 14)
        mixer.discard()


def test_a_layout_that_swin_contradicts_is_refused():
    with pytest.raises(FeatmixError, match=r"MoEx: layers\.0: .*output_fmt of SwinTransformer.*layout='bhwc'"):
        fm.attach(swin(), {"layers.0": fm.MoEx(layout="bchw")})


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"])
@pytest.mark.parametrize("known", [False, True], ids=["no example", "example"])
def test_class_tokens_are_left_alone(name, known):
    model, x, y = vit(name=name), torch.rand(3, 3, 32, 32), torch.tensor([0, 1, 2])
    prefix = model.num_prefix_tokens
    with fm.attach(model, {"blocks.0": fm.MoEx("in")}, example=x if known else None, seed=0) as mixer:
        mix = mixer.draw(x, target=y)
        before, after = around(model, "blocks.0", x)
    assert torch.equal(after[:, :prefix], before[:, :prefix])
    partner = mix.params["blocks.0"].partner
    torch.testing.assert_close(after[:, prefix:].mean(1), before[:, prefix:].mean(1)[partner], atol=1e-4, rtol=1e-3)


def test_features_that_have_none_yet_are_mixed_whole():
    model, x = vit(), torch.rand(3, 3, 32, 32)
    clean, _ = around(model, "patch_embed", x)
    with fm.attach(model, {"patch_embed": fm.MoEx("in")}, seed=0) as mixer:
        mix = mixer.draw(x, target=torch.arange(3))
        _, mixed = around(model, "patch_embed", x)
    torch.testing.assert_close(mixed.mean(1), clean.mean(1)[mix.params["patch_embed"].partner], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("strategy", [fm.Mixup(), fm.MoEx(num_prefix_tokens=0)], ids=lambda s: s.name)
def test_class_tokens_are_mixed_where_all_is_blended_alike_and_where_it_is_asked_for(strategy):
    model, x = vit(), torch.rand(3, 3, 32, 32)
    clean, _ = around(model, "blocks.0", x)
    with fm.attach(model, {"blocks.0": strategy}, seed=0) as mixer:
        mixer.draw(x, target=torch.arange(3))
        _, mixed = around(model, "blocks.0", x)
    assert not torch.isclose(mixed[:, 0], clean[:, 0]).all(1).any()


@pytest.mark.parametrize("site", ["blocks.2", "norm", "blocks.2.mlp", "stage3"])
@pytest.mark.parametrize("settings", [{}, {"num_prefix_tokens": 1}], ids=["told", "said"])
def test_labels_are_not_mixed_where_the_head_reads_the_class_token_alone(site, settings):
    with pytest.raises(FeatmixError, match=r"MoEx: .*expected a site before the last attention, or num_prefix_tokens=0"):
        fm.attach(vit(), {site: fm.MoEx(**settings)})
    for strategy in (fm.MixStyle(), fm.Mixup(), fm.MoEx(num_prefix_tokens=0)):
        fm.attach(vit(), {site: strategy}).remove()
    fm.attach(vit(global_pool="avg"), {site: fm.MoEx(**settings)}).remove()
    fm.attach(vit(), {"blocks.2.norm1": fm.MoEx(**settings)}).remove()


def test_a_masked_step_and_a_compiled_one():
    model, x, y = vit(), torch.rand(3, 3, 32, 32), torch.tensor([0, 1, 2])
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[0, 4] = False
    with fm.attach(model, {"blocks.0": fm.MoEx("in")}, seed=0) as mixer:
        mix = mixer.draw(x, target=y, mask=mask)
        assert mix.params["blocks.0"].mask.shape == (3, 4)
        assert mix.loss(F.cross_entropy, model(x), y).isfinite()
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        mix = mixer.draw(x, target=y)
        assert mix.loss(F.cross_entropy, compiled(x), y).isfinite()
