"""Labels are mixed exactly where features are, or the step is refused: every strategy in the situations where that went wrong.

What the layers behind a site were given is compared, bit for bit, with what ``transform`` makes of what the site gave, by the
decision whose labels the loss uses. A refusal is an answer too; that some of each are answered otherwise is tested as well.
"""

import contextlib

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from featmix.errors import FeatmixError

EVERY = fm.list_strategies()
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
REFUSED = object()


def images(*shape, seed=0):
    return torch.randn(6, *shape, generator=torch.Generator().manual_seed(seed))


def made(name, **settings):
    return fm.create(name, p=1.0, **settings)


class Several(nn.Module):
    """A layer that returns several tensors, made of one."""

    def __init__(self, make):
        super().__init__()
        self.conv, self.make = nn.Conv2d(3, 4, 3, padding=1), make

    def forward(self, x):
        return self.make(self.conv(x))


class Reading(nn.Module):
    """A model that reads all that its layer returns; ``read`` is what it was given in the last forward."""

    def __init__(self, layer):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head, self.read = layer, nn.LazyLinear(3), []

    def forward(self, x):
        found = self.layer(x)
        several = found.values() if isinstance(found, dict) else found if isinstance(found, tuple | list) else [found]
        self.read = list(several)
        rows = [t for t in self.read if t.is_floating_point() and t.ndim > 1 and len(t) == len(x)]
        return self.head(torch.cat([t.flatten(2).mean(2) if t.ndim > 2 else t for t in rows], dim=1))


def step(model, x, tree, **options):
    """One step: the mix, and what the model read; ``REFUSED`` where the library says no at any point of it."""
    model(x)  # lazy layers
    with contextlib.ExitStack() as stack:
        try:
            mixer = stack.enter_context(fm.attach(model, tree, seed=0, **options))
            mix = mixer.draw(x, target=LABELS)
            loss = mix.loss(F.cross_entropy, model(x), LABELS)
        except FeatmixError:
            return REFUSED
        assert loss.isfinite()
        return mix, model.read


CONTAINERS = {
    "tuple": lambda f: (f, f.flip(1)),
    "dictionary": lambda f: {"out": f, "aux": f.tanh()},
    "pyramid": lambda f: [f, F.avg_pool2d(f, 2)],
    "pooled beside": lambda f: (f, f.mean((2, 3))),
    "state beside": lambda f: (f, f.mean((2, 3)).expand(2, -1, -1)),
    "indices beside": lambda f: (f, f.flatten(1).argmax(1)),
}


@pytest.mark.parametrize("known", [False, True], ids=["no example", "example"])
@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("name", EVERY)
def test_several_outputs(name, kind, known):
    x, strategy = images(3, 8, 8), made(name)
    model = Reading(Several(CONTAINERS[kind]))
    found = step(model, x, {"layer": strategy}, **({"example": x} if known else {}))
    model(x)
    clean = model.read
    if found is REFUSED:
        return
    mix, read = found
    for before, after in zip(clean, read, strict=True):
        mixed = before.is_floating_point() and before.shape[0] == len(x)
        expected = strategy.transform(before, mix.params["layer"]) if mixed else before
        assert torch.equal(after, expected)


def test_several_outputs_are_mixed_where_they_can_be():
    answered = {
        (name, kind)
        for name in ("moex", "mixup", "mixstyle")
        for kind in ("tuple", "dictionary", "indices beside")
        if step(Reading(Several(CONTAINERS[kind])), images(3, 8, 8), {"layer": made(name)}) is not REFUSED
    }
    assert len(answered) == 9


def sam(mixer, mix, model, x):
    model(x)
    return model(x + 0.1)


def two_views(mixer, mix, model, x):
    model(x)
    return model(x.flip(3))


def no_grad_first(mixer, mix, model, x):
    with torch.no_grad():
        return model(x)


def evaluated_between(mixer, mix, model, x):
    model.eval()
    clean = model(x)
    model.train()
    model(x)
    return clean


def crossed(mixer, mix, model, x):
    first = model(x)
    mixer.draw(x, target=LABELS)
    return model(x) + 0 * first.detach()


SECOND = (sam, two_views, evaluated_between, crossed)


@pytest.mark.parametrize("loop", SECOND, ids=lambda loop: loop.__name__)
@pytest.mark.parametrize("name", EVERY)
def test_a_second_forward_has_no_loss_of_the_first_ones_decision(name, loop):
    x, model = images(3, 8, 8), Reading(nn.Conv2d(3, 4, 3, padding=1))
    model(x)
    with fm.attach(model, {"layer": made(name)}, example=x, seed=0) as mixer:
        mix = mixer.draw(x, target=LABELS)
        output = loop(mixer, mix, model, x)
        with pytest.raises(FeatmixError):
            mix.loss(F.cross_entropy, output, LABELS)
        mixer.discard()


@pytest.mark.parametrize("name", EVERY)
def test_a_forward_without_gradient_leaves_the_decision_to_the_next(name):
    x, model, strategy = images(3, 8, 8), Reading(nn.Conv2d(3, 4, 3, padding=1)), made(name)
    no_grad_first(None, None, model, x)
    clean = model.read[0]
    with fm.attach(model, {"layer": strategy}, example=x, seed=0) as mixer:
        mix = mixer.draw(x, target=LABELS)
        no_grad_first(mixer, mix, model, x)
        assert torch.equal(model.read[0], clean)
        mix.loss(F.cross_entropy, model(x), LABELS)
        assert torch.equal(model.read[0], strategy.transform(clean, mix.params["layer"]))


@pytest.mark.parametrize("name", EVERY)
def test_a_repeated_decision_mixes_the_second_forward_alike(name):
    x, model, strategy = images(3, 8, 8), Reading(nn.Conv2d(3, 4, 3, padding=1)), made(name)
    model(x)
    with fm.attach(model, {"layer": strategy}, example=x, seed=0) as mixer:
        mix = mixer.draw(x, target=LABELS)
        mix.loss(F.cross_entropy, model(x), LABELS)
        first = model.read[0]
        mixer.repeat(mix)
        mix.loss(F.cross_entropy, model(x), LABELS)
        assert torch.equal(model.read[0], first)


@pytest.mark.parametrize("name", EVERY)
def test_compiled_twins_in_turn(name):
    torch._dynamo.reset()
    x, strategy = images(3, 8, 8), made(name)
    baseline, model = (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(256, 3)) for _ in range(2))
    called = torch.compile(baseline, backend="eager"), torch.compile(model, backend="eager")
    with fm.attach(model, {"0": strategy}, example=x, seed=0) as mixer:
        for _ in range(3):
            plain = baseline(x)
            assert torch.allclose(called[0](x), plain, atol=1e-6)
            mix = mixer.draw(x, target=LABELS)
            output = called[1](x)
            mix.loss(F.cross_entropy, output, LABELS)
            with torch.no_grad():
                clean = F.conv2d(x, model[0].weight, model[0].bias, padding=1)
                expected = model[2](strategy.transform(clean, mix.params["0"]).flatten(1))
            assert torch.allclose(output, expected, atol=1e-5)


AXES = {  # a layer, one sample of its input, and the axes of what it gives
    "bhwc": (lambda: nn.Linear(3, 4), (6, 5, 3)),
    "bct": (lambda: nn.Conv1d(3, 4, 3), (3, 9)),
    "bnc": (lambda: nn.Linear(3, 4), (5, 3)),
    "bcdhw": (lambda: nn.Conv3d(3, 4, 1), (3, 2, 4, 5)),
}


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("name", EVERY)
def test_axes_that_the_layer_names(name, axes):
    make, sample = AXES[axes]
    x, model = images(*sample), Reading(make())
    found = step(model, x, {"layer": made(name)}, example=x)
    model(x)
    if found is REFUSED:
        return
    mix, read = found
    with contextlib.suppress(FeatmixError):  # what cannot be made for these axes has no right answer but a refusal
        expected = made(name, layout=axes).transform(model.read[0], mix.params["layer"])
        assert torch.equal(read[0], expected)
        return
    pytest.fail(f"{name} acted on axes that it does not take when they are named")


@pytest.mark.parametrize("name", EVERY)
def test_videos_are_not_read_as_volumes(name):
    class Frames(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):  # (B, T, C, H, W)
            return self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    x, strategy = images(2, 3, 4, 5), made(name, layout="btchw")
    assert step(Reading(Frames()), x, {"layer": made(name)}, example=x) is REFUSED
    model = Reading(Frames())
    found = step(model, x, {"layer": strategy}, example=x)
    model(x)
    if found is not REFUSED:
        assert torch.equal(found[1][0], strategy.transform(model.read[0], found[0].params["layer"]))
