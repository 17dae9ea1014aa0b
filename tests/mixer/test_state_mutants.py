"""A state from a damaged or a hostile file: all of it is taken over and the run goes on, or none of it is."""

from __future__ import annotations

import copy
import os
import random
from collections import Counter

import pytest
import torch
from torch.nn import functional as F

import featmix as fm
from tests.attaching import images, labels, net

MUTANTS = int(os.environ.get("FEATMIX_STATE_MUTANTS", "400"))
HOSTILE = [
    None,
    True,
    -1,
    2**31,
    2**63,
    2**200,
    10**5000,
    0.5,
    -0.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    b"x",
    [],
    {},
    (1, 2),
    object(),
    torch.Generator,
    torch.zeros(0),
    torch.zeros(5056, dtype=torch.uint8),
    torch.full((5056,), 255, dtype=torch.uint8),
    torch.zeros(5056),
    torch.tensor(3),
    torch.tensor(-1),
    torch.tensor(2.5),
    torch.tensor(float("nan")),
    torch.zeros(9, 4, 1, 1),
    torch.zeros(9, dtype=torch.int64),
    torch.zeros(9, dtype=torch.complex64),
    torch.zeros(9).to_sparse(),
    torch.zeros(9, device="meta"),
    torch.zeros(1).expand(9, 10**12),
    torch.zeros(9, 10**6).T,
    torch.ones(9, requires_grad=True),
]


def mutated(state, rng):
    """The same state with one to three changes."""
    state = copy.deepcopy(state)
    for _ in range(rng.choice([1, 1, 2, 3])):
        holder, key = rng.choice(list(places(state)))
        if key not in holder:  # an earlier change took it away
            continue
        kind = rng.randrange(6)
        value = holder[key]
        if kind == 0:
            del holder[key]
        elif kind == 1:
            holder[rng.choice([f"{key}x", "", "next", "_memory.more", 3, None])] = holder.pop(key)
        elif kind == 2 or not isinstance(value, torch.Tensor) or any(value is other for other in HOSTILE):
            holder[key] = rng.choice(HOSTILE)
        else:
            holder[key] = other_tensor(value, rng)
    return state


def other_tensor(value, rng):
    kind = rng.randrange(7)
    if kind == 0:
        return value.to(rng.choice([torch.float64, torch.int32, torch.uint8, torch.bool, torch.bfloat16]))
    if kind == 1:
        return value[: rng.randrange(len(value) + 1)] if value.ndim else value.repeat(rng.randrange(4))
    if kind == 2:
        return value.unsqueeze(rng.randrange(value.ndim + 1))
    if kind == 3:
        return torch.cat([value, value]) if value.ndim else value + 10**6
    if kind == 4 and value.ndim > 1:
        return torch.cat([value, value], dim=1)
    if kind == 5 and value.dtype in (torch.int64, torch.float32) and value.numel():
        changed = value.clone()
        changed.view(-1)[rng.randrange(value.numel())] = rng.choice([-7, 2**40, 10**6])
        return changed
    if not value.numel():
        return value
    changed = value.clone().contiguous()
    flat = changed.view(-1).view(torch.uint8) if changed.dtype != torch.bool else changed.view(-1)
    for _ in range(rng.choice([1, 8])):  # such as flip bits of a generator's position
        place = rng.randrange(min(len(flat), 24) if rng.random() < 0.7 else len(flat))
        flat[place] = rng.randrange(256) if changed.dtype != torch.bool else not flat[place]
    return changed


def places(value):
    for key, item in value.items():
        yield value, key
        if isinstance(item, dict):
            yield from places(item)


def same(a, b):
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and bool((a.nan_to_num(7) == b.nan_to_num(7)).all())
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


def attached(kind):
    model = net()
    tree = {"input": fm.Mixup(memory=8, num_classes=5), "stem": fm.MoEx("in", memory=8, num_classes=5)}
    if kind == "pipeline":
        mixer = fm.Pipeline(batch=torch.nn.Identity(), mix=tree, seed=0).attach(model, example=images())
    else:
        mixer = fm.attach(model, tree, seed=0, example=images())
    return model, mixer


def step(model, mixer):
    batch = mixer.prepare(images()) if hasattr(mixer, "prepare") else images()
    mix = mixer.draw(batch, target=labels())
    loss = mix.loss(F.cross_entropy, model(batch), labels())
    loss.backward()
    return loss


def refusal(mixer, state):
    try:
        mixer.load_state_dict(state)
    except fm.FeatmixError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", ["mixer", "pipeline"])
def test_a_mutant_is_taken_over_as_a_whole_or_not_at_all(kind):
    model, mixer = attached(kind)
    for _ in range(2):
        step(model, mixer)
    good = copy.deepcopy(mixer.state_dict())
    mixer.load_state_dict(good)
    rng, outcomes = random.Random(f"{kind} 0"), Counter()
    for number in range(MUTANTS):
        state = mutated(good, rng)
        refused = refusal(mixer, state)
        outcomes["refused" if refused else "taken over"] += 1
        if refused:
            assert same(mixer.state_dict(), good), f"mutant {number} was refused, and changed the mixer: {refused}"
        else:
            step(model, mixer)  # whatever was accepted serves
            mixer.load_state_dict(good)
    assert outcomes["refused"] > 0.6 * MUTANTS
    assert outcomes["taken over"] > 0.02 * MUTANTS


def test_a_state_goes_into_a_mixer_that_has_drawn_nothing_or_is_refused():
    """What was remembered has the shape of the site, also where nothing is remembered yet to compare it with."""
    model, mixer = attached("mixer")
    step(model, mixer)
    state = mixer.state_dict()
    _, fresh = attached("mixer")
    before = copy.deepcopy(fresh.state_dict())
    for key, name, t in (
        ("stem", "_memory.mean", torch.zeros(9, 5, 1, 1)),
        ("stem", "_memory.label", torch.full((9,), 5)),
        ("stem", "_memory.label", torch.full((9,), -5)),
        ("input", "_memory.features", torch.zeros(9, 3, 8, 8, dtype=torch.float64)),
        ("stem", "_memory.next", torch.tensor(8)),
        ("stem", "_memory.next", torch.tensor(0.0)),
    ):
        bad = copy.deepcopy(state)
        bad["strategies"][key][name] = t
        if name == "_memory.mean":
            bad["strategies"][key]["_memory.std"] = t
        with pytest.raises(fm.FeatmixError):
            fresh.load_state_dict(bad)
        assert same(fresh.state_dict(), before)
    fresh.load_state_dict(state)
    assert same(fresh.state_dict(), state)


def test_a_generator_that_points_beyond_its_words_is_refused():
    """torch takes both numbers, each of which is in range, and reads past the end of its state."""
    _, mixer = attached("mixer")
    state = copy.deepcopy(mixer.state_dict())
    bits = state["generator"]
    bits[8:12] = torch.tensor([600 & 255, 600 >> 8, 0, 0], dtype=torch.uint8)
    bits[16:18] = torch.tensor([600 & 255, 600 >> 8], dtype=torch.uint8)
    torch.Generator().set_state(bits)
    with pytest.raises(fm.FeatmixError, match=r"generator: expected a generator's state, got one at word 600 with 600 left"):
        mixer.load_state_dict(state)


@pytest.mark.parametrize("state", [None, 3, {3: torch.ones(1)}, {}, {"_memory.next": 3}, {"x": torch.ones(1)}])
def test_a_strategy_says_what_is_no_state_of_its(state):
    moex = fm.MoEx("in", memory=4)
    before = copy.deepcopy(moex.state_dict())
    with pytest.raises(fm.FeatmixError):
        moex.load_state_dict(state)
    assert same(moex.state_dict(), before)


class Learned(fm.Mixup):
    """A strategy with numbers of its own."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(4), torch.zeros(3, dtype=torch.int64), torch.zeros(3, device="meta"), "x", torch.zeros(3).to_sparse()],
    ids=["shape", "integers", "meta", "text", "sparse"],
)
def test_of_a_strategy_that_learns_nothing_is_loaded_either(wrong):
    """torch copies what fits, and then says what does not."""
    strategy = Learned()
    with pytest.raises(fm.FeatmixError):
        strategy.load_state_dict({"first": torch.zeros(2), "second": wrong})
    assert strategy.first.tolist() == [1, 1]
    strategy.load_state_dict({"first": torch.zeros(2), "second": torch.zeros(3, dtype=torch.float64)})
    assert strategy.second.tolist() == [0, 0, 0]
