"""Attached models under torch.compile: one graph, whatever is drawn."""

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.nn import functional as F

import featmix as fm
from tests.attaching import images, labels, moex, net

TREES = {
    "hidden": lambda: {"stem": moex()},
    "input and hidden": lambda: {"input": fm.CutMix(), "stem": moex(), "layer1": fm.MixStyle(p=1.0)},
    "gated": lambda: {"stem": moex(p=0.5), "layer1": fm.Mixup(p=0.5, per="sample")},
    "one of": lambda: fm.OneOf([fm.At(site, fm.Mixup(alpha=2.0)) for site in ("input", "stem", "layer1")]),
    "box in a hidden layer": lambda: {"layer1": fm.CutMix(lam_per="sample")},
}


@pytest.mark.parametrize("inlined", [False, True], ids=["compiled model", "model inside a compiled step"])
@pytest.mark.parametrize("tree", TREES)
def test_two_graphs_serve_twelve_steps_of_mixing_on_and_off(tree, inlined):
    torch._dynamo.reset()
    counter = CompileCounter()
    eager, traced, x, y = net(), net(), images(), labels()
    mixers = [fm.attach(m, TREES[tree](), example=x, seed=5) for m in (eager, traced)]

    def step(batch):
        return traced(batch) * 1.0

    compiled = torch.compile(step if inlined else traced, fullgraph=True, backend=counter)
    for i in range(12):
        if i % 3 == 2:
            losses = [F.cross_entropy(called(x), y) for called in (eager, compiled)]
        else:
            losses = [m.draw(x).loss(F.cross_entropy, c(x), y) for m, c in zip(mixers, (eager, compiled), strict=True)]
        assert torch.allclose(*losses, atol=1e-6)
        losses[1].backward()
    assert counter.frame_count <= 2


def test_attaching_to_a_compiled_model_before_its_first_call_works():
    torch._dynamo.reset()
    model, x = net(), images()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    mixer = fm.attach(compiled, {"stem": moex()}, seed=1)
    reference = net()
    other = fm.attach(reference, {"stem": moex()}, seed=1)
    a = mixer.draw(x).loss(F.cross_entropy, compiled(x), labels())
    b = other.draw(x).loss(F.cross_entropy, reference(x), labels())
    assert torch.allclose(a, b)


def test_a_compiled_layer_inside_an_eager_model():
    torch._dynamo.reset()
    model, x = net(), images()
    model.layer1 = torch.compile(model.layer1, backend="eager")
    mixer = fm.attach(model, {"layer1": moex(), "layer1.0": moex()}, seed=0, example=x)
    for _ in range(3):
        mixer.draw(x).loss(F.cross_entropy, model(x), labels()).backward()


def test_graph_breaks_around_a_site():
    torch._dynamo.reset()

    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            x = self.net.stem(x)
            torch._dynamo.graph_break()
            x = self.net.layer1(x)
            torch._dynamo.graph_break()
            return self.net.head(x.mean((2, 3)))

    eager, broken, x = Broken(), Broken(), images()
    mixers = [fm.attach(m, {"net.layer1": moex(), "net.stem": fm.Mixup()}, seed=0, example=x) for m in (eager, broken)]
    compiled = torch.compile(broken, backend="eager")
    for _ in range(4):
        losses = [m.draw(x).loss(F.cross_entropy, c(x), labels()) for m, c in zip(mixers, (eager, compiled), strict=True)]
        assert torch.allclose(*losses)


def test_a_shared_layer_in_a_compiled_model():
    x = images()
    for call, refused in ((None, True), (0, False), (1, False)):
        torch._dynamo.reset()
        eager, model = net(), net()
        mixers = [fm.attach(m, fm.At("relu", moex(), call=call), seed=0) for m in (eager, model)]
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        decisions = [m.draw(x) for m in mixers]
        if refused:
            with pytest.raises(Exception, match="second call"):
                compiled(x)
        else:
            losses = [d.loss(F.cross_entropy, c(x), labels()) for d, c in zip(decisions, (eager, compiled), strict=True)]
            assert torch.allclose(*losses)


def test_drawing_inside_compiled_code_is_the_same_step():
    """A whole step may be compiled: what is drawn in it runs as plain Python at a graph break."""
    torch._dynamo.reset()
    x, found = images(), []
    for compile_it in (False, True):
        torch.manual_seed(0)
        model = net()
        mixer = fm.attach(model, {"input": fm.CutMix(p=1.0), "stem": moex()}, seed=0, example=x)

        def step(batch, target, mixer=mixer, model=model):
            mix = mixer.draw(batch, target=target)
            return mix.loss(F.cross_entropy, model(batch), target)

        run = torch.compile(step, backend="eager") if compile_it else step
        found.append(torch.stack([run(x, labels()) for _ in range(3)]))
    torch.testing.assert_close(found[1], found[0])
    assert len(found[0].unique()) == 3


def test_drawing_cannot_be_part_of_a_single_graph():
    torch._dynamo.reset()
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()})

    @torch.compile(backend="eager", fullgraph=True)
    def step(batch):
        mixer.draw(batch)
        return model(batch)

    with pytest.raises(Exception, match="draws random numbers on the host"):
        step(x)
