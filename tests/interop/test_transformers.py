import os

import pytest
import torch
from torch.nn import functional as F

import featmix as fm

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")

X, Y = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1])


@pytest.fixture
def model():
    """A tiny ViT from a configuration, without any download."""
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=4,
        num_labels=3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.ViTForImageClassification(config).train()


def block(model, number):
    """The name of a block: ``vit.layers.0`` in version 5, ``vit.encoder.layer.0`` before."""
    return [name for name, module in model.named_modules() if type(module).__name__ == "ViTLayer"][number]


def test_tokens_of_a_block(model):
    site, nxt = block(model, 0), model.get_submodule(block(model, 1))
    moex = fm.MoEx("pono", layout="bnc", num_prefix_tokens=1)
    seen = []
    with fm.attach(model, {site: moex, "input": fm.Mixup(p=0.0)}, example={"pixel_values": X}, seed=0) as mixer:
        assert mixer.shapes[site] == (17, 16)
        nxt.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        model(pixel_values=X)
        mix = mixer.draw(X, target=Y)
        output = model(pixel_values=X)
        assert isinstance(output, transformers.modeling_outputs.ImageClassifierOutput)
        loss = mix.loss(F.cross_entropy, output.logits, Y)
        loss.backward()
    plain, mixed = seen
    torch.testing.assert_close(mixed, moex.transform(plain, mix.params[site]))
    assert torch.equal(plain[:, 0], mixed[:, 0])  # the class token
    assert not torch.equal(plain[:, 1:], mixed[:, 1:])


def test_a_module_that_returns_a_tuple(model):
    site = f"{block(model, 1)}.attention"
    strategy = fm.MixStyle("in", layout="bnc", num_prefix_tokens=1, p=1.0)
    seen = []
    with fm.attach(model, {site: strategy}, example={"pixel_values": X}, seed=0) as mixer:
        mix = mixer.draw(X, target=Y)
        model.get_submodule(site).register_forward_hook(lambda _, __, output: seen.append(output))
        mix.loss(F.cross_entropy, model(pixel_values=X).logits, Y)
    assert isinstance(seen[0], tuple)
    assert seen[0][0].shape == (4, 17, 16)


def test_images_by_keyword_and_a_hidden_layer_together(model):
    tree = {"input": fm.CutMix(), block(model, 2): fm.MoEx("in", layout="bnc", num_prefix_tokens=1)}
    with fm.attach(model, tree, example={"pixel_values": X}, seed=0) as mixer:
        mix = mixer.draw(X, target=Y)
        seen = []
        model.vit.embeddings.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        mix.loss(F.cross_entropy, model(pixel_values=X).logits, Y)
    torch.testing.assert_close(seen[0], fm.CutMix().transform(X, mix.params["input"]))


def test_gradient_checkpointing(model):
    site = block(model, 0)
    found = []
    for checkpointed in (False, True):
        if checkpointed:
            model.gradient_checkpointing_enable()
        model.zero_grad()
        with fm.attach(
            model, {site: fm.MoEx("pono", layout="bnc", num_prefix_tokens=1)}, example={"pixel_values": X}, seed=0
        ) as mixer:
            mix = mixer.draw(X, target=Y)
            mix.loss(F.cross_entropy, model(pixel_values=X).logits, Y).backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert float((found[1] - found[0]).norm()) <= 1e-6 * float(found[0].norm())


def test_it_has_no_stages(model):
    with pytest.raises(fm.FeatmixError, match="site"):
        fm.attach(model, {"stage1": fm.MoEx()})
