"""How much a check tries: by default, thoroughly, within a budget, and in the dtypes that are wanted."""

import itertools

import pytest
import torch

import featmix as fm
from featmix.errors import FeatmixError
from featmix.normalizers.kinds import IN
from featmix.testing import check_normalizer, check_strategy, laws, parametrize_with_checks, run_law
from featmix.testing.corners import CORNERS
from featmix.testing.draws import shared

FLOAT32 = [torch.float32]
VARIABLE = "FEATMIX_EXAMPLES"


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def tried(subject=None, **settings):
    (record,) = check_strategy(subject or fm.Mixup(), only=["labels"], **settings)
    return record.examples


def test_examples(monkeypatch):
    assert tried() == 20
    assert tried(examples=7) == 7
    assert tried(thorough=True) == 200
    assert tried(thorough=True, examples=3) == 3
    monkeypatch.setenv(VARIABLE, "31")
    assert tried() == 31
    assert tried(examples=7) == 7
    monkeypatch.setenv(VARIABLE, "250")
    assert tried() == tried(thorough=True) == 250
    assert run_law(next(law for law in laws() if law.name == "labels"), fm.Mixup()) == 250


def test_examples_of_pytest_parameters(monkeypatch):
    monkeypatch.setenv(VARIABLE, "5")
    mark = parametrize_with_checks([fm.Mixup()], dtypes=FLOAT32, where=lambda _, law: law.name == "labels").mark
    assert [run.values[0]() for run in mark.args[1]] == [5]


@pytest.mark.parametrize("said", ["many", "0", "-3", "2.5", "٣"])
def test_what_the_variable_may_not_say(monkeypatch, said):
    monkeypatch.setenv(VARIABLE, said)
    with pytest.raises(FeatmixError, match=f"{VARIABLE}: expected a whole number from 1 up"):
        check_strategy(fm.Mixup())


@pytest.mark.parametrize("settings", [{"examples": 0}, {"examples": 2.0}, {"budget": 0}, {"budget": float("nan")}])
def test_no_examples_and_no_budget(settings):
    with pytest.raises(FeatmixError, match=next(iter(settings))):
        check_strategy(fm.Mixup(), **settings)


def test_a_default_check_is_small():
    calls = 0

    class Counted(fm.MoEx):
        def transform(self, *arguments, **settings):
            nonlocal calls
            calls += 1
            return super().transform(*arguments, **settings)

    records = check_strategy(Counted("in"), kinds=("strategy",))
    assert sum(record.examples for record in records) <= 1200
    assert calls <= 4500


def test_laws_share_inputs_which_begin_with_those_chosen_by_hand():
    some, others = shared(fm.Mixup(), torch.float32, 20), shared(fm.CutMix(), torch.float32, 20)
    assert len(some) == 20
    assert all(a is b for (a, _), (b, _) in zip(some, others, strict=True))
    for (x, seed), corner in zip(some, CORNERS, strict=False):
        assert torch.equal(x, corner.made("bchw", 1, torch.float32))
        assert seed == corner.seed


@pytest.mark.parametrize("layout", ["bc", "bct", "bnc", "btc", "bchw", "bhwc", "bcdhw"])
def test_corners_in_every_layout(layout):
    norm = fm.normalizer("gn2", layout=layout)
    for corner in CORNERS:
        x = corner.made(layout, 2, torch.float16)
        assert x.ndim == len(layout)
        assert x.shape[layout.index("c")] == 2 * corner.channels
        assert len(x) == len(corner.modes)
        norm.moments(x)


def test_a_subject_that_writes_into_its_input_does_not_spoil_what_is_shared():
    class Writes(fm.Mixup):
        def transform(self, x, params):
            return x.fill_(7.0).clone()

    check_strategy(Writes(), kinds=("strategy",), dtypes=FLOAT32, on_fail=None)
    assert torch.equal(shared(fm.Mixup(), torch.float32, 20)[0][0], CORNERS[0].made("bchw", 1, torch.float32))


# -- a budget ----------------------------------------------------------------------------------------------------------


def test_what_a_budget_leaves_is_unfinished(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    records = check_strategy(fm.Mixup(), only=["identity", "isolation", "moments"], dtypes=FLOAT32, budget=14)
    found = {record.law: record for record in records}
    assert found["moments"].status == "skipped"
    assert found["identity"].status == "unfinished"
    assert 0 < found["identity"].examples < 20
    assert found["identity"].reason == f"the budget was used up after {found['identity'].examples} of 20 inputs"
    assert (found["isolation"].status, found["isolation"].examples) == ("unfinished", 0)


def test_enough_of_a_budget_changes_nothing():
    records = check_strategy(fm.Mixup(), only=["identity"], dtypes=FLOAT32, budget=3600)
    assert [(record.status, record.examples) for record in records] == [("passed", 20)]


def test_a_failure_is_one_whatever_the_budget(monkeypatch):
    class Broken(fm.Mixup):
        def act(self, x, params):
            return x + params.lam.mean() * x.mean()

    clock = itertools.count()
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    (record,) = check_strategy(Broken(), only=["isolation"], dtypes=FLOAT32, budget=4, on_fail=None)
    assert record.status == "failed"
    assert "reproduce('isolation', subject, x, seed=" in record.message


def test_what_is_not_finished_is_not_held_against_an_expectation():
    records = check_strategy(fm.Mixup(), only=["identity"], budget=1e-9, expected_failed_checks={"identity": "a slip"})
    assert {record.status for record in records} == {"unfinished"}


# -- what is skipped ---------------------------------------------------------------------------------------------------


def test_a_law_that_is_for_others_says_so():
    (record,) = check_strategy(fm.Mixup(), only=["dense_targets"])
    assert (record.status, record.examples, record.message) == ("skipped", 0, "")
    assert record.reason == "it is for strategies that mix labels and say at which positions"


def test_every_law_has_a_record():
    records = check_strategy(fm.Mixup(), examples=1, kinds=("strategy",), on_fail=None)
    assert {record.law for record in records} == {law.name for law in laws("strategy")}
    assert all(bool(record.reason) == (record.status == "skipped") for record in records)


def test_skipped_laws_are_no_pytest_parameters():
    mark = parametrize_with_checks([fm.Mixup()], kinds=("strategy",)).mark
    assert not any("dense_targets" in parameter.id for parameter in mark.args[1])


class Picky(fm.Mixup):
    """Takes one dtype."""

    def __init__(self, only, **settings):
        super().__init__(**settings)
        self.only = only

    def transform(self, x, params, mask=None):
        assert x.dtype == self.only, f"{x.dtype} came"
        return super().transform(x, params, mask)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_dtypes_restrict_every_law(dtype):
    records = check_strategy(Picky(dtype), dtypes=[dtype], kinds=("strategy",), on_fail=None)
    assert {record.status for record in records} == {"passed", "skipped"}, [r.message for r in records if r.message]
    assert sum(record.status == "passed" for record in records) >= 10


class PickyNorm(IN):
    """Takes one dtype."""

    only = torch.float32

    def moments(self, x, mask=None):
        if x.dtype != self.only:
            raise TypeError(f"{x.dtype} came")
        return super().moments(x, mask)


def test_dtypes_restrict_every_law_of_normalizers():
    records = check_normalizer(PickyNorm(), dtypes=FLOAT32, on_fail=None)
    skipped = {record.law: record.reason for record in records if record.status == "skipped"}
    assert {record.status for record in records} == {"passed", "skipped"}
    wide = {"statistics_in_float32", "far_from_zero", "normalize_gradient", "moments_gradient", "moments_second_derivative"}
    assert set(skipped) == wide
    assert skipped["normalize_gradient"] == "it needs float64, which is not among the dtypes"
    assert skipped["far_from_zero"].startswith("it compares with what the subject says in float64, which gave TypeError")
