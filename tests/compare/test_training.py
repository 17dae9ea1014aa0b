import dataclasses

import pytest
import torch

import featmix as fm
from featmix.compare.contenders import DEFAULT_STRATEGIES, Contender, contender
from featmix.compare.digits import read_digits
from featmix.compare.feeding import Feed
from featmix.compare.settings import Settings
from featmix.compare.sources import Images
from featmix.compare.training import Run, attach, learning_rate_factor, make_network, train, with_seed
from featmix.errors import FeatmixError

TINY = Settings(epochs=1, limit=60, width=8, batch_size=32)  # with 4, torch 2.13 corrupts its heap on some processors


@pytest.fixture(scope="module")
def digits():
    return read_digits()


@pytest.fixture(autouse=True)
def own_threads():
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    torch.random.set_rng_state(state)


def untimed(row):
    return dataclasses.replace(row, seconds_per_step=None)


@pytest.mark.parametrize(
    "text",
    [*DEFAULT_STRATEGIES, "cutmix@layer1", "manifold-mixup", "patchup", "mixstyle:partner=crossdomain,p=1.0"],
)
def test_the_same_seed_gives_the_same_row(digits, text):
    run = Run(contender(text), 3, "colors")
    first = train(run, TINY, digits)
    assert first.error == ""
    assert 0 <= first.held_out_accuracy <= 1
    assert first.seconds_per_step > 0
    torch.manual_seed(99)  # whatever the process did before
    assert untimed(train(run, TINY, digits)) == untimed(first)
    assert first.key == run.key


@pytest.mark.parametrize("name", fm.list_strategies())
def test_a_strategy_that_never_acts_is_the_baseline(digits, name):
    """So a strategy changes neither the weights at the start nor the order of the batches."""
    idle = train(Run(contender(f"{name}:p=0.0"), 1, "inverted"), TINY, digits)
    none = train(Run(contender("none"), 1, "inverted"), TINY, digits)
    assert [getattr(idle, c) for c in ("in_domain_accuracy", "held_out_accuracy")] == [
        getattr(none, c) for c in ("in_domain_accuracy", "held_out_accuracy")
    ]


def test_several_sites_take_turns():
    network = make_network(TINY, 10, seed=0)
    images, labels = torch.rand(4, 3, 16, 16), torch.arange(4)
    pipeline = with_seed(contender("manifold-mixup").pipeline(), 0)
    noise = Images((images * 255).byte(), labels, torch.zeros_like(labels))
    mixer = attach(pipeline, network, Feed(pipeline, noise, torch.device("cpu")))
    chosen = set()
    for _ in range(20):
        mix = mixer.draw(images, target=labels)
        active = [site for site, params in mix.params.items() if bool(params.active.any())]
        assert len(active) == 1
        assert torch.equal(mix.mixture.matrix(), mix.params[active[0]].mixture.matrix())
        mix.loss(torch.nn.functional.cross_entropy, network(images), labels)  # raises where the site did not fire
        chosen.update(active)
    assert chosen == {"input", "stem", "layer1"}


@pytest.fixture
def progress_seen(monkeypatch):
    seen = []
    draw = fm.Mixer.draw

    def noting(mixer, *arguments, **named):
        mix = draw(mixer, *arguments, **named)
        seen.append((mixer.progress, any(bool(params.active.any()) for params in mix.params.values())))
        return mix

    monkeypatch.setattr(fm.Mixer, "draw", noting)
    return seen


def test_settings_that_are_schedules_follow_training(digits, progress_seen):
    late = fm.schedule.switch_off(0.0, at=0.5, value=1.0)
    spec = Contender("mixup", "p=late", "input", values=(("p", late),))
    train(Run(spec, 0, "inverted"), dataclasses.replace(TINY, epochs=3), digits)
    steps = len(progress_seen)
    assert steps >= 6
    assert [progress for progress, _ in progress_seen] == [step / steps for step in range(steps)]
    assert all(mixed == (progress >= 0.5) for progress, mixed in progress_seen)


def test_it_learns(digits):
    row = train(Run(contender("none"), 0, "inverted"), Settings(epochs=3, limit=700), digits)
    assert row.in_domain_accuracy > 0.7
    assert row.held_out_accuracy > 0.3  # a tenth by chance; no style is easy that was not seen


def test_no_held_out_domain_leaves_its_accuracy_empty(digits):
    row = train(Run(contender("mixup"), 0, ""), TINY, digits)
    assert row.held_out_accuracy is None
    assert row.in_domain_accuracy is not None
    assert row.calibration_error is not None


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_precisions(digits, precision):
    row = train(Run(contender("moex"), 0, "inverted"), dataclasses.replace(TINY, precision=precision), digits)
    assert row.in_domain_accuracy is not None


@pytest.mark.slow
@pytest.mark.parametrize("text", ["moex"])
def test_two_processes_train_one_network(digits, text):
    row = train(Run(contender(text), 0, "inverted"), dataclasses.replace(TINY, devices=2), digits)
    assert row.in_domain_accuracy is not None
    assert row.held_out_accuracy is not None
    assert row.error == ""


def test_a_loss_that_is_not_finite_is_an_error(digits):
    with pytest.raises(FeatmixError, match="learning rate"):
        train(Run(contender("none"), 0, "inverted"), dataclasses.replace(TINY, lr=1e30), digits)


def test_too_few_images_for_a_batch(digits):
    with pytest.raises(FeatmixError, match="batch_size"):
        train(Run(contender("none"), 0, "inverted"), dataclasses.replace(TINY, batch_size=1000), digits)


def test_initial_weights_depend_on_the_seed_alone():
    first, again, other = (make_network(TINY, 10, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_the_learning_rate_rises_and_falls(steps):
    factors = [learning_rate_factor(step, steps) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    peak = factors.index(max(factors))
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)


def test_a_run_makes_its_row():
    row = Run(Contender("none"), 4, "inverted").row(error="x")
    assert (row.strategy, row.seed, row.held_out, row.error) == ("none", 4, "inverted", "x")
