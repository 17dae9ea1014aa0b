"""The state of all ranks, loaded by as many or by another number; two real processes are in tests/trainers."""

import importlib
import io
import warnings

import pytest
import torch

import featmix as fm
from featmix.errors import FeatmixWarning
from featmix.mixer import gathering
from tests.attaching import images, labels, moex, net

MODULES = ("featmix.mixer.mixer", "featmix.mixer.state")


@pytest.fixture
def as_rank(monkeypatch):
    """Be one of several ranks, as far as a mixer asks."""

    def be(number, count):
        state = importlib.import_module("featmix.mixer.state")
        for name in MODULES:
            monkeypatch.setattr(importlib.import_module(name), "rank", lambda: number)
        monkeypatch.setattr(state, "ranks", lambda: count)
        monkeypatch.setattr(state, "gathered", lambda who, own: [own])

    return be


def made(seed, **settings):
    model = net()
    return model, fm.attach(model, {"stem": moex(memory=8)}, seed=seed, example=images(), **settings)


def draws(model, mixer, steps, first=0):
    found = []
    for k in range(first, first + steps):
        mix = mixer.draw(images() + k, target=labels())
        model(images() + k)
        found += [mix.params["stem"].partner, mix.params["stem"].mean]
    return found


def run_of(count, as_rank, **settings):
    """What each of several ranks goes on with after two steps, and the state of all of them."""
    states, rest = [], []
    for number in range(count):
        as_rank(number, count)
        model, mixer = made(4, **settings)
        draws(model, mixer, 2, first=10 * number)
        states += mixer.state_dict()["ranks"] if count > 1 else [mixer.state_dict()]
        rest.append(draws(model, mixer, 2, first=10 * number + 2))
    file = io.BytesIO()
    torch.save({"ranks": states}, file)
    file.seek(0)
    return torch.load(file, weights_only=True), rest


def resumed(number, count, state, as_rank):
    as_rank(number, count)
    model, mixer = made(99)
    mixer.load_state_dict(state)
    return draws(model, mixer, 2, first=10 * number + 2)


def test_as_many_ranks_go_on_exactly(as_rank):
    state, rest = run_of(2, as_rank)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(2):
            assert all(map(torch.equal, resumed(number, 2, state, as_rank), rest[number]))


def test_another_number_of_ranks_is_said_once(as_rank):
    state, rest = run_of(2, as_rank)
    with pytest.warns(FeatmixWarning, match=r"the state of 3 ranks, as many as there are, got that of 2") as said:
        found = [resumed(number, 3, state, as_rank) for number in range(3)]
    assert len(said) == 1
    for number in range(2):
        assert all(map(torch.equal, found[number], rest[number]))
    partners = found[2][::2]
    as_rank(2, 3)
    model, mixer = made(4)
    expected = draws(model, mixer, 4)[4::2]  # of a rank that had been there from the beginning
    assert all(map(torch.equal, partners, expected))
    with pytest.warns(FeatmixWarning):
        fewer = resumed(0, 1, state, as_rank)
    assert all(map(torch.equal, fewer, rest[0]))


def test_new_ranks_draw_apart_where_a_generator_was_given(as_rank):
    as_rank(0, 2)
    model, mixer = made(None, generator=torch.Generator().manual_seed(1))
    draws(model, mixer, 1)
    state = mixer.state_dict()
    with pytest.warns(FeatmixWarning):
        found = [resumed(number, 3, state, as_rank)[0] for number in range(3)]
    assert not any(torch.equal(found[a], found[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


def test_the_state_of_one_rank_alone(as_rank):
    as_rank(1, 2)
    model, mixer = made(4)
    own = mixer.state_dict(gather=False)
    assert own["rank"] == 1
    assert set(own) == {"seed", "rank", "draws", "progress", "strategies", "generator"}
    as_rank(0, 1)
    assert set(mixer.state_dict()) == set(own)
    again, other = made(99)
    other.load_state_dict({"ranks": [mixer.state_dict()]})
    assert all(map(torch.equal, draws(again, other, 2), draws(model, mixer, 2)))


@pytest.mark.parametrize("state", [{"ranks": []}, {"ranks": None}, {"ranks": [{"seed": 1}]}, {"ranks": [], "seed": 1}])
def test_what_is_no_state_of_all_ranks(state):
    with pytest.raises(fm.FeatmixError, match="load_state_dict"):
        made(0)[1].load_state_dict(state)


def test_what_is_refused_changes_nothing():
    model, mixer = made(4)
    draws(model, mixer, 1)
    before = mixer.state_dict()
    bad = [
        {**before, "generator": torch.zeros(3)},
        {**before, "progress": 2},
        {**before, "draws": "a"},
        {**before, "strategies": {"stem": {"next": torch.tensor(99)}}},
    ]
    for state in bad:
        with pytest.raises(fm.FeatmixError):
            mixer.load_state_dict({**state, "seed": 77})
        assert str(mixer.state_dict()) == str(before)


class Store:
    """A store of which the others' part is played."""

    def __init__(self, others):
        self.counts, self.others = {}, others

    def add(self, name, more):
        self.counts[name] = self.counts.get(name, 0) + more
        return self.counts[name] + self.others


def test_a_rank_that_comes_alone_is_told_so_and_may_come_again(monkeypatch):
    monkeypatch.setattr(gathering, "PATIENCE", 0.02)
    monkeypatch.setattr(gathering, "_calls", 0)
    store = Store(others=0)
    monkeypatch.setattr(torch.distributed.distributed_c10d, "_get_default_store", lambda: store)
    with pytest.raises(fm.FeatmixError, match=r"a call on each of the 2 ranks.*got 1 within 0.02 seconds.*gather=False"):
        gathering._meet("Mixer.state_dict", 2)
    store.others = 1
    gathering._meet("Mixer.state_dict", 2)
    assert store.counts == {"featmix/Mixer.state_dict/0": 1}
    assert gathering._calls == 1
