"""The mixer's own randomness, and what a resumed run goes on from."""

import importlib
import pickle

import pytest
import torch

import featmix as fm
from tests.attaching import Net, images, labels, moex, net


def test_seed_and_state_dict_reproduce_the_draws():
    x = images()

    def drawn(mixer: fm.Mixer, model: Net, steps: int) -> list[torch.Tensor]:
        found = []
        for _ in range(steps):
            found.append(mixer.draw(x).params["stem"].partner)
            model(x)
        return found

    first, second = net(), net()
    a, b = fm.attach(first, {"stem": moex()}, seed=3), fm.attach(second, {"stem": moex()}, seed=3)
    assert all(map(torch.equal, drawn(a, first, 3), drawn(b, second, 3)))
    state = pickle.loads(pickle.dumps(a.state_dict()))
    rest = drawn(a, first, 3)
    third = net()
    c = fm.attach(third, {"stem": moex()}, seed=99)
    c.load_state_dict(state)
    assert all(map(torch.equal, rest, drawn(c, third, 3)))
    with pytest.raises(fm.FeatmixError, match="seed, rank, draws, progress, strategies and generator"):
        c.load_state_dict({"seed": 1})


def test_drawing_leaves_the_global_generator_alone():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()}, seed=0)
    state = torch.get_rng_state()
    mixer.draw(x)
    model(x)
    assert torch.equal(state, torch.get_rng_state())


def test_a_generator_given_leaves_the_global_one_alone():
    state = torch.get_rng_state()
    model = net()
    generator = torch.Generator().manual_seed(3)
    state = torch.get_rng_state()
    mixer = fm.attach(model, {"stem": moex()}, generator=generator)
    mixer.draw(images())
    assert torch.equal(state, torch.get_rng_state())


def test_params_are_there_in_eval_mode_and_idle():
    model = net().eval()
    mixer = fm.attach(model, {"stem": moex()}, seed=0)
    before = mixer.state_dict()["generator"]
    assert not mixer.draw(images()).params["stem"].active.any()
    assert torch.equal(before, mixer.state_dict()["generator"])


def at_rank(monkeypatch, number):
    for module in ("featmix.mixer.mixer", "featmix.mixer.state"):
        monkeypatch.setattr(importlib.import_module(module), "rank", lambda: number)


def partners(mixer, model, steps):
    found = []
    for _ in range(steps):
        found.append(mixer.draw(images()).params["stem"].partner)
        model(images())
    return torch.stack(found)


def test_a_checkpoint_of_another_rank_goes_on_in_a_stream_of_its_own(monkeypatch):
    first, second = net(), net()
    given = torch.Generator().manual_seed(0)
    a, b = fm.attach(first, {"stem": moex()}, generator=given), fm.attach(second, {"stem": moex()}, seed=0)
    state = a.state_dict()
    at_rank(monkeypatch, 1)
    b.load_state_dict(state)
    assert not torch.equal(a.draw(images()).params["stem"].partner, b.draw(images()).params["stem"].partner)


def test_one_ranks_checkpoint_continues_every_ranks_draws(monkeypatch):
    going = [net() for _ in range(3)]
    mixers = []
    for number, model in enumerate(going):
        at_rank(monkeypatch, number)
        mixers.append(fm.attach(model, {"stem": moex()}, seed=4))
        partners(mixers[-1], model, 5)
    at_rank(monkeypatch, 1)
    state = pickle.loads(pickle.dumps(mixers[1].state_dict()))
    found = []
    for number, (mixer, model) in enumerate(zip(mixers, going, strict=True)):
        at_rank(monkeypatch, number)
        resumed = net()
        again = fm.attach(resumed, {"stem": moex()}, seed=7)
        again.load_state_dict(state)
        found.append(partners(mixer, model, 3))
        assert torch.equal(partners(again, resumed, 3), found[-1])
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[1], found[2])


def test_a_mixer_sent_to_another_rank_draws_as_that_rank(monkeypatch):
    model = net()
    mixer = fm.attach(model, {"stem": moex()}, seed=4)
    partners(mixer, model, 2)
    sent = pickle.dumps((model, mixer))
    for number in (0, 1):
        at_rank(monkeypatch, number)
        other, theirs = pickle.loads(sent)
        reference = net()
        expected = partners(fm.attach(reference, {"stem": moex()}, seed=4), reference, 5)[2:]
        assert torch.equal(partners(theirs, other, 3), expected)


@pytest.mark.parametrize("bad", [{"seed": -1}, {"seed": 1.5}, {"seed": "a"}, {"generator": "a"}])
def test_bad_seeds_and_generators_are_refused(bad):
    with pytest.raises(fm.FeatmixError, match=next(iter(bad))):
        fm.attach(net(), {"stem": moex()}, **bad)


WHOLE = {
    "seed": 0,
    "rank": 0,
    "draws": 0,
    "progress": 0.0,
    "strategies": {"stem": {}},
    "generator": torch.Generator().get_state(),
}


@pytest.mark.parametrize(
    "state",
    [
        None,
        {"seed": 0},
        {name: value for name, value in WHOLE.items() if name != "strategies"},
        {**WHOLE, "history": {}},
        {**WHOLE, "strategies": {"layer1": {}}},
        {**WHOLE, "generator": torch.zeros(3)},
        {**WHOLE, "generator": "a"},
        {**WHOLE, "draws": -1},
    ],
    ids=[
        "none",
        "a part",
        "no strategies",
        "more",
        "of another site",
        "generator of another kind",
        "no generator",
        "no number of draws",
    ],
)
def test_what_is_no_state_is_refused(state):
    mixer = fm.attach(net(), {"stem": moex()})
    with pytest.raises(fm.FeatmixError, match="load_state_dict"):
        mixer.load_state_dict(state)


def test_the_state_holds_what_strategies_remember():
    """A resumed run exchanges with the samples that the first one has seen, in the order in which it would have."""

    def steps(mixer, model):
        mixed = []
        for k in range(2):
            batch = images() + k
            mix = mixer.draw(batch, target=labels())
            mixed.append(model(batch).detach())
            assert mix.params["stem"].remembered.shape == (6,)
        return mixed

    first, second = net(), net()
    one, other = (fm.attach(m, {"stem": moex(memory=8)}, seed=k, example=images()) for k, m in enumerate((first, second)))
    steps(one, first)
    state = pickle.loads(pickle.dumps(one.state_dict()))
    assert {"mean", "std", "label", "written", "next"} == {name.split(".")[-1] for name in state["strategies"]["stem"]}
    second.load_state_dict(first.state_dict())
    other.load_state_dict(state)
    assert all(map(torch.equal, steps(one, first), steps(other, second)))
