"""Drawing by itself: the same steps as with explicit draws, and nothing where nothing is to be drawn."""

import copy
import pickle

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

import featmix as fm
from tests.attaching import Net, images, labels, moex, net

TREE = {"input": fm.CutMix(), "stem": moex(), "layer1": fm.Mixup()}


def attached(model, seed=3, **settings):
    return fm.attach(model, TREE, seed=seed, **{"example": images(), "auto": True, **settings})


def trained(model, mixer, *, called=None, steps=3, draw=False, loss=None, context=None):
    """Losses and the gradient of a weight below all mixing but that at the input, step by step."""
    found, called = [], model if called is None else called
    for k in range(steps):
        x = images() + k
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=context == "autocast"):
            if draw:
                total = mixer.draw(x).loss(F.cross_entropy, called(x), labels())
            else:
                total = (loss or mixer.loss)(F.cross_entropy, called(x), labels())
        model.zero_grad()
        total.backward()
        found += [total.detach(), model.stem.weight.grad.clone()]
    return found


@pytest.fixture(scope="module")
def expected():
    model = net()
    return trained(model, attached(model, auto=False), draw=True)


def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_each_training_forward_has_the_decision_that_draw_would_have_made(expected):
    model = net()
    mixer = attached(model)
    found = trained(model, mixer)
    assert all(map(torch.equal, found, expected))
    assert mixer.state_dict()["draws"] == 3
    assert set(mixer.mix.params) == set(TREE)


def compiled(**settings):
    return lambda model: torch.compile(model, backend="eager", **settings)


def with_compiled_block(model):
    model.layer1 = torch.compile(model.layer1, backend="eager")
    return model


class Checkpointed(Net):
    """Its first layer runs again in backward."""

    reentrant = False

    def forward(self, x):
        x = self.relu(checkpoint(self.stem, x.requires_grad_(), use_reentrant=self.reentrant))
        return self.head(self.relu(checkpoint(self.layer1, x, use_reentrant=self.reentrant)).mean((2, 3)))


def in_parts(reentrant):
    def wrap(model):
        model.__class__, model.reentrant = Checkpointed, reentrant
        return model

    return wrap


WRAPPED = {
    "compiled": compiled(),
    "compiled, one graph": compiled(fullgraph=True),
    "a compiled block": with_compiled_block,
    "checkpointed parts": in_parts(False),
    "checkpointed parts, reentrant": in_parts(True),
}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("late", [False, True], ids=["wrapped, then attached", "attached, then wrapped"])
@pytest.mark.parametrize("kind", WRAPPED)
def test_compiled_and_checkpointed_models(kind, late, expected):
    if late and "parts" in kind:
        pytest.skip("a class is not changed under hooks")
    torch._dynamo.reset()
    model = net()
    mixer = attached(model) if late else None
    called = WRAPPED[kind](model)
    if mixer is None:
        mixer = attached(called)
    same(trained(model, mixer, called=called), expected)


def test_under_data_parallelism(expected, tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        for late in (False, True):
            model = net()
            mixer = None if late else attached(model)
            called = DistributedDataParallel(model)
            mixer = attached(called) if mixer is None else mixer
            same(trained(model, mixer, called=called), expected)
        assert set(mixer.state_dict()) == set(mixer.state_dict(gather=False))  # of one rank alone there is nothing to gather
    finally:
        dist.destroy_process_group()


def test_a_whole_model_that_runs_again_in_backward(expected):
    model = net()
    mixer = attached(model)
    same(trained(model, mixer, called=lambda x: checkpoint(model, x, use_reentrant=False)), expected)
    with pytest.raises(fm.FeatmixError, match="use_reentrant=False"):
        trained(model, mixer, called=lambda x: checkpoint(model, x.requires_grad_(), use_reentrant=True))


def test_a_compiled_step(expected):
    torch._dynamo.reset()
    model = net()
    mixer = attached(model)
    step = torch.compile(lambda x, y: mixer.loss(F.cross_entropy, model(x), y), backend="eager")
    found = []
    for k in range(3):
        total = step(images() + k, labels())
        model.zero_grad()
        total.backward()
        found += [total.detach(), model.stem.weight.grad.clone()]
    same(found, expected)
    torch._dynamo.reset()
    whole = torch.compile(lambda x, y: mixer.loss(F.cross_entropy, model(x), y), backend="eager", fullgraph=True)
    with pytest.raises(Exception, match="draws random numbers on the host: compile the model alone, or draw outside"):
        whole(images(), labels())


def test_under_autocast(expected):
    found, explicit = [], net()
    reference = attached(explicit, auto=False)
    for attach_inside in (False, True):
        model = net()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=attach_inside):
            mixer = attached(model)
            if attach_inside:  # weights that the dry run has cast without gradient must not be used here
                mixer.loss(F.cross_entropy, model(images()), labels()).backward()
                assert model.stem.weight.grad is not None
                continue
        found = trained(model, mixer, context="autocast")
    assert all(map(torch.equal, found, trained(explicit, reference, draw=True, context="autocast")))
    torch.testing.assert_close(found[0].float(), expected[0], rtol=0.02, atol=0.02)


def test_in_eval_mode_it_is_the_criterion_itself():
    model = net()
    mixer = attached(model)
    x, y = torch.randn(64, 3, 8, 8), torch.arange(64) % 5
    output = model.eval()(x)
    for criterion in (F.cross_entropy, nn.CrossEntropyLoss(label_smoothing=0.1, weight=torch.rand(5)), nn.MSELoss()):
        target = y if criterion is not None and not isinstance(criterion, nn.MSELoss) else torch.rand(64, 5)
        assert torch.equal(mixer.loss(criterion, output, target), criterion(output, target))
        assert torch.equal(mixer.draw(x).loss(criterion, output, target), criterion(output, target))
    assert torch.equal(mixer.accuracy(output, y), (output.argmax(1) == y).float().mean())
    assert mixer.state_dict()["draws"] == 0
    with pytest.raises(fm.FeatmixError, match="none drawn so far"):
        _ = mixer.mix


def test_forwards_without_gradient_draw_nothing_and_their_losses_are_plain():
    model = net()
    mixer = attached(model)
    x, y = images(), labels()
    mixed = model(x)
    with torch.no_grad():
        clean = model(x)
        assert torch.equal(mixer.loss(F.cross_entropy, clean, y), F.cross_entropy(clean, y))
    torch.testing.assert_close(mixer.loss(F.cross_entropy, mixed, y), mixer.mix.loss(F.cross_entropy, mixed, y))
    again = model(x)
    detached = mixer.loss(F.cross_entropy, again.detach(), y)  # the last forward's
    torch.testing.assert_close(detached, mixer.loss(F.cross_entropy, again, y).detach())
    assert mixer.state_dict()["draws"] == 2


def test_each_output_has_its_own_decision():
    model, explicit = net(), net()
    mixer, reference = attached(model), attached(explicit, auto=False)
    batches = [images() + k for k in range(7)]
    outputs = [model(x) for x in batches]
    mixes = [(reference.draw(x), explicit(x)) for x in batches]
    for output, (mix, theirs) in zip(outputs, mixes, strict=True):
        assert torch.equal(mixer.loss(F.cross_entropy, output, labels()), mix.loss(F.cross_entropy, theirs, labels()))
        head = nn.Linear(5, 5)
        assert torch.equal(mixer.accuracy(head(output).relu(), labels()), mix.mixture.accuracy(head(theirs).relu(), labels()))
    with pytest.raises(fm.FeatmixError, match="one of 2 forwards that had different ones"):
        mixer.loss(F.cross_entropy, outputs[0] + outputs[1], labels())


def test_what_is_drawn_by_hand_comes_first():
    model, explicit = net(), net()
    mixer, reference = attached(model), attached(explicit, auto=False)
    x, y = images(), labels()
    first, theirs = mixer.draw(x), reference.draw(x)
    assert torch.equal(first.loss(F.cross_entropy, model(x), y), theirs.loss(F.cross_entropy, explicit(x), y))
    mixer.repeat(first), reference.repeat(theirs)
    assert torch.equal(mixer.loss(F.cross_entropy, model(x), y), theirs.loss(F.cross_entropy, explicit(x), y))
    assert mixer.state_dict()["draws"] == 1
    assert mixer.mix is first
    second = mixer.loss(F.cross_entropy, model(x), y)
    assert torch.equal(second, reference.draw(x).loss(F.cross_entropy, explicit(x), y))


def test_a_forward_that_fails_at_its_beginning_leaves_no_decision_to_the_next():
    model = net()
    mixer = attached(model)

    def fail(*_):
        raise RuntimeError("on purpose")

    handle = model.register_forward_pre_hook(fail)
    model._forward_pre_hooks.move_to_end(list(model._forward_pre_hooks)[1])  # after the draw, before it is taken
    with pytest.raises(RuntimeError):
        model(images())
    handle.remove()
    left = mixer.mix
    mixer.loss(F.cross_entropy, model(images()), labels())
    assert mixer.mix is not left


class Keywords(nn.Module):
    """Takes its batch by name, beside labels of the same shape, and gives a dictionary."""

    def __init__(self):
        super().__init__()
        self.inner = net()

    def forward(self, pixel_values, labels=None, **more):
        return {"logits": self.inner(pixel_values)}


@pytest.mark.parametrize("way", ["position", "keyword", "dictionary", "both"])
def test_ways_to_pass_the_batch(way):
    calls = {
        "position": lambda m, x: m(x),
        "keyword": lambda m, x: m(pixel_values=x),
        "dictionary": lambda m, x: m(**{"pixel_values": x, "labels": labels(), "extra": torch.ones(6, 4)}),
        "both": lambda m, x: m(x, labels=labels()),
    }
    x, y = images(), labels()
    model, explicit = Keywords(), Keywords()
    tree = {"input": fm.Mixup(), "inner.stem": moex()}
    mixer, reference = fm.attach(model, tree, seed=0, auto=True), fm.attach(explicit, tree, seed=0)
    for _ in range(2):
        found = mixer.loss(F.cross_entropy, calls[way](model, x)["logits"], y)
        assert torch.equal(found, reference.draw(x).loss(F.cross_entropy, explicit(x)["logits"], y))


def test_a_function_gives_the_rest():
    model, explicit = Keywords(), Keywords()
    tree, theirs = {"inner.stem": moex(memory=8)}, {"inner.stem": moex(memory=8)}
    example = {"pixel_values": images()}
    asked = []

    def rest(arguments):
        asked.append(set(arguments))
        return {"target": arguments["labels"]} if "skip" not in arguments else None

    mixer = fm.attach(model, tree, seed=0, example=example, auto=rest)
    reference = fm.attach(explicit, theirs, seed=0, example=example)
    for k in range(3):
        x = images() + k
        found = mixer.loss(F.cross_entropy, model(x, labels=labels())["logits"], labels())
        assert torch.equal(found, reference.draw(x, target=labels()).loss(F.cross_entropy, explicit(x)["logits"], labels()))
    assert asked == [{"pixel_values", "labels"}] * 3
    clean = model(images(), skip=True)["logits"]
    assert torch.equal(mixer.loss(F.cross_entropy, clean, labels()), F.cross_entropy(clean, labels()))
    mixer.remove()
    fm.attach(model, tree, example=example, auto=True)
    with pytest.raises(fm.FeatmixError, match=r"expected the labels.*a function of the model's arguments gives the rest"):
        model(images())
    fm.detach(model)
    fm.attach(model, tree, example=example, auto=lambda _: images())
    with pytest.raises(fm.FeatmixError, match="a function that returns a dictionary"):
        model(images())
    with pytest.raises(fm.FeatmixError, match="auto"):
        fm.attach(net(), TREE, auto="yes")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))], ids=["copied", "pickled"])
def test_copies(copied):
    model = net()
    mixer = attached(model)
    trained(model, mixer, steps=1)
    twin, theirs = copied((model, mixer))
    alone = copied(model)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in (*twin.modules(), *alone.modules()))
    output = twin(images())
    with pytest.raises(fm.FeatmixError, match="a copy, which attaches"):
        theirs.loss(F.cross_entropy, output, labels())
    theirs.draw(images())
    first = theirs.loss(F.cross_entropy, twin(images()), labels())
    mixer.draw(images())
    assert torch.equal(first, mixer.loss(F.cross_entropy, model(images()), labels()))
    assert torch.equal(*(m.loss(F.cross_entropy, n(images()), labels()) for m, n in ((mixer, model), (theirs, twin))))


def test_what_it_cannot_ask_about():
    model = net()
    mixer = attached(model)
    model(images())
    with pytest.raises(fm.FeatmixError, match="did not come from it"):
        mixer.loss(F.cross_entropy, net()(images()), labels())
    for output in ({"logits": model(images())}, model(images()).sum()):
        with pytest.raises(fm.FeatmixError, match="what the model returned"):
            mixer.loss(F.cross_entropy, output, labels())
