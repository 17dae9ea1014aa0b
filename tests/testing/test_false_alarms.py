"""What is right is not refused: strategies that seldom mix, that do not mix at all, or that are for images only."""

import threading

import pytest
import torch
import torch._dynamo  # only where it is loaded does attaching touch it

import featmix as fm
from featmix import schedule
from featmix.testing import LawError, check_strategy, parametrize_with_checks
from featmix.testing.law import CannotRunError
from tests.broken import law_named


class ImagesOnly(fm.Mixup):
    """Turns the partner around, which takes rows and columns."""

    def act(self, x, params):
        lam = params.strength(x)
        return lam * x + (1 - lam) * x[params.partner].flip((2, 3))


class LosesThePrefix(fm.Mixup):
    def transform(self, x, params, mask=None):
        return super().transform(x.clone().fill_(1.0) if self.num_prefix_tokens else x, params)


class CrashesOnAPrefix(fm.Mixup):
    def act(self, x, params):
        if self.num_prefix_tokens:
            raise ValueError("what prefix?")
        return super().act(x, params)


@pytest.mark.parametrize("p", [schedule.linear(0, 1), 0.01, 0.0])
def test_what_seldom_mixes_does_something(p):
    (record,) = check_strategy(fm.Mixup(p=p), only=["does_something"])
    assert record.status == "passed"


def test_the_probability_is_put_back():
    strategy = fm.Mixup(p=0.01)
    check_strategy(strategy, only=["does_something"])
    assert strategy.p == 0.01


def test_what_says_that_it_does_nothing_is_not_asked():
    (record,) = check_strategy(fm.Mixup(alpha=0), only=["does_something"])
    assert record.status == "skipped"
    assert "strength 1 in every row" in record.reason


def test_a_strength_of_1_does_not_excuse_other_labels():
    class OtherLabels(fm.Mixup):
        def decide(self, shape, draw):
            params = super().decide(shape, draw)
            half = torch.full_like(params.lam, 0.5)
            return params.replaced(lam=params.lam * 0 + 1, mixture=fm.Mixture.pair(params.partner, half))

        def act(self, x, params):
            return x.clone()

    with pytest.raises(LawError, match="nothing changed in 20 decisions"):
        check_strategy(OtherLabels(), only=["does_something"])


@pytest.mark.parametrize("strategy", [fm.Mixup(p=schedule.linear(0, 1)), fm.Mixup(p=0.01), fm.Mixup(alpha=0)], ids=repr)
def test_the_other_laws_let_them_pass(strategy):
    records = check_strategy(strategy, examples=6, kinds=("strategy",), dtypes=[torch.float64, torch.float32])
    assert {record.status for record in records} == {"passed", "skipped"}


@pytest.mark.parametrize("name", [name for name in fm.list_strategies() if fm.create(name).p != 1])
def test_strategies_pass_inside_a_model_as_they_come_however_seldom_they_act(name):
    records = check_strategy(fm.create(name), kinds=("attached",), on_fail=None)
    assert {record.status for record in records} <= {"passed", "skipped"}


def test_prefix_is_not_for_images_only():
    (record,) = check_strategy(ImagesOnly(), only=["prefix"])
    assert record.status == "skipped"
    assert record.reason.startswith("it is for strategies that take tokens or sequences: bnc features without a prefix gave")


@pytest.mark.parametrize("broken", [LosesThePrefix, CrashesOnAPrefix])
def test_prefix_still_refuses_what_takes_tokens(broken):
    (record,) = check_strategy(broken(), only=["prefix"], on_fail=None)
    assert record.status == "failed"


def test_what_cannot_be_tried_is_skipped_in_pytest():
    mark = parametrize_with_checks([fm.Mixup(alpha=0)], where=lambda _, law: law.name == "does_something").mark
    with pytest.raises(pytest.skip.Exception, match="strength 1 in every row"):
        mark.args[1][0].values[0]()


def test_a_law_says_that_it_cannot_be_tried(monkeypatch):
    def none(*_):
        raise RuntimeError("no interface to talk over")

    monkeypatch.setattr("torch.distributed.ProcessGroupGloo", none)
    with pytest.raises(CannotRunError, match="no interface to talk over"):
        law_named("ddp").check(fm.Mixup())
    (record,) = check_strategy(fm.Mixup(), only=["ddp"])
    assert record.status == "skipped"


def test_two_ranks_need_no_pickle_and_leave_nothing_running():
    strategy = fm.Mixup()
    strategy.helper = lambda: None
    before = threading.active_count()

    for _ in range(10):
        (record,) = check_strategy(strategy, only=["ddp"])
    assert record.status == "passed"
    assert threading.active_count() == before
    assert not torch.distributed.is_initialized()
    assert torch._dynamo.eval_frame._stance.stance == "default"
