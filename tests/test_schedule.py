import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from featmix import schedule
from featmix.schedule import Schedule

EVERY = fm.list_strategies()


@pytest.mark.parametrize(
    ("made", "at_0", "at_half", "at_1"),
    [
        (schedule.constant(0.3), 0.3, 0.3, 0.3),
        (schedule.linear(0.2, 0.6), 0.2, 0.4, 0.6),
        (schedule.linear(0.6, 0.2), 0.6, 0.4, 0.2),
        (schedule.cosine(0, 1), 0, 0.5, 1),
        (schedule.switch_off(0.5, at=0.9), 0.5, 0.5, 0),
        (schedule.switch_off(schedule.linear(0, 1), at=0.5, value=0.25), 0, 0.25, 0.25),
    ],
    ids=repr,
)
def test_values(made, at_0, at_half, at_1):
    assert [made(0), made(0.5), made(1)] == pytest.approx([at_0, at_half, at_1])
    low, high = made.bounds()
    values = [made(step / 100) for step in range(101)]
    assert low <= min(values)
    assert max(values) <= high


def test_cosine_is_slow_at_both_ends():
    cosine, linear = schedule.cosine(0, 1), schedule.linear(0, 1)
    assert cosine(0.1) < linear(0.1)
    assert cosine(0.9) > linear(0.9)
    assert cosine(0.25) == pytest.approx((1 - math.cos(math.pi / 4)) / 2)


def test_schedules_are_values():
    assert schedule.linear(0, 1) == schedule.linear(0, 1) != schedule.cosine(0, 1)
    assert repr(schedule.switch_off(0.5, at=0.9)) == "switch_off(before=constant(value=0.5), at=0.9, value=0.0)"


@pytest.mark.parametrize(
    "make",
    [
        lambda: schedule.constant("0.5"),
        lambda: schedule.linear(0, float("nan")),
        lambda: schedule.cosine(True, 1),
        lambda: schedule.switch_off(0.5, at=1.1),
        lambda: schedule.switch_off(0.5, at=0.5, value=math.inf),
        lambda: schedule.switch_off("0.5", at=0.5),
    ],
)
def test_bad_numbers_are_refused(make):
    with pytest.raises(fm.FeatmixError, match="expected a"):
        make()


@pytest.mark.parametrize("name", EVERY)
def test_a_scheduled_gate_draws_what_its_number_draws(name):
    shape = (8, 4, 6, 6)
    scheduled, plain = fm.create(name, p=schedule.linear(0, 1), per="sample"), fm.create(name, p=0.25, per="sample")
    for seed in range(5):
        a = scheduled.make_params(shape, generator=torch.Generator().manual_seed(seed), progress=0.25)
        b = plain.make_params(shape, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(a.active, b.active)
        assert torch.equal(a.mixture.matrix(), b.mixture.matrix())
    assert not scheduled.make_params(shape).active.any()  # at progress 0
    scheduled.progress = 1.0
    assert scheduled.make_params(shape).active.all()
    assert isinstance(scheduled.p, Schedule)


STRENGTHS = [
    (name, setting)
    for name in EVERY
    for setting, value in fm.create(name).settings().items()
    if isinstance(value, float) and setting in ("alpha", "lam", "strength", "gamma")
]


@pytest.mark.parametrize(("name", "setting"), STRENGTHS)
def test_strengths_follow_progress(name, setting):
    scheduled = fm.create(name, p=1.0, **{setting: schedule.linear(0.2, 0.8)})
    for progress in (0.0, 0.5, 1.0):
        plain = fm.create(name, p=1.0, **{setting: 0.2 + 0.6 * progress})
        assert getattr(scheduled.at(progress), setting) == pytest.approx(getattr(plain, setting))
        x = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        decisions = [
            s.make_params(x.shape, generator=torch.Generator().manual_seed(1), progress=progress) for s in (scheduled, plain)
        ]
        torch.testing.assert_close(scheduled.transform(x, decisions[0]), plain.transform(x, decisions[1]))


def test_a_schedule_out_of_range_is_refused():
    with pytest.raises(fm.FeatmixError, match=r"p: expected a schedule that stays in \[0, 1\]"):
        fm.Mixup(p=schedule.linear(0, 1.5))
    with pytest.raises(fm.FeatmixError, match="progress: expected a number in"):
        fm.Mixup(p=schedule.linear(0, 1)).make_params((4, 3, 2, 2), progress=1.01)


def test_the_mixer_drives_all_schedules_without_another_graph():
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 16, 5))
    tree = {"input": fm.Mixup(alpha=schedule.linear(0.1, 1)), "0": fm.MoEx(p=schedule.switch_off(1.0, at=0.9))}
    mixer = fm.attach(model, tree, seed=0)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    x, y = torch.randn(4, 3, 6, 6), torch.tensor([0, 1, 2, 3])
    active = []
    for step in range(10):
        mixer.progress = step / 9
        mix = mixer.draw(x, target=y)
        mix.loss(F.cross_entropy, compiled(x), y).backward()
        active.append(bool(mix.params["0"].active.all()))
    assert active == [True] * 9 + [False]
    assert counter.frame_count == 1
    state = mixer.state_dict()
    mixer.progress = 0.0
    mixer.load_state_dict(state)
    assert mixer.progress == 1.0
    for bad in (-0.1, "half", float("nan")):
        with pytest.raises(fm.FeatmixError, match="step / total"):
            mixer.progress = bad
