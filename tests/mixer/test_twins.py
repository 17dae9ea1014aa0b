"""Compiled models of one class, some attached and some not: each runs graphs of its own."""

import copy

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter, CompileCounterWithBackend
from torch.nn import functional as F

import featmix as fm
from tests.attaching import Net, images, labels, moex, net
from tests.interop.real_torchvision import torchvision_or_skip


@pytest.fixture(autouse=True)
def _forgotten():
    torch._dynamo.reset()


def losses(mixers, models, x, y=None):
    y = labels() if y is None else y
    return [mixer.draw(x, target=y).loss(F.cross_entropy, model(x), y) for mixer, model in zip(mixers, models, strict=True)]


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc, self.act = nn.Linear(width, width), nn.GELU()

    def forward(self, x):
        return self.act(self.fc(x))


class Block(nn.Module):
    """A part of its own, as transformers have them."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(width), Mlp(width)

    def forward(self, x):
        return x + self.mlp(self.norm(x))


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*(Block(8) for _ in range(4)))

    def forward(self, x):
        return self.blocks(x).mean(1)


def blocks():
    torch.manual_seed(0)
    return Blocks()


@pytest.mark.parametrize("first", ["baseline", "attached"])
@pytest.mark.parametrize("way", ["module", "method", "function", "step"])
def test_a_baseline_and_an_attached_model_train_in_turn(way, first):
    x, y = images(), labels()
    counter = CompileCounter()
    baseline, attached, eager = net(), net(), net()

    def compiled(model):
        if way == "method":
            model.compile(backend=counter)
            return model
        called = {"module": model, "function": model.__call__, "step": lambda batch: model(batch) * 1.0}[way]
        return torch.compile(called, backend=counter)

    plain = compiled(baseline)
    if first == "baseline":
        plain(x)
    tree = {"stem": moex(), "layer1": fm.Mixup()}
    mixers = [fm.attach(model, tree, example=x, seed=3) for model in (eager, attached)]
    mixed = compiled(attached)
    expected = F.cross_entropy(net()(x), y)
    for _ in range(4):
        found = losses(mixers, (eager, mixed), x)
        assert torch.allclose(*found, atol=1e-6)
        found[1].backward()
        assert torch.allclose(F.cross_entropy(plain(x), y), expected, atol=1e-6)
        assert not torch.allclose(found[1], expected, atol=1e-6)
    assert counter.frame_count == 2


def test_two_attached_models_of_one_class_train_in_turn():
    x, counter = images(), CompileCounter()
    models = [net() for _ in range(3)]
    trees = [{"stem": moex()}, {"layer1": fm.Mixup()}, {"stem": moex()}]
    mixers = [fm.attach(model, tree, seed=k) for k, (model, tree) in enumerate(zip(models, trees, strict=True))]
    others = [net() for _ in range(3)]
    theirs = [fm.attach(model, tree, seed=k) for k, (model, tree) in enumerate(zip(others, trees, strict=True))]
    compiled = [torch.compile(model, backend=counter) for model in models]
    for _ in range(3):
        assert torch.allclose(torch.stack(losses(mixers, compiled, x)), torch.stack(losses(theirs, others, x)), atol=1e-6)
    assert counter.frame_count == 3


@pytest.mark.parametrize("site", ["blocks.0.mlp", "blocks.1.mlp.fc", "blocks.2"])
@pytest.mark.parametrize("parts", [slice(0, 4), slice(1, 3)])
def test_blocks_compiled_one_by_one_are_mixed_in_every_step(site, parts):
    x, y = torch.randn(6, 5, 8, generator=torch.Generator().manual_seed(1)), labels()
    eager, model = blocks(), blocks()
    counter = CompileCounter()
    for block in model.blocks[parts]:
        block.compile(backend=counter)
    mixers = [fm.attach(m, {site: fm.Mixup()}, seed=0) for m in (eager, model)]
    for _ in range(4):
        found = losses(mixers, (eager, model), x, y)
        assert torch.allclose(*found, atol=1e-6)
        found[1].backward()
    assert counter.frame_count <= 4  # of each class of block: with and without a site, with and without a decision


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


@pytest.mark.parametrize(
    "tree", [{"1.conv": moex()}, {"0.conv": moex(), "1.bn": fm.Mixup()}], ids=lambda tree: next(iter(tree))
)
def test_layers_of_a_sequential_compiled_one_by_one(tree):
    def made():
        torch.manual_seed(0)
        return nn.Sequential(*(Layer() for _ in range(3)), nn.Flatten(), nn.Linear(192, 5))

    x, eager, model = images(), made(), made()
    for layer in model[1:3]:
        layer.compile(backend="eager")
    mixers = [fm.attach(m, tree, example=x, seed=0) for m in (eager, model)]
    for _ in range(4):
        assert torch.allclose(*losses(mixers, (eager, model), x), atol=1e-6)
    assert type(model[1:3]) is nn.Sequential


def test_attaching_after_the_first_compiled_call():
    x, counter = images(), CompileCounter()
    eager, model = net(), net()
    compiled = torch.compile(model, backend=counter)
    before = compiled(x)
    mixers = [fm.attach(m, {"stem": moex()}, seed=0) for m in (eager, model)]
    for _ in range(2):
        assert torch.allclose(*losses(mixers, (eager, compiled), x), atol=1e-6)
    mixers[1].remove()
    assert torch.equal(compiled(x), before)
    assert counter.frame_count == 2


def test_a_copy_of_a_compiled_attached_model_runs_a_graph_of_its_own():
    x, eager, model = images(), net(), net()
    mixers = [fm.attach(m, {"stem": moex()}, seed=0) for m in (eager, model)]
    compiled = torch.compile(model, backend="eager")
    losses(mixers, (eager, compiled), x)
    average = torch.compile(copy.deepcopy(model), backend="eager")
    for _ in range(3):
        assert torch.allclose(*losses(mixers, (eager, compiled), x), atol=1e-6)
        assert torch.allclose(average(x), net()(x), atol=1e-6)


@pytest.mark.parametrize("way", ["whole", "parts"])
def test_a_layer_that_a_later_step_goes_round_is_noticed(way):
    """What was traced once is no proof that this step came past."""
    x, model = images(), net()
    mixer = fm.attach(model, {"stem": moex(), "layer1": fm.Mixup()}, example=x, seed=0)
    compiled = torch.compile(model, backend="eager") if way == "whole" else model
    if way == "parts":
        model.layer1.compile(backend="eager")
    losses([mixer], [compiled], x)
    model.skip = True
    with pytest.raises(fm.FeatmixError, match="layer1"):
        losses([mixer], [compiled], x)
    model.skip = False
    mixer.discard()
    losses([mixer], [compiled], x)


def test_sites_listed_in_another_order_than_the_compiled_forward_are_refused():
    x, model = images(), net()
    mixer = fm.attach(model, {"layer1": fm.Mixup(), "stem": fm.Mixup()}, seed=0)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with pytest.raises(fm.FeatmixError, match="stem, layer1"):
        losses([mixer], [compiled], x)


class Trainer(nn.Module):
    """Draws within its own forward, as a training step of a Lightning module does."""

    def __init__(self):
        super().__init__()
        self.net = net()
        self.mixer = fm.attach(self.net, {"input": fm.CutMix(p=1.0), "stem": moex()}, example=images(), seed=0)

    def training_step(self, x, y):
        mix = self.mixer.draw(x, target=y)
        return mix.loss(F.cross_entropy, self.net(x), y)

    def forward(self, x, y):
        return self.training_step(x, y)


@pytest.mark.parametrize("way", ["module", "method", "inner"])
def test_drawing_within_a_compiled_trainer(way):
    x, y = images(), labels()
    eager, trainer = Trainer(), Trainer()
    compiled = torch.compile(trainer, backend="eager") if way == "module" else trainer
    if way == "method":
        trainer.compile(backend="eager")
    elif way == "inner":
        trainer.net.compile(backend="eager")
    for _ in range(3):
        expected, found = eager(x, y), compiled(x, y)
        assert torch.allclose(found, expected, atol=1e-6)
        found.backward()


class Checkpointed(Net):
    """Runs ``layer1`` again in backward."""

    def forward(self, x):
        x = self.relu(self.stem(x))
        if not self.skip:
            x = self.relu(torch.utils.checkpoint.checkpoint(self.layer1, x, use_reentrant=False))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("way", ["module", "part"])
def test_a_checkpointed_part_of_a_compiled_model(way):
    x, y, found = images(), labels(), []
    for compile_it in (False, True):
        torch.manual_seed(0)
        inner, counter = Checkpointed(), CompileCounterWithBackend("aot_eager")
        inner.layer1[1] = nn.Identity()
        model = inner if way == "module" else nn.Sequential(inner, nn.Identity())
        sites = ["stem", "layer1.0"] if way == "module" else ["0.stem", "0.layer1.0"]
        mixer = fm.attach(model, dict(zip(sites, (fm.Mixup(), moex()), strict=True)), example=x, seed=0)
        if compile_it:
            inner.compile(backend=counter, fullgraph=True)
        for _ in range(3):
            loss = mixer.draw(x, target=y).loss(F.cross_entropy, model(x), y)
            found.append(
                torch.cat([loss.detach()[None], *(g.flatten() for g in torch.autograd.grad(loss, [*inner.parameters()]))])
            )
    assert torch.allclose(torch.stack(found[:3]), torch.stack(found[3:]), atol=1e-5)
    assert counter.frame_count == 1
    inner.skip = True
    with pytest.raises(fm.FeatmixError, match=r"layer1\.0"):
        losses([mixer], [model], x, y)


def test_a_vision_transformer_whose_blocks_are_compiled():
    torchvision_or_skip()  # timm imports it
    timm = pytest.importorskip("timm")
    x, y = torch.randn(4, 3, 32, 32), torch.arange(4)

    def made():
        torch.manual_seed(0)
        return timm.create_model("vit_tiny_patch16_224", img_size=32, depth=3, num_classes=5)

    eager, model = made(), made()
    for block in model.blocks:
        block.compile(backend="eager")
    mixers = [fm.attach(m, {"blocks.0.mlp": fm.Mixup()}, seed=0) for m in (eager, model)]
    for _ in range(4):
        found = losses(mixers, (eager, model), x, y)
        assert torch.allclose(*found, atol=1e-5)
        found[1].backward()
