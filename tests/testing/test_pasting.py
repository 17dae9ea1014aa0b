"""What a failure prints can be pasted as it stands, and fails in the same way: one planted fault for each law."""

import pytest
import torch

import featmix as fm
from featmix.errors import FeatmixError
from featmix.testing import LawError, check_normalizer, check_strategy, from_function, from_normalizer, reproduce, run_law
from featmix.testing.explain import measured
from featmix.testing.source import source
from tests.broken import faults, law_named

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:var\(\):UserWarning"),
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning"),
]
ONE_EACH = list({fault.refused_by: fault for fault in faults if not fault.survives}.values())


def pasted(message):
    """Run the last part of a message; return what it raised."""
    lines = message.splitlines()
    start = len(lines) - lines[::-1].index("")
    assert lines[start] == "import torch"
    with pytest.raises((Exception, SystemExit)) as error:
        exec("\n".join(lines[start:]), {"__name__": "pasted"})
    return error.value


def half_as_much(x, partner):
    return 0.25 * x + 0.75 * x[partner]


@pytest.mark.parametrize("fault", ONE_EACH, ids=lambda fault: f"{fault.refused_by}-{fault.name}")
def test_a_planted_fault_fails_again(fault):
    law = law_named(fault.refused_by)
    with pytest.raises(LawError) as error:
        run_law(law, fault.make(), None if law.exact else fault.dtype)
    message = str(error.value)
    again = pasted(message)
    assert isinstance(again, LawError) != fault.crashes or law.name in ("compile", "checkpoint")
    said = " ".join(measured(again).split("\n")[0].split()[:4])
    assert said in " ".join(message.split())
    assert "\nx = " in message or law.of_draws
    assert law.kind == "normalizer" or ("\nparams = " in message or "\nreal, params = " in message)
    assert law.kind == "normalizer" or "\n  seed " in message


def test_the_call_is_one_line():
    (record,) = check_strategy(from_function(half_as_much, label_share=0.75), only=["labels_measure_content"], on_fail=None)
    assert record.message.splitlines()[-1] == "reproduce('labels_measure_content', subject)"
    assert "subject = from_function(half_as_much, label_share=0.75)" in record.message
    assert isinstance(pasted(record.message), LawError)


class Shifted:
    """Restores to another mean."""

    eps = 1e-5

    def moments(self, x):
        mean = x.mean((2, 3), keepdim=True)
        return mean, ((x - mean).square().mean((2, 3), keepdim=True) + self.eps).sqrt()

    def normalize(self, x):
        mean, std = self.moments(x)
        return (x - mean) / std, (mean, std)

    def denormalize(self, xh, moments):
        return xh * moments[1] + moments[0] + 1


def test_an_object_is_made_again():
    (record,) = check_normalizer(
        from_normalizer(Shifted(), unbiased=False), only=["restores"], dtypes=[torch.float32], on_fail=None
    )
    assert "subject = from_normalizer(Shifted(), unbiased=False)" in record.message
    assert str(pasted(record.message)) == record.measured


def test_what_exits_fails_by_name():
    def exits(x, partner):
        raise SystemExit("no")

    (record,) = check_strategy(exits, only=["identity"], dtypes=[torch.float32], on_fail=None)
    assert (record.status, record.measured) == ("failed", "SystemExit: no")


def test_a_local_function_has_no_expression():
    assert source(from_function(lambda x, partner: x)) == (set(), "")


@pytest.mark.parametrize(
    "subject",
    [fm.MoEx("gn2", p=0.25), fm.CutMix(alpha=0.3, partner="permutation"), fm.normalizer("gpono-d2", eps=1e-3, layout="bnc")],
    ids=repr,
)
def test_settings_that_are_not_the_usual_ones_are_written(subject):
    imports, made = source(subject)
    space = {}
    exec("\n".join([*imports, f"again = {made}"]), space)
    assert repr(space["again"]) == repr(subject)


def test_reproduce_refuses():
    with pytest.raises(FeatmixError, match="Did you mean 'isolation'"):
        reproduce("isolaton", fm.Mixup())
    with pytest.raises(FeatmixError, match="x: expected features"):
        reproduce("isolation", fm.Mixup())
