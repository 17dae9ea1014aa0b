"""One decision for several forwards: what repeat and teaching give, and that nothing else takes a decision."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import featmix as fm
from featmix.testing.host import gradients
from tests.attaching import images, labels, moex, net
from tests.mixer.test_checkpointing import Checkpointed

TREES = {
    "input and hidden": lambda: {"input": fm.CutMix(), "stem": moex()},
    "one of": lambda: fm.OneOf([fm.At(site, fm.Mixup()) for site in ("input", "stem", "layer1")]),
    "memory of moments": lambda: {"stem": moex(memory=4)},
    "memory of features": lambda: {"stem": fm.Mixup(memory=4), "layer1": fm.CutMix(memory=8)},
    "no labels": lambda: {"stem": fm.MixStyle(p=1.0)},
}


def by_hand(model, mix, x, leaves):
    """What a forward with the decision returns, of a copy that nothing is attached to."""
    plain = copy.deepcopy(model)
    for key, leaf in leaves.items():
        act = lambda t, key=key, leaf=leaf: leaf.strategy.transform(t, mix.params[key])  # noqa: E731
        if leaf.site == "input":
            x = act(x)
        else:
            plain.get_submodule(leaf.site).register_forward_hook(lambda _, __, y, act=act: act(y))
    return plain(x)


@pytest.mark.parametrize("tree", TREES)
def test_every_forward_of_a_repeated_decision_mixes_as_the_first(tree):
    model, x, y = net(), images(), labels()
    mixer = fm.attach(model, TREES[tree](), example=x, seed=0)
    for _ in range(3):
        mix = mixer.draw(x, target=y)
        for again in range(3):
            if again:
                mixer.repeat(mix)
                for parameter in model.parameters():  # as SAM does between its two forwards
                    parameter.data.add_(0.01)
            expected = by_hand(model, mix, x, mixer._leaves)
            output = model(x)
            torch.testing.assert_close(output, expected)
            torch.testing.assert_close(mix.loss(F.cross_entropy, output, y), mix.mixture.loss(F.cross_entropy, expected, y))
        assert torch.equal(model(x), copy.deepcopy(model)(x))


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_gives_the_plain_gradient_of_repeated_forwards(reentrant):
    found = []
    for kind in (None, reentrant):
        model, x, y = Checkpointed(kind), images(), labels()
        mixer = fm.attach(model, {"net.layer1.0": moex(), "input": fm.Mixup()}, seed=2)
        mix = mixer.draw(x, target=y)
        first = mix.loss(F.cross_entropy, model(x), y)
        mixer.repeat(mix)
        second = mix.loss(F.cross_entropy, model(x.flip(-1)), y)
        other = mixer.draw(x, target=y).loss(F.cross_entropy, model(x), y)
        (first + 2 * F.cross_entropy(model(x), y) + 3 * second + 4 * other).backward()
        found.append(gradients(model))
    assert (found[1] - found[0]).norm() <= 1e-6 * found[0].norm()


@pytest.mark.parametrize("inlined", [False, True], ids=["compiled model", "model inside a compiled step"])
def test_two_graphs_serve_repeated_forwards_too(inlined):
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    counter = CompileCounter()
    eager, traced, x, y = net(), net(), images(), labels()
    mixers = [fm.attach(m, {"input": fm.Mixup(), "stem": moex()}, seed=5) for m in (eager, traced)]
    compiled = torch.compile((lambda batch: traced(batch) * 1.0) if inlined else traced, fullgraph=True, backend=counter)
    for step in range(6):
        mixes = [mixer.draw(x, target=y) for mixer in mixers]
        for again in range(3):
            for mixer, mix in zip(mixers, mixes, strict=True):
                if again:
                    mixer.repeat(mix)
            losses = [m.loss(F.cross_entropy, c(x), y) for m, c in zip(mixes, (eager, compiled), strict=True)]
            assert torch.allclose(*losses, atol=1e-6)
        if step % 2:
            assert torch.allclose(eager(x), compiled(x), atol=1e-6)
            with pytest.raises(fm.FeatmixError, match="the output of another forward"):
                mixes[1].loss(F.cross_entropy, compiled(x), y)
    assert counter.frame_count <= 2


def test_lbfgs_closures_repeat_their_decision():
    found = []
    for attached in (True, False):
        model, x, y = net().double(), images().double(), labels()
        mixer = fm.attach(model, {"input": fm.Mixup()}, seed=3)
        mix = mixer.draw(x, target=y)
        optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=5)
        mixed = fm.Mixup().transform(x, mix.params["input"])
        if not attached:
            mixer.remove()
        losses = []

        def closure(attached=attached, model=model, mixer=mixer, mix=mix, x=x, y=y, mixed=mixed, opt=optimizer, out=losses):
            opt.zero_grad()
            if attached:
                mixer.repeat(mix)
            output = model(x if attached else mixed)
            loss = mix.loss(F.cross_entropy, output, y) if attached else mix.mixture.loss(F.cross_entropy, output, y)
            loss.backward()
            out.append(loss.detach())
            return loss

        optimizer.step(closure)
        found.append(torch.stack(losses))
    assert len(found[0]) > 3
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("compile_it", [False, True])
def test_forwards_without_gradient_take_no_decision(context, compile_it):
    torch._dynamo.reset()
    model, x, y = net(), images(), labels()
    plain = copy.deepcopy(model)
    mixer = fm.attach(model, {"input": fm.Mixup(), "stem": moex()}, seed=0)
    called = torch.compile(model, backend="eager") if compile_it else model
    mix = mixer.draw(x, target=y)
    with context():
        assert torch.equal(called(x), plain(x))
    expected = by_hand(plain, mix, x, mixer._leaves)
    output = called(x)
    torch.testing.assert_close(output, expected)
    mix.loss(F.cross_entropy, output, y)


@pytest.mark.parametrize("first", [True, False], ids=["teacher first", "student first"])
@pytest.mark.parametrize("compile_it", [False, True])
def test_the_same_model_without_gradient_is_taught_the_same_mix(first, compile_it):
    torch._dynamo.reset()
    model, x, y = net(), images(), labels()
    mixer = fm.attach(model, {"input": fm.CutMix(), "stem": moex()}, seed=0)
    called = torch.compile(model, backend="eager") if compile_it else model
    mix = mixer.draw(x, target=y)
    expected = by_hand(model, mix, x, mixer._leaves)
    student = None if first else called(x)
    for _ in range(2):
        with torch.no_grad(), mixer.teaching(mix):
            torch.testing.assert_close(called(x), expected)
            torch.testing.assert_close(called(x), expected)
    student = called(x) if first else student
    torch.testing.assert_close(student, expected)
    mix.loss(F.cross_entropy, student, y).backward()
    with torch.no_grad():
        assert torch.equal(called(x), copy.deepcopy(model)(x))


@pytest.mark.parametrize("training", [True, False])
def test_another_model_is_taught_the_same_mix(training):
    student, x, y = net(), images(), labels()
    teacher = copy.deepcopy(student).train(training)
    tree = {"input": fm.CutMix(), "stem": moex(memory=8)}
    mixer, other = (fm.attach(m, tree, example=x, seed=0) for m in (student, teacher))
    for _ in range(2):
        mix = mixer.draw(x, target=y)
        expected = by_hand(teacher, mix, x, other._leaves)
        with torch.no_grad(), other.teaching(mix):
            soft = teacher(x)
        torch.testing.assert_close(soft, expected)
        mix.loss(F.cross_entropy, student(x), y)
        with torch.no_grad():
            torch.testing.assert_close(teacher(x), copy.deepcopy(teacher)(x))


def test_a_second_student_trains_on_the_same_mix():
    first, second, x, y = net(), net(), images(), labels()
    mixer, other = (fm.attach(m, {"stem": moex()}, seed=0) for m in (first, second))
    mix = mixer.draw(x, target=y)
    other.repeat(mix)
    losses = [mix.loss(F.cross_entropy, model(x), y) for model in (second, first)]
    assert torch.equal(*losses)


def test_what_cannot_be_repeated_is_refused():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()}, seed=0)
    mix = mixer.draw(x)
    model(x)
    mixer.draw(x)
    with pytest.raises(fm.FeatmixError, match="waits for its forward"):
        mixer.repeat(mix)
    model(x)
    with pytest.raises(fm.FeatmixError, match="what draw returned"):
        mixer.repeat(mix.params)
    with pytest.raises(fm.FeatmixError, match="sites 'layer1'"):
        fm.attach(net(), {"layer1": moex()}).repeat(mix)
    with pytest.raises(fm.FeatmixError, match="without gradient or in eval mode"), mixer.teaching(mix):
        model(x)
    with pytest.raises(ZeroDivisionError), mixer.teaching(mix):
        1 / 0  # noqa: B018
    mixer.remove()
    for call in (mixer.repeat, lambda m: mixer.teaching(m).__enter__()):
        with pytest.raises(fm.FeatmixError, match="removed"):
            call(mix)


def test_a_mix_of_eval_mode_arms_nothing():
    model, x, y = net().eval(), images(), labels()
    mixer = fm.attach(model, {"stem": moex()}, seed=0)
    mix = mixer.draw(x)
    mixer.repeat(mix)
    with mixer.teaching(mix):
        assert torch.equal(model(x), copy.deepcopy(model)(x))
    mixer.draw(x).loss(F.cross_entropy, model(x), y)
    model.train()
    assert torch.equal(model(x), copy.deepcopy(model)(x))


def test_a_repeated_forward_remembers_nothing_twice():
    model, x, y = net(), images(), labels()
    mixer = fm.attach(model, {"stem": moex(memory=6)}, example=x, seed=0)
    mix = mixer.draw(x, target=y)
    model(x)
    before = {k: v.clone() for k, v in mixer.state_dict()["strategies"]["stem"].items()}
    model.stem.weight.data.mul_(2)
    mixer.repeat(mix)
    model(x)
    after = mixer.state_dict()["strategies"]["stem"]
    assert all(torch.equal(before[k], after[k]) for k in before)


class Whole(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, x):
        return checkpoint(self.net, x, use_reentrant=False)


def test_a_whole_model_under_checkpointing_is_repeated():
    found = []
    for wrap in (False, True):
        whole, x, y = Whole(), images(), labels()
        mixer = fm.attach(whole.net, {"input": fm.Mixup(), "stem": moex()}, seed=2)
        mix, losses = mixer.draw(x), []
        for _ in range(2):
            mixer.repeat(mix)
            losses.append(mix.loss(F.cross_entropy, (whole if wrap else whole.net)(x), y))
        sum(losses).backward()
        found.append(gradients(whole))
    assert (found[1] - found[0]).norm() <= 1e-6 * found[0].norm()
