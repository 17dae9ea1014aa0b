import re
import subprocess
import sys
import textwrap

import pytest
import torch

import featmix as fm
from featmix.errors import FeatmixError
from featmix.testing import (
    LawError,
    Record,
    check_normalizer,
    check_strategy,
    from_function,
    laws,
    parametrize_with_checks,
    run_law,
)

FLOAT32 = [torch.float32]


def swapped(x, partner):
    return 0.25 * x + 0.75 * x[partner]


def leaky(x, partner):
    return x + 0.0 * x.mean()


class OnePass:
    """The variance as E[x^2] - E[x]^2."""

    def moments(self, x):
        mean = x.mean((2, 3), keepdim=True)
        return mean, ((x * x).mean((2, 3), keepdim=True) - mean * mean + 1e-5).sqrt()

    def normalize(self, x):
        mean, std = self.moments(x)
        return (x - mean) / std, (mean, std)

    def denormalize(self, xh, moments):
        return xh * moments[1] + moments[0]


WRONG = from_function(swapped, label_share=0.75)
LAW = "labels_measure_content"


# -- records -----------------------------------------------------------------------------------------------------------


def test_records_of_what_holds():
    records = check_strategy(fm.Mixup(), only=["identity", "labels", "does_something"], examples=7)
    assert [(r.law, r.dtype) for r in records if r.law != "identity"] == [("labels", "float64"), ("does_something", None)]
    assert [r.dtype for r in records if r.law == "identity"] == ["float64", "float32", "bfloat16", "float16"]
    assert {r.examples for r in records if r.dtype} == {7}
    assert all(r.status == "passed" and not r.message and not r.measured and r.seconds >= 0 for r in records)


def test_records_of_what_does_not():
    (record,) = check_strategy(WRONG, only=[LAW], on_fail=None)
    assert record.status == "failed"
    assert record.examples == 1
    assert record.measured in record.message.replace("\n" + " " * 18, " ")
    assert record.as_dict()["law"] == LAW


def test_examples_of_a_failure_are_counted():
    (record,) = check_strategy(from_function(leaky), only=["isolation"], dtypes=FLOAT32, on_fail=None)
    assert record.status == "failed"
    assert f"({record.examples} inputs tried)" in record.message


def test_callback_and_kinds():
    seen = []
    records = check_strategy(WRONG, dtypes=FLOAT32, examples=2, on_fail=None, kinds=("attached",), only=["fires"])
    check_strategy(WRONG, only=[LAW, "replay"], dtypes=FLOAT32, examples=2, on_fail=None, callback=seen.append)
    assert [r.law for r in records] == ["fires"]
    assert {r.law: r.status for r in seen} == {LAW: "failed", "replay": "passed"}


def test_on_fail():
    with pytest.raises(LawError, match=LAW) as error:
        check_strategy(WRONG, only=[LAW])
    assert isinstance(error.value, AssertionError)
    with pytest.warns(UserWarning, match=LAW):
        check_strategy(WRONG, only=[LAW], on_fail="warn")
    with pytest.raises(FeatmixError, match="on_fail"):
        check_strategy(WRONG, only=[LAW], on_fail="ignore")


def test_unknown_laws():
    with pytest.raises(FeatmixError, match="Did you mean 'isolation'"):
        check_strategy(fm.MoEx(), only=["isolaton"])
    with pytest.raises(FeatmixError, match="name of a law"):
        check_strategy(fm.MoEx(), expected_failed_checks={"isolation-float99": "why not"})
    with pytest.raises(FeatmixError, match="name of a law"):
        check_normalizer(fm.normalizer("in"), only=["partner_direction"])
    with pytest.raises(FeatmixError, match="name of a law"):
        parametrize_with_checks([fm.MoEx()], expected_failed_checks={"momnets": "a slip"})


# -- expected failures -------------------------------------------------------------------------------------------------


def test_an_expected_failure():
    records = check_strategy(WRONG, only=[LAW], expected_failed_checks={LAW: "on purpose"})
    assert [r.status for r in records] == ["expected failure"]


def test_an_expected_failure_that_holds_is_a_failure():
    settings = {"only": ["replay"], "dtypes": FLOAT32, "examples": 2, "expected_failed_checks": {"replay": "once broken"}}
    with pytest.raises(LawError, match=r"'replay' was expected to fail \(once broken\), and holds"):
        check_strategy(fm.Mixup(), **settings)
    assert [r.status for r in check_strategy(fm.Mixup(), on_fail=None, **settings)] == ["passed", "failed"]


def test_expected_in_one_dtype():
    settings = {"only": ["statistics_in_float32"], "examples": 20, "on_fail": None}
    half = [torch.float64, torch.float16]

    def statuses(**expected):
        names = {f"statistics_in_float32-{dtype}": "one pass" for dtype in expected}
        records = check_normalizer(OnePass(), dtypes=half, expected_failed_checks=names, **settings)
        return [(r.dtype, r.status) for r in records]

    assert statuses(float16=True) == [("float64", "passed"), ("float16", "expected failure")]
    assert statuses(float64=True) == [("float64", "passed"), ("float16", "failed"), ("float64", "failed")]


# -- explanations ------------------------------------------------------------------------------------------------------


def unwrapped(message, title):
    lines = message.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(f"  {title}"))
    taken = [lines[start][18:]]
    for line in lines[start + 1 :]:
        if not line.startswith(" " * 18):
            break
        taken.append(line[18:])
    return taken


def test_an_explanation_says_everything():
    (record,) = check_normalizer(OnePass(), only=["statistics_in_float32"], dtypes=FLOAT32, on_fail=None)
    law = next(law for law in laws() if law.name == record.law)
    assert record.message.startswith("OnePass (as a normalizer) breaks the law 'statistics_in_float32'")
    assert " ".join(unwrapped(record.message, "demanded")) == law.statement
    assert " ".join(unwrapped(record.message, "usual cause")) == law.cause
    assert re.search(r"measured \S+, expected \S+, off by \S+, allowed \S+", record.message)


def test_the_input_of_an_explanation_is_small():
    (record,) = check_normalizer(OnePass(), only=["statistics_in_float32"], dtypes=FLOAT32, on_fail=None)
    space = {}
    exec("\n".join(record.message.split("\n\n")[-1].splitlines()[:-1]), space)
    _, std = OnePass().moments(space["x"])
    _, exact = OnePass().moments(space["x"].double())
    assert space["x"].dtype == torch.float32
    assert space["x"].numel() <= 8
    assert (std - exact).abs().max() > 1e-7


def test_the_decision_of_an_explanation_is_that_of_the_failure():
    strategy = from_function(leaky)
    (record,) = check_strategy(strategy, only=["isolation"], dtypes=FLOAT32, on_fail=None)
    space = {}
    exec("\n".join(record.message.split("\n\n")[-1].splitlines()[:-1]), space)
    x, params = space["x"], space["params"]
    assert len(params.partner) == len(x) >= 2
    seed = int(re.search(r"manual_seed\((\d+)\)", record.message)[1])
    spoilt = x.clone()
    spoilt[seed % len(x)] = float("nan")
    assert strategy.transform(spoilt, params).isnan().all()


def test_an_error_on_the_way_is_explained_with_its_place():
    def clumsy(x, partner):
        return x[[*partner.tolist(), 70]]

    (record,) = check_strategy(clumsy, only=["does_something"], on_fail=None)
    assert record.measured.startswith("IndexError")
    assert re.search(r"test_check\.py:\d+, in clumsy", " ".join(unwrapped(record.message, "raised at")))


def test_run_law():
    law = next(law for law in laws() if law.name == LAW)
    assert run_law(law, fm.Mixup()) == 1
    with pytest.raises(LawError, match=LAW):
        run_law(law, WRONG)


# -- pytest ------------------------------------------------------------------------------------------------------------


def test_parametrized_names():
    subjects = [fm.MoEx("in"), fm.normalizer("gn2"), swapped]
    mark = parametrize_with_checks(subjects, dtypes=FLOAT32, kinds=("strategy",)).mark
    names = [parameter.id for parameter in mark.args[1]]
    assert "moex-moments-float32" in names
    assert "gn2-restores-float32" in names
    assert "swapped-partner_direction-float32" in names
    assert "moex-does_something-None" in names
    assert all(callable(parameter.values[0]) for parameter in mark.args[1])


@pytest.mark.parametrize(
    ("strict", "summary"), [(True, "1 failed, 1 passed, 1 xfailed"), (False, "1 passed, 1 xfailed, 1 xpassed")]
)
def test_expected_failures_in_pytest(tmp_path, strict, summary):
    file = tmp_path / "test_mine.py"
    file.write_text(
        textwrap.dedent(
            f"""
            import torch
            from featmix.testing import from_function, parametrize_with_checks

            def swapped(x, partner):
                return 0.25 * x + 0.75 * x[partner]

            known = {{"labels_measure_content": "on purpose", "replay": "once broken"}}

            @parametrize_with_checks(
                [from_function(swapped, label_share=0.75)], dtypes=[torch.float32], examples=2, kinds=("strategy",),
                expected_failed_checks=lambda subject: known, xfail_strict={strict},
            )
            def test_laws(check):
                check()
            """
        )
    )
    chosen = "labels_measure_content or replay or does_something"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", chosen, str(file)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    counts = re.search(r"\n(.*?), \d+ deselected(.*?) in ", result.stdout)
    assert counts, result.stdout
    assert counts[1] + counts[2] == summary
    assert result.returncode == (1 if strict else 0)


def test_a_record_is_plain():
    assert Record("replay", None, "passed", 1, 0.5).as_dict() == {
        "law": "replay", "dtype": None, "status": "passed", "examples": 1, "seconds": 0.5, "message": "", "measured": "",
        "reason": "",
    }  # fmt: skip
