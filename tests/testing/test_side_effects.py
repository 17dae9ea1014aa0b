"""What the laws of side effects, of ways in, of shares and of round trips see, and what they let pass."""

import os
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import featmix as fm
from featmix import schedule
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params
from featmix.strategies.tags import Tags
from featmix.testing import (
    LawError,
    check_normalizer,
    check_strategy,
    every_default,
    from_function,
    from_mixer,
    laws,
    reproduce,
)
from featmix.testing.surroundings import Surroundings, unusual_surroundings
from tests.broken import faults, law_named
from tests.broken.leaking import OneThread

MODULES = (
    "axis_laws",
    "claim_laws",
    "entrance_laws",
    "graph_laws",
    "map_laws",
    "round_trip_laws",
    "share_laws",
    "side_effect_laws",
)
MINE = [one for one in laws() if one.check.__module__.rpartition(".")[2] in MODULES]
QUICK = [one.name for one in MINE if one.kind == "strategy" and not one.slow]
CHANGES = {
    "torch's threads": lambda: torch.set_num_threads(2),
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's default device": lambda: torch.set_default_device("meta"),
    "torch's deterministic algorithms": lambda: torch.set_deterministic_debug_mode("warn"),
    "cuDNN's flags": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "the precision of matrix products": lambda: torch.set_float32_matmul_precision("high"),
    "what is done about denormal numbers": lambda: torch.set_flush_denormal(True),
    "detection of anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "NumPy's handling of errors": lambda: np.seterr(all="ignore"),
    "the environment": lambda: os.environ.update(OMP_SCHEDULE="1"),
    "whether gradients are recorded": lambda: torch.set_grad_enabled(False),
    "torch's global generator": lambda: torch.rand(1),
    "NumPy's global generator": lambda: np.random.rand(),
    "Python's global generator": lambda: random.random(),
}


class Learns(Strategy[Params]):
    """Right, and learnt: features move towards the partner's by a share that is a parameter."""

    tags = Tags(mixes_labels=False, paper="", masks=False)

    def __init__(self, *, start=0.3, **common):
        super().__init__(**common)
        self.start = start
        self.share = nn.Parameter(torch.tensor(start))

    def decide(self, shape, draw):
        return Params.of(draw)

    def act(self, x, params):
        wide = x.float() if x.dtype.itemsize < 4 else x
        return torch.lerp(wide, wide[params.partner], self.share.to(wide.dtype))


class RefersToItself(fm.Mixup):
    """Right: what a step leaves behind is a circle that nobody else holds."""

    def act(self, x, params):
        circle = [x]
        circle.append(circle)
        return super().act(x, params)


class OfTwo(fm.Mixup):
    """Right: a setting that is a list of its own."""

    def __init__(self, *, steps=(0.1, 0.9), **settings):
        super().__init__(**settings)
        self.steps = list(steps)


def fade(x, partner):
    return 0.75 * x + 0.25 * x[partner]


def blend(x, labels):
    lam, order = torch.rand(()), torch.randperm(len(x))
    wide = x.float() if x.dtype.itemsize < 4 else x
    return (lam * wide + (1 - lam) * wide[order]).to(x.dtype), lam * labels + (1 - lam) * labels[order]


def takes_whole_classes(x, labels):
    if (labels != labels.round()).any():
        raise ValueError("one-hot labels only")
    return blend(x, labels)


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen_and_put_back(what):
    before, numpy_state = Surroundings(), np.random.get_state()[1].copy()
    with unusual_surroundings() as unusual:
        CHANGES[what]()
        assert unusual.changed() == [what]
    assert before.changed() == []
    assert (np.random.get_state()[1] == numpy_state).all()


def test_a_check_leaves_nothing_of_what_its_subject_did():
    before = torch.get_num_threads()
    (record,) = check_strategy(OneThread(), only=["surroundings"], on_fail=None)
    assert record.measured == "transform changed torch's threads"
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    "subject",
    [
        fade,
        from_function(fade, label_share=0.75),
        from_mixer(blend, p=0.5),
        Learns(),
        RefersToItself(),
        OfTwo(),
        fm.Mixup(memory=8),
        fm.MoEx("in", memory=8),
        fm.Mixup(p=schedule.linear(0, 1)),
        fm.MoEx(lam=schedule.cosine(0.5, 1), p=schedule.linear(0, 1)),
        fm.CutMix(own_term=0.5, loss_weight=2.0, inplace=True),
        fm.CutMix(layout="bct", num_prefix_tokens=1),
        fm.FMix(max_soft=0.2, labels="sampled"),
        fm.MoEx("over:h", layout="bchw"),
    ],
    ids=lambda subject: getattr(subject, "__name__", type(subject).__name__),
)
def test_what_is_right_passes(subject):
    records = check_strategy(subject, only=QUICK, on_fail=None)
    assert [(record.law, record.measured) for record in records if record.status == "failed"] == []
    assert all(record.reason for record in records if record.status == "skipped")


def skipped(subject, law):
    (record,) = check_strategy(subject, only=[law])
    assert record.status == "skipped"
    return record.reason


def test_what_does_not_apply_says_why():
    assert "cannot be pickled" in skipped(from_function(lambda x, partner: fade(x, partner)), "pickles")
    assert "take soft labels: ValueError: one-hot labels only" in skipped(from_mixer(takes_whole_classes), "soft_labels")
    assert "featmix's own normalizers" in skipped(fade, "settings")
    assert "takes a schedule" in skipped(fade, "progress")
    (record,) = check_normalizer(nn.InstanceNorm2d(4), only=["masked_moments"])
    assert (record.status, record.reason.partition(":")[0]) == ("skipped", "it takes no mask")


def test_a_subject_that_cannot_be_printed_is_named():
    class KeepsNothing(fm.Mixup):
        def __init__(self, *, strength=1.0):
            super().__init__()

    with pytest.raises(LawError, match=r"(?s)^KeepsNothing breaks the law 'settings'.*has no attribute 'strength'"):
        check_strategy(KeepsNothing(), only=["settings"])


def test_a_copy_that_learnt_is_another_and_knows_the_same():
    taught = Learns()
    with torch.no_grad():
        taught.share.fill_(0.7)
    records = check_strategy(taught, only=["copies", "pickles", "settings", "configuration"])
    assert {record.status for record in records} == {"passed"}


def test_masks_of_other_divisors_are_told_apart():
    class Mine(fm.normalizers.kinds.IN):
        def moments(self, x, mask=None):
            m = super().moments(x, mask)
            return m if mask is None else replace(m, std=m.std * 1.01)

    assert check_normalizer(Mine(), only=["masked_moments"], on_fail=None)[0].status == "failed"


def test_each_law_has_faults_of_its_own():
    own = [fault for fault in faults if fault.refused_by in {one.name for one in MINE}]
    assert len(own) >= 90
    assert {fault.refused_by for fault in own} == {one.name for one in MINE}


def test_a_law_is_tried_again_by_name():
    with pytest.raises(LawError, match="threads"):
        reproduce("surroundings", OneThread())
    reproduce("surroundings", fm.Mixup())
    assert law_named("compile_again").slow


@pytest.mark.parametrize("strategy", list(every_default()), ids=lambda strategy: strategy.name)
def test_half_types_and_graphs_of_every_default(strategy):
    names = ["autocast_for_all", "denormals", "one_prefix_token", "compile_again"]
    records = check_strategy(strategy, only=names, on_fail=None)
    assert [(record.law, record.measured) for record in records if record.status == "failed"] == []
    assert {record.law for record in records if record.status == "passed"} == set(names)


def published():
    leaves = [leaf.strategy for name in fm.list_presets() for leaf in fm.preset(name).leaves()]
    return list({repr(strategy): strategy for strategy in leaves}.values())


@pytest.mark.parametrize("strategy", published(), ids=lambda strategy: strategy.name)
def test_every_published_setting_passes(strategy):
    records = check_strategy(strategy, only=QUICK, dtypes=[torch.float32, torch.bfloat16], on_fail=None)
    assert [(record.law, record.measured) for record in records if record.status == "failed"] == []
