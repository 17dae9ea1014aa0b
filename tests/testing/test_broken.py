"""Every law bites: each planted fault is refused by the law named with it, and every law refuses one at least."""

import numpy as np
import pytest
import torch

from featmix.strategies.mixup import Mixup
from featmix.testing import LawError, check_strategy, laws, run_law
from tests.broken import faults, law_named, tried_until_refused
from tests.broken.attached import EverySecondCall
from tests.broken.blending import LamOfThePartner, Relabelled
from tests.broken.drawing import Gated
from tests.broken.exchanging import Exchange
from tests.broken.fault import Fault

pytestmark = [  # what the faults themselves provoke
    pytest.mark.filterwarnings(r"ignore:var\(\):UserWarning"),
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning"),
]
SURVIVORS = [fault for fault in faults if fault.survives]


def names(fault):
    return fault.name


@pytest.mark.parametrize("fault", [fault for fault in faults if not fault.survives], ids=names)
def test_the_law_refuses_it(fault):
    law = law_named(fault.refused_by)
    assert law.applies(fault.make())
    assert tried_until_refused(fault, law) is not None, f"{law.name} lets it pass: {fault.wrong}"


@pytest.mark.parametrize(
    "fault",
    [pytest.param(one, marks=pytest.mark.xfail(reason=one.survives, raises=AssertionError, strict=True)) for one in SURVIVORS],
    ids=names,
)
def test_expected_survivors(fault):
    subject = fault.make()
    tried = [tried_until_refused(fault, law, examples=10) for law in laws(fault.kind) if law.applies(subject)]
    assert any(tried)


def test_nearly_all_are_refused():
    # Whether they are is what the tests above show, strictly: a survivor that is refused after all is a failure there.
    assert len(faults) >= 45
    assert len(SURVIVORS) <= 0.05 * len(faults)


def test_every_law_refuses_one():
    assert {law.name for law in laws()} == {fault.refused_by for fault in faults if not fault.survives}


def test_each_is_described_once():
    assert len({fault.name for fault in faults}) == len(faults)
    assert len({(fault.kind, fault.wrong) for fault in faults}) >= len(faults) - 1
    assert all(bool(fault.refused_by) != bool(fault.survives) for fault in faults)


class Open(Gated):
    def gate(self, n, random):
        return np.ones(n, dtype=bool)


@pytest.mark.parametrize("healthy", [Exchange("in"), Exchange("in", p=0.5, per="sample"), Relabelled(), Open()], ids=repr)
def test_what_faults_are_built_on_is_healthy(healthy):
    left_out = (
        ("probability", "given", "gates", "many_rows") if isinstance(healthy, Open) else ()
    )  # its gate is its own, whatever is asked for
    only = [law.name for law in laws("strategy") if law.name not in left_out]
    records = check_strategy(healthy, only=only, dtypes=[torch.float32, torch.float16])
    assert {r.status for r in records} == {"passed", "skipped"}


def test_an_unplanned_crash_is_no_refusal():
    class Typo(Mixup):
        def act(self, x, params):
            return x.no_such_method()

    planted = Fault(Typo, {}, "crashes", "oracle", torch.float32, False, "")
    with pytest.raises(BaseException, match="Typo crashes in 'oracle'"):
        tried_until_refused(planted, law_named("oracle"))


@pytest.mark.parametrize(("broken", "law"), [(LamOfThePartner, "oracle"), (EverySecondCall, "fires")])
def test_a_refusal_names_fault_law_and_cause(broken, law):
    with pytest.raises(LawError, match=f"(?s){broken.__name__}.*breaks the law '{law}'.*measured.*usual cause"):
        run_law(law_named(law), broken(), torch.float32, 20)
