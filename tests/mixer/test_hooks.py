"""The mechanism under compilation, checkpointing, copies and odd outputs."""

import copy
import dataclasses
import gc
import io
import weakref
from collections import OrderedDict, namedtuple
from types import MappingProxyType, SimpleNamespace

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import featmix as fm
from featmix.mixer.containers import tensors
from featmix.testing.host import gradients
from tests.attaching import images, labels, moex, net, seen_by

Pair = namedtuple("Pair", "features state")


@dataclasses.dataclass
class Output:
    features: torch.Tensor
    state: str


class ModelOutput(OrderedDict):
    """As transformers have it: a dict whose entries are attributes too."""

    def __getattr__(self, name):
        return self[name]


@dataclasses.dataclass(frozen=True)
class Computed:
    """A data class that makes a field itself."""

    features: torch.Tensor
    norm: torch.Tensor = dataclasses.field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "norm", torch.zeros(1))


FORMS = {
    "tuple": lambda x: (x, "state"),
    "list": lambda x: [x, "state"],
    "namedtuple": lambda x: Pair(x, "state"),
    "dict": lambda x: {"state": "state", "features": x},
    "model output": lambda x: ModelOutput(state="state", features=x),
    "dataclass": lambda x: Output(x, "state"),
    "frozen dataclass": Computed,
    "namespace": lambda x: SimpleNamespace(state="state", features=x),
    "mapping proxy": lambda x: MappingProxyType({"state": "state", "features": x}),
    "nested": lambda x: ("state", {"features": (x, None)}),
}


class Wrapped(nn.Module):
    """A layer that returns its features in some container."""

    def __init__(self, form):
        super().__init__()
        self.inner = nn.Module()
        self.inner.forward = FORMS[form]
        self.given = None

    def forward(self, x):
        self.given = self.inner(x)
        return x


@pytest.mark.parametrize("form", FORMS)
def test_outputs_keep_their_container(form):
    model, x = Wrapped(form), images()
    with fm.attach(model, {"inner": moex(norm="in")}, seed=0) as mixer:
        mix = mixer.draw(x)
        model(x)
    expected = FORMS[form](moex(norm="in").transform(x, mix.params["inner"]))
    assert type(model.given) is type(expected)
    assert all(map(torch.equal, tensors(model.given), tensors(expected)))
    assert repr(model.given) == repr(expected)


def test_a_layer_without_tensors_is_refused():
    model = Wrapped("tuple")
    model.inner.forward = lambda x: "text"
    with fm.attach(model, {"inner": moex()}) as mixer:
        mixer.draw(images())
        with pytest.raises(fm.FeatmixError, match="returns a tensor"):
            model(images())


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


def test_attaching_after_the_first_compiled_call_is_noticed():
    torch._dynamo.reset()
    model, x = net(), images()
    compiled = torch.compile(model, backend="eager")
    compiled(x)
    mixer = fm.attach(model, {"stem": moex()})
    mix = mixer.draw(x)
    with pytest.raises(fm.FeatmixError, match="compiled"):
        mix.loss(F.cross_entropy, compiled(x), labels())


def test_a_compiled_layer_inside_an_eager_model():
    torch._dynamo.reset()
    model, x = net(), images()
    model.layer1 = torch.compile(model.layer1, backend="eager")
    mixer = fm.attach(model, {"layer1": moex(), "layer1.0": moex()}, seed=0, example=x)
    for _ in range(3):
        mixer.draw(x).loss(F.cross_entropy, model(x), labels()).backward()


class Checkpointed(nn.Module):
    """The net with ``layer1`` run again in backward."""

    def __init__(self, reentrant):
        super().__init__()
        self.net, self.reentrant = net(), reentrant

    def forward(self, x):
        x = self.net.relu(self.net.stem(x))
        block = self.net.layer1
        x = block(x) if self.reentrant is None else checkpoint(block, x, use_reentrant=self.reentrant)
        return self.net.head(x.mean((2, 3)))


def _train(reentrant, disturb):
    model, x, y = Checkpointed(reentrant), images(), labels()
    mixer = fm.attach(model, {"net.layer1.0": moex(), "input": fm.Mixup()}, seed=2)
    for _ in range(3):
        loss = mixer.draw(x).loss(F.cross_entropy, model(x), y)
        disturb(model, mixer, x)
        loss.backward()
    return gradients(model)


DISTURBANCES = {
    "nothing": lambda model, mixer, x: None,
    "an eval forward": lambda model, mixer, x: model.eval()(x) if model.train(False) else None,
    "a clean training forward": lambda model, mixer, x: model(x),
    "the next draw": lambda model, mixer, x: (mixer.draw(x), mixer.discard()),
}


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_checkpointing_gives_the_plain_gradient_whatever_happens_before_backward(reentrant, disturbance):
    def disturb(model, mixer, x):
        DISTURBANCES[disturbance](model, mixer, x)
        model.train()

    plain, measured = _train(None, disturb), _train(reentrant, disturb)
    assert (measured - plain).norm() <= 1e-6 * plain.norm()


@pytest.mark.parametrize("reentrant", [True, False])
def test_two_forwards_before_one_backward_each_get_their_own_decision(reentrant):
    found = []
    for kind in (None, reentrant):
        model, x, y = Checkpointed(kind), images(), labels()
        mixer = fm.attach(model, {"net.layer1.0": moex()}, seed=2)
        first = mixer.draw(x).loss(F.cross_entropy, model(x), y)
        clean = F.cross_entropy(model(x), y)
        second = mixer.draw(x).loss(F.cross_entropy, model(x), y)
        (first + 2 * clean + 3 * second).backward()
        found.append(gradients(model))
    assert (found[1] - found[0]).norm() <= 1e-6 * found[0].norm()


def test_a_whole_model_under_checkpointing():
    found = []
    for run in (lambda m, x: m(x), lambda m, x: checkpoint(m, x, use_reentrant=False)):
        model, x = net(), images()
        mixer = fm.attach(model, {"input": fm.Mixup(), "stem": moex()}, seed=2)
        for _ in range(2):
            mix = mixer.draw(x)
            loss = mix.loss(F.cross_entropy, run(model, x), labels())
            mixer.draw(x)
            mixer.discard()
            loss.backward()
        found.append(gradients(model))
    assert (found[1] - found[0]).norm() <= 1e-6 * found[0].norm()


def test_a_whole_model_under_reentrant_checkpointing_is_refused():
    model, x = net(), images().requires_grad_()
    mixer = fm.attach(model, {"stem": moex()})
    loss = mixer.draw(x).loss(F.cross_entropy, checkpoint(model, x, use_reentrant=True), labels())
    with pytest.raises(fm.FeatmixError, match="use_reentrant=False"):
        loss.backward()


def test_a_call_index_under_checkpointing_is_refused():
    model, x = Checkpointed(False), images()
    mixer = fm.attach(model, fm.At("net.layer1.0", moex(), call=0))
    loss = mixer.draw(x).loss(F.cross_entropy, model(x), labels())
    with pytest.raises(fm.FeatmixError, match="more than once"):
        loss.backward()


def test_nothing_is_left_behind_after_backward():
    model, x = Checkpointed(False), images()
    mixer = fm.attach(model, {"net.layer1": moex()}, seed=0)
    mixer.draw(x).loss(F.cross_entropy, model(x), labels()).backward()
    inner = torch.randn(6, 8, 8, 8)
    assert torch.equal(model.net.layer1(inner), copy.deepcopy(model.net.layer1)(inner))


@pytest.mark.parametrize("armed", [False, True])
def test_copies_and_saved_models_never_mix(armed):
    model, x = net(), images()
    plain = net()
    mixer = fm.attach(model, {"input": fm.Mixup(), "stem": moex()})
    if armed:
        mixer.draw(x)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    expected = plain(x)
    for other in (copy.deepcopy(model), torch.load(buffer, weights_only=False)):
        assert torch.equal(other(x), expected)


def test_averaged_model_never_mixes():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()})
    average = torch.optim.swa_utils.AveragedModel(model)
    mixer.draw(x)
    model(x)
    average.update_parameters(model)
    torch.optim.swa_utils.update_bn([x, x], average)
    assert torch.equal(average.eval()(x), average.module(x))


def test_batch_norm_recalibration_sees_clean_features():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()})
    mixer.draw(x)
    model(x)
    seen = seen_by(model.layer1)
    torch.optim.swa_utils.update_bn([x], model)
    assert torch.equal(seen[0], F.relu(model.stem(x)))


def test_half_precision_under_autocast():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex(), "input": fm.Mixup()})
    seen = seen_by(model.layer1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mix = mixer.draw(x)
        output = model(x)
    assert seen[0].dtype == torch.bfloat16
    mix.loss(F.cross_entropy, output.float(), labels()).backward()


def test_a_removed_mixer_is_collected():
    model = net()
    mixer = fm.attach(model, {"stem": moex()})
    model(images()).sum().backward()
    switch = weakref.ref(mixer._switch)
    mixer.remove()
    del mixer
    gc.collect()
    assert switch() is None


class Captured(Checkpointed):
    """Returns its scores in a form of choice, and keeps the features that the checkpointed layer made."""

    def __init__(self, reentrant, form):
        super().__init__(reentrant)
        self.form = form

    def forward(self, x):
        x = self.net.relu(self.net.stem(x))
        block = self.net.layer1
        self.features = block(x) if self.reentrant is None else checkpoint(block, x, use_reentrant=self.reentrant)
        return self.form(self.net.head(self.features.mean((2, 3))))


UNUSUAL = {"namespace": lambda h: SimpleNamespace(h=h), "mapping proxy": lambda h: MappingProxyType({"h": h})}


@pytest.mark.parametrize("form", UNUSUAL)
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_behind_unusual_outputs(reentrant, form):
    found = []
    for kind in (None, reentrant):
        model, x = Captured(kind, UNUSUAL[form]), images()
        mixer = fm.attach(model, {"net.layer1.0": moex()}, seed=2)
        mix = mixer.draw(x)
        mix.loss(F.cross_entropy, next(iter(tensors(model(x)))), labels()).backward()
        found.append(gradients(model))
    assert (found[1] - found[0]).norm() <= 1e-6 * found[0].norm()


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_loss_that_goes_round_the_output_is_refused_under_checkpointing(reentrant):
    model, x = Captured(reentrant, lambda h: h), images()
    mixer = fm.attach(model, {"net.layer1.0": moex()}, seed=2)
    mixer.draw(x)
    model(x)
    with pytest.raises(fm.FeatmixError, match="a tensor that the model returns"):
        model.features.square().mean().backward()


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


@pytest.mark.parametrize("fullgraph", [False, True])
def test_drawing_inside_compiled_code_is_refused(fullgraph):
    torch._dynamo.reset()
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()})

    @torch.compile(backend="eager", fullgraph=fullgraph)
    def step(batch):
        mixer.draw(batch)
        return model(batch)

    with pytest.raises(Exception, match=r"outside compiled code|FeatmixError"):
        step(x)
