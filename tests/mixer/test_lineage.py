"""Which losses are refused: those of outputs that came from another forward than the one with the decision."""

import gc
import weakref
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import featmix as fm
from tests.attaching import images, labels, moex, net

REFUSED = pytest.raises(fm.FeatmixError, match="the output of another forward")
DERIVED = {
    "itself": lambda o: o,
    "float": lambda o: o.double(),
    "a slice": lambda o: o[:, :3],
    "a head outside": nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 5)),
    "a deep head outside": nn.Sequential(*(nn.Linear(5, 5) for _ in range(200))),
    "a checkpointed head": lambda o: checkpoint(nn.Linear(5, 5), o, use_reentrant=True),
    "in place": lambda o: o.mul_(2),
    "a compiled head": lambda o: torch.compile(nn.Linear(5, 5), backend="aot_eager")(o),
    "together with a clean embedding": lambda o: o @ nn.Linear(5, 5)(torch.ones(5, 5)),
}


def asked(mix, output):
    return mix.loss(F.cross_entropy, output, labels() % output.shape[1])


def test_the_output_of_compiled_code_is_told_apart():
    torch._dynamo.reset()
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()}, seed=0)
    compiled = torch.compile(model, backend="aot_eager")
    mix = mixer.draw(x)
    mixed, clean = compiled(x), compiled(x)
    asked(mix, mixed[:, :3])
    with REFUSED:
        asked(mix, clean[:, :3])


@pytest.fixture(params=["eager", "compiled"])
def subject(request):
    """A model, its mixer, and the model as it is called."""
    torch._dynamo.reset()
    model = net()
    mixer = fm.attach(model, {"input": fm.Mixup(), "stem": moex()}, seed=0)
    return mixer, torch.compile(model, backend="eager") if request.param == "compiled" else model


def test_what_is_computed_from_an_output_is_told_apart(subject):
    (mixer, model), x = subject, images()
    for derive in DERIVED.values():
        mix = mixer.draw(x)
        mixed, clean = model(x), model(x)
        asked(mix, derive(mixed))
        with REFUSED:
            asked(mix, derive(clean))
        with REFUSED:
            mix.accuracy(derive(clean), labels() % 3)


def test_sam_without_repeat(subject):
    (mixer, model), x = subject, images()
    mix = mixer.draw(x)
    asked(mix, model(x)).backward()
    with REFUSED:
        asked(mix, model(x))


def test_two_views_with_one_draw(subject):
    (mixer, model), x = subject, images()
    mix = mixer.draw(x)
    views = model(x), model(x.flip(-1))
    asked(mix, views[0])
    with REFUSED:
        asked(mix, views[1])


def test_crossed_draws_and_straight_ones(subject):
    (mixer, model), x = subject, images()
    real, fake = mixer.draw(x), None
    of_real = model(x)
    fake = mixer.draw(x.flip(0))
    of_fake = model(x.flip(0))
    for mix, own, other in ((real, of_real, of_fake), (fake, of_fake, of_real)):
        asked(mix, own)
        with REFUSED:
            asked(mix, other)


def test_a_forward_without_gradient_that_comes_first(subject):
    (mixer, model), x = subject, images()
    mix = mixer.draw(x)
    with torch.no_grad():
        clean = model(x)
    with pytest.raises(fm.FeatmixError, match="between draw and loss"):
        asked(mix, clean)
    asked(mix, model(x))


def test_an_eval_forward_after_the_training_forward(subject):
    (mixer, model), x = subject, images()
    mix = mixer.draw(x)
    model(x)
    clean = model.eval()(x)
    with REFUSED:
        asked(mix, clean)


def test_a_discarded_decision(subject):
    (mixer, model), x = subject, images()
    model(x)
    mixer.draw(x)
    model(x)
    mix = mixer.draw(x)
    mixer.discard()
    with pytest.raises(fm.FeatmixError, match="between draw and loss"):
        asked(mix, model(x))


def test_correct_loops_are_not_refused(subject):
    (mixer, model), x = subject, images()
    mix = mixer.draw(x)
    output = model(x)
    consistency = F.mse_loss(model(x.flip(-1)), output)  # a clean forward between
    total = asked(mix, output) + asked(mix, output[:, :4]) + consistency  # several losses of one forward
    total.backward()
    with torch.no_grad():
        model(x)
        mix.accuracy(output, labels())
        mix.accuracy(output.detach(), labels())
    accumulated = [(mixer.draw(x), model(x)) for _ in range(3)]
    sum(asked(mix, output) for mix, output in accumulated).backward()
    anchors = model(x.roll(1, 0))  # i-Mix: rows are mixed, columns are not
    mix = mixer.draw(x)
    mix.loss(F.cross_entropy, model(x) @ anchors.T, torch.arange(6)).backward()


def test_a_model_that_refines_its_own_output():
    model, x = nn.Sequential(nn.Linear(5, 5)), torch.randn(6, 5)
    mixer = fm.attach(model, {"input": fm.Mixup()}, seed=0)
    mix = mixer.draw(x)
    asked(mix, model(model(x)))


def test_two_attached_models_one_after_the_other():
    encoder, x = net(), images()
    head = nn.Sequential(nn.Linear(5, 5))
    first, second = fm.attach(encoder, {"stem": moex()}), fm.attach(head, {"input": fm.Mixup()})
    mix = first.draw(x)
    asked(mix, head(encoder(x)))
    mix, features = first.draw(x), encoder(x)
    other = second.draw(features)
    output = head(features)
    asked(mix, output)
    asked(other, output)
    other = second.draw(features)
    with pytest.raises(fm.FeatmixError, match="between draw and loss"):
        asked(other, output)
    head(features)
    with REFUSED:
        asked(other, output)


def untagged(kind, model):
    """A way to call an attached model whose outputs do not say where they come from."""
    if kind == "compiled with the step":
        return torch.compile(lambda x: model(x) * 1.0, backend="aot_eager", fullgraph=True)
    head = nn.Linear(5, 5)
    if kind == "detached":
        return lambda x: head(model(x).detach())
    model.requires_grad_(False)
    return lambda x: head(model(x))


@pytest.mark.parametrize("kind", ["compiled with the step", "detached", "frozen"])
def test_outputs_of_unknown_origin_are_counted(kind):
    torch._dynamo.reset()
    model, x = net(), images()
    mixer = fm.attach(model, {"input": fm.Mixup(), "stem": moex()}, seed=0)
    called = untagged(kind, model)
    for _ in range(2):
        mix = mixer.draw(x)
        output = called(x)
        asked(mix, output)
        clean = called(x)  # SAM
        with REFUSED:
            asked(mix, clean)
        asked(mix, output)
        mixer.repeat(mix)
        asked(mix, called(x))
        mix = mixer.draw(x)
        views = called(x), called(x.flip(-1))
        asked(mix, views[0])
        with REFUSED:
            asked(mix, views[1])
        real = mixer.draw(x)
        of_real = called(x)
        fake = mixer.draw(x)
        of_fake = called(x)
        asked(real, of_real), asked(fake, of_fake), asked(fake, of_fake[:, :4])
        mix = mixer.draw(x)
        with torch.no_grad():
            clean = called(x)
        with pytest.raises(fm.FeatmixError, match="between draw and loss"):
            asked(mix, clean)
        mixer.discard()


class Output(OrderedDict):
    """As transformers have it: a dict whose entries are attributes too."""

    def __getattr__(self, name):
        return self[name]


class InContainer(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, x):
        logits = self.net(x)
        return Output(loss=None, logits=logits, hidden=(logits * 2,))


def test_every_tensor_of_a_container_is_told_apart():
    model, x = InContainer(), images()
    mixer = fm.attach(model, {"net.stem": moex()}, seed=0)
    mix = mixer.draw(x)
    mixed, clean = model(x), model(x)
    for mine, other in ((mixed.logits, clean.logits), (mixed.hidden[0], clean.hidden[0])):
        asked(mix, mine)
        with REFUSED:
            asked(mix, other)


def test_autocast_keeps_the_origin():
    model, x, head = net(), images(), nn.Linear(5, 5)
    mixer = fm.attach(model, {"stem": moex()}, seed=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mix = mixer.draw(x)
        mixed, clean = head(model(x)).float(), head(model(x)).float()
    asked(mix, mixed)
    with REFUSED:
        asked(mix, clean)


def test_nothing_is_kept_alive():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()}, seed=0)
    mix = mixer.draw(x)
    output = model(x)
    asked(mix, output)
    alive = [weakref.ref(t) for t in (x, output)]
    del x, output
    gc.collect()
    assert [one() for one in alive] == [None, None]


@pytest.mark.parametrize("settings", [{}, {"find_unused_parameters": True}, {"static_graph": True}])
def test_data_parallel_outputs_are_told_apart(settings):
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        model, x = nn.parallel.DistributedDataParallel(net(), **settings), images()
        mixer = fm.attach(model, {"stem": moex()}, seed=0)
        mix = mixer.draw(x)
        asked(mix, model(x)).backward()
        clean = model(x)
        with REFUSED:
            asked(mix, clean)
        clean.sum().backward()
        mixer.repeat(mix)
        asked(mix, model(x)).backward()
    finally:
        torch.distributed.destroy_process_group()
