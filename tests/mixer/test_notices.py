"""What a loop seems to have forgotten is warned of once; correct loops are left in peace."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from featmix.errors import FeatmixWarning
from tests.attaching import images, labels, moex, net


def heard(loop):
    """What is warned of in a loop, and where."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop()
    return [str(one.message) for one in caught if issubclass(one.category, FeatmixWarning)], {one.filename for one in caught}


def trained(mixer, model, steps, x=None, y=None, before=lambda step: None):
    x, y = images() if x is None else x, labels() if y is None else y
    for step in range(steps):
        before(step)
        mixer.draw(x, target=y).loss(F.cross_entropy, model(x), y)


def tiny():
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def scheduled():
    return {
        "p": {"0": moex(p=fm.schedule.linear(0, 1))},
        "strength": {"0": fm.Mixup(alpha=fm.schedule.cosine(0.1, 1))},
        "deep in a tree": fm.OneOf([fm.SomeOf([fm.At("0", moex())], count=1, p=fm.schedule.switch_off(1.0, at=0.9))]),
    }


@pytest.mark.parametrize("tree", scheduled())
def test_a_schedule_that_nobody_drives(tree):
    model = tiny()
    mixer = fm.attach(model, scheduled()[tree], seed=0)
    assert heard(lambda: trained(mixer, model, 99))[0] == []
    said, where = heard(lambda: trained(mixer, model, 300))
    assert len(said) == 1
    assert "100 draws at progress 0" in said[0]
    assert "mixer.progress = step / total_steps" in said[0]
    assert where == {__file__}


def test_schedules_that_are_driven_or_do_not_change():
    model, tree = tiny(), {"0": moex(p=fm.schedule.linear(0, 1))}
    for drive in (
        lambda mixer, step: setattr(mixer, "progress", step / 149),
        lambda mixer, step: setattr(mixer, "progress", 0),
    ):
        with fm.attach(model, tree, seed=0) as mixer:
            assert heard(lambda m=mixer, d=drive: trained(m, model, 150, before=lambda step: d(m, step)))[0] == []
    with fm.attach(model, tree, seed=0) as mixer:
        mixer.progress = 0.5
        state = mixer.state_dict()
    with fm.attach(model, tree, seed=0) as mixer:
        mixer.load_state_dict(state)
        assert heard(lambda: trained(mixer, model, 150))[0] == []
    with fm.attach(model, {"0": moex(p=fm.schedule.constant(0.5))}, seed=0) as mixer:
        assert heard(lambda: trained(mixer, model, 150))[0] == []


def test_a_strategy_by_itself_whose_schedule_nobody_drives():
    x = images()
    for drive, count in ((lambda s, k: None, 1), (lambda s, k: setattr(s, "progress", 0.0), 0), (lambda s, k: s.eval(), 0)):
        strategy = moex(p=fm.schedule.linear(0, 1))

        def loop(strategy=strategy, drive=drive):
            for k in range(250):
                drive(strategy, k)
                strategy(x)

        said, _ = heard(loop)
        assert len(said) == count
        assert all("strategy.progress" in one for one in said)
    assert heard(lambda: [moex()(x) for _ in range(120)])[0] == []


GREY = torch.rand(6, 1, 8, 8)


@pytest.mark.parametrize("name", ["moex", "mixstyle"])
def test_moments_over_a_single_channel(name):
    model = nn.Sequential(nn.Conv2d(1, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    mixer = fm.attach(model, {"input": fm.create(name, norm="pono", p=1.0)}, seed=0)
    said, where = heard(lambda: trained(mixer, model, 20, GREY))
    assert len(said) == 1
    assert "norm='in'" in said[0]
    assert where == {__file__}
    strategy = fm.create(name, norm="pono", p=1.0)
    said, where = heard(lambda: [strategy(GREY) for _ in range(5)])
    assert len(said) == 1
    assert where == {__file__}
    assert heard(lambda: fm.create(name, norm="in", p=1.0)(GREY))[0] == []


def test_hidden_features_without_moments():
    model = nn.Sequential(nn.Conv2d(3, 5, 8), nn.Flatten())  # maps of one position
    for settings, count in (({"norm": "in"}, 1), ({"norm": "pono"}, 0)):
        for example in (None, images()):
            with fm.attach(model, {"0": fm.MixStyle(p=1.0, **settings)}, example=example, seed=0) as mixer:
                said, _ = heard(lambda mixer=mixer: trained(mixer, model, 5))
            assert len(said) == count


def test_many_places_without_effect_are_one_warning():
    model = nn.Sequential(nn.Conv2d(3, 5, 8), *(nn.Conv2d(5, 5, 1) for _ in range(5)), nn.Flatten())
    tree = {str(k): fm.MixStyle(norm="in", p=1.0) for k in range(6)}
    with fm.attach(model, tree, example=images(), seed=0) as mixer:
        said, _ = heard(lambda: trained(mixer, model, 3))
    assert len(said) == 1
    assert "'0', '1', '2' and 3 more" in said[0]


def test_batches_of_one_are_no_reason_to_warn():
    model, x, y = tiny(), images(1), labels(1)
    for name in fm.list_strategies():
        with fm.attach(model, {"input": fm.create(name, p=1.0)}, seed=0) as mixer:
            assert heard(lambda mixer=mixer: trained(mixer, model, 3, x, y))[0] == []
        strategy = fm.create(name, p=1.0)
        assert heard(lambda strategy=strategy: strategy(x))[0] == []


def test_attached_and_never_drawn():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()})
    assert heard(lambda: [model(x) for _ in range(99)])[0] == []
    said, where = heard(lambda: [model(x) for _ in range(300)])
    assert len(said) == 1
    assert "100 training forwards and no draw" in said[0]
    assert where == {__file__}
    mixer.remove()


def test_an_epoch_without_a_draw():
    model, x = net(), images()
    fm.attach(model, {"stem": moex()})
    assert heard(lambda: [model(x) for _ in range(12)])[0] == []
    assert len(heard(lambda: model.eval()(x))[0]) == 1
    assert heard(lambda: [model.train(k % 20 < 10)(x) for k in range(200)])[0] == []


def test_forwards_that_are_no_reason_to_warn():
    x, y = images(), labels()

    def validated_first(model, mixer):
        model.eval()
        for _ in range(200):
            model(x)
        model.train()
        trained(mixer, model, 1)

    def mixed_now_and_then(model, mixer):
        for _ in range(3):
            trained(mixer, model, 1)
            for _ in range(120):
                model(x)

    def never_with_gradient(model, mixer):
        with torch.no_grad():
            for _ in range(200):
                model(x)

    def a_second_student(model, mixer):
        first = net()
        other = fm.attach(first, {"stem": moex()})
        for _ in range(120):
            mix = other.draw(x)
            mix.loss(F.cross_entropy, first(x), y)
            mixer.repeat(mix)
            mix.loss(F.cross_entropy, model(x), y)

    for loop in (validated_first, mixed_now_and_then, never_with_gradient, a_second_student):
        model = net()
        mixer = fm.attach(model, {"stem": moex()})
        assert heard(lambda loop=loop, m=model, mixer=mixer: loop(m, mixer))[0] == []


def test_drawn_and_never_asked():
    model, x, y = net(), images(), labels()
    mixer = fm.attach(model, {"stem": moex()})

    def loop():
        for _ in range(50):
            mix, output = mixer.draw(x, target=y), model(x)
            F.cross_entropy(output, y).backward()
            mix.accuracy(output, y)  # a number to look at, and nothing that is trained on

    said, where = heard(loop)
    assert len(said) == 1
    assert "nobody who asked" in said[0]
    assert where == {__file__}


ASKED = {
    "loss": lambda mix, output: mix.loss(F.cross_entropy, output, labels()),
    "mixture": lambda mix, output: mix.mixture.dense(labels(), 5),
    "dense": lambda mix, output: mix.dense(labels(), 5),
    "params": lambda mix, output: mix.params["stem"].lam,
}


@pytest.mark.parametrize("how", ASKED)
def test_every_way_to_ask_counts(how):
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()})

    def loop():
        for _ in range(30):
            ASKED[how](mixer.draw(x, target=labels()), model(x))

    assert heard(loop)[0] == []


def test_nothing_is_to_be_asked_where_labels_stay_or_losses_come_late():
    model, x, y = net(), images(), labels()
    with fm.attach(model, {"stem": fm.MixStyle(p=1.0)}) as mixer:
        assert heard(lambda: [F.cross_entropy(model(x), y) for _ in range(40) if mixer.draw(x)])[0] == []
    with fm.attach(model, {"stem": moex(p=0.0)}) as mixer:
        assert heard(lambda: [F.cross_entropy(model(x), y) for _ in range(40) if mixer.draw(x)])[0] == []
    with fm.attach(model, {"stem": moex()}) as mixer:

        def accumulated():
            for _ in range(10):
                pairs = [(mixer.draw(x), model(x)) for _ in range(8)]
                sum(mix.loss(F.cross_entropy, output, y) for mix, output in pairs).backward()

        assert heard(accumulated)[0] == []


def test_a_compiled_model_is_counted_too():
    torch._dynamo.reset()
    model, x = net(), images()
    fm.attach(model, {"stem": moex()})
    compiled = torch.compile(model, backend="eager")
    assert len(heard(lambda: [compiled(x) for _ in range(120)])[0]) == 1


@pytest.mark.parametrize("auto", [False, True])
def test_a_loss_in_training_without_a_draw(auto):
    model, x, y = net(), images(), labels()
    mixer = fm.attach(model, {"stem": moex()}, auto=auto)

    def loop():
        for _ in range(5):
            mixer.loss(F.cross_entropy, model(x), y).backward()
            model.eval()
            mixer.loss(F.cross_entropy, model(x), y)
            model.train()

    said, where = heard(loop)
    assert len(said) == (0 if auto else 1)
    assert all("a loss in training and no draw" in one and "auto=True" in one for one in said)
    assert where == (set() if auto else {__file__})


def test_losses_that_are_no_reason_to_warn():
    model, x, y = net(), images(), labels()
    with fm.attach(model, {"stem": moex()}) as mixer:

        def now_and_then():
            for k in range(6):
                if k % 2 == 0:
                    mixer.draw(x, target=y)
                mixer.loss(F.cross_entropy, model(x), y).backward()

        assert heard(now_and_then)[0] == []
    with fm.attach(model, {"stem": moex()}) as mixer:
        assert heard(lambda: mixer.loss(F.cross_entropy, model.eval()(x), y))[0] == []
