"""The plugin of pytest, in processes of its own: what is collected, how it ends, and that it costs nothing to others."""

import re
import subprocess
import sys
import textwrap

import pytest
import torch

import featmix as fm
import pytest_featmix
from featmix.errors import FeatmixError
from featmix.testing import featmix_laws, laws
from featmix.testing.plugin import runs_of

SUITE = """
    import pytest
    import torch
    from featmix.testing import featmix_laws, from_function

    class MyNorm:
        eps, unbiased = 1e-5, False

        def moments(self, x):
            mean = x.mean((2, 3), keepdim=True)
            return mean, ((x - mean).square().mean((2, 3), keepdim=True) + self.eps).sqrt()

        def normalize(self, x):
            mean, std = self.moments(x)
            return (x - mean) / std

        def denormalize(self, xh, moments):
            return xh * moments[1] + moments[0]

    def fade(x, partner):
        return 0.75 * x + 0.25 * x[partner]

    SHORT = {"dtypes": [torch.float32], "examples": 3}
    scattered = from_function(lambda x, partner: fade(x, partner.argsort()), name="scattered")

    @featmix_laws(fade, MyNorm(), only=["identity", "in_place", "restores"], **SHORT)
    def test_right(check):
        check()

    @featmix_laws(scattered, only=["partner_direction"], **SHORT)
    def test_wrong(check):
        check()

    class TestKnown:
        @featmix_laws(
            scattered, only=["partner_direction", "replay"], **SHORT,
            expected_failed_checks={"partner_direction": "scatters on purpose", "replay-float32": "once random"},
        )
        def test_known(self, check):
            check()

    @pytest.mark.featmix(fade, MyNorm(), fade, only=["identity"], dtypes=[torch.float32])
    def test_counted(check):
        assert check.examples == 2
        check()

    @pytest.mark.featmix
    def test_only_marked():
        pass
"""
QUIET = ["-p", "pytest_featmix", "-p", "no:cacheprovider", "-p", "no:xdist"]


def run(folder, text, *arguments):
    (folder / "test_mine.py").write_text(textwrap.dedent(text))
    command = [sys.executable, "-m", "pytest", *QUIET, "--strict-markers", *arguments, "test_mine.py"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def test_one_test_a_law(tmp_path):
    done = run(tmp_path, SUITE, "-v", "-rA", "-W", "error::pytest.PytestUnknownMarkWarning", "--featmix-examples", "2")
    ends = dict(re.findall(r"^test_mine\.py::(\S+) (\w+)", done.stdout, re.MULTILINE))
    assert ends == {
        "test_right[fade-identity]": "PASSED",
        "test_right[fade-in_place]": "SKIPPED",
        "test_right[MyNorm-restores]": "PASSED",
        "test_wrong[scattered-partner_direction]": "FAILED",
        "TestKnown::test_known[scattered-partner_direction]": "XFAIL",
        "TestKnown::test_known[scattered-replay]": "FAILED",
        "test_counted[fade-identity]": "PASSED",
        "test_counted[fade(2)-identity]": "PASSED",
        "test_only_marked": "PASSED",
    }, done.stdout + done.stderr
    assert "from_function(scattered) breaks the law 'partner_direction'" in done.stdout
    assert "reproduce('partner_direction', subject, x, seed=" in done.stdout
    assert "'replay-float32' was expected to fail (once random), and holds" in done.stdout
    assert "XFAIL test_mine.py::TestKnown::test_known[scattered-partner_direction] - scatters on purpose" in done.stdout
    assert "it is for strategies with inplace=True" in done.stdout
    assert "plugin.py:" not in done.stdout.replace("featmix/testing/plugin.py:1", "")


def test_it_costs_nothing_to_others(tmp_path):
    text = """
        import sys

        def test_light():
            assert "pytest_featmix" in sys.modules
            assert not {"torch", "featmix", "hypothesis"} & set(sys.modules)
    """
    done = run(tmp_path, text, "-q", "-p", "no:hypothesispytest")
    assert "1 passed" in done.stdout, done.stdout
    helped = subprocess.run([sys.executable, "-m", "pytest", *QUIET, "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert all(option in helped.stdout for option in ("--featmix-examples", "--featmix-thorough", "--featmix-laws"))


class Options:
    def __init__(self, **given):
        vars(self).update(given)


def names(*subjects, options=None, **said):
    return [run.name for run in runs_of(subjects, said, options)]


def test_every_law_of_a_kind_is_a_test():
    found = runs_of([fm.MoEx(), fm.normalizer("in")], {"kinds": ("strategy",)})
    assert {run.name for run in found} == {
        *(f"moex-{law.name}" for law in laws("strategy")), *(f"in-{law.name}" for law in laws("normalizer")),
    }  # fmt: skip
    (moments,) = (run for run in found if run.name == "moex-moments")
    assert [task.dtype_name for task in moments.tasks] == ["float64", "float32", "bfloat16", "float16"]


def test_options_go_over_decorators():
    said = {"only": ["identity"], "examples": 9, "dtypes": [torch.float64]}
    (run,) = runs_of([fm.Mixup()], said)
    assert (run.name, run.examples, run.tasks[0].dtype) == ("mixup-identity", 9, torch.float64)
    (run,) = runs_of([fm.Mixup()], said, Options(featmix_laws="replay", featmix_examples=4, featmix_dtype=["float16"]))
    assert (run.name, run.examples, run.tasks[0].dtype) == ("mixup-replay", 4, torch.float16)
    (run,) = runs_of([fm.Mixup()], said, Options(featmix_thorough=True))
    assert run.examples == 200


def test_expectations_may_depend_on_the_subject():
    known = runs_of([fm.Mixup(), fm.CutMix()], {"only": ["labels"], "expected_failed_checks": lambda s: {"labels": s.name}})
    assert [run.expected for run in known] == [{"labels": "mixup"}, {"labels": "cutmix"}]


@pytest.mark.parametrize(
    ("said", "options", "message"),
    [
        ({"only": ["momnets"]}, None, "Did you mean 'moments'"),
        ({}, Options(featmix_laws="momnets"), "Did you mean 'moments'"),
        ({"expected_failed_checks": {"momnets": "a slip"}}, None, "Did you mean 'moments'"),
        ({}, Options(featmix_dtype=["float31"]), "Did you mean 'float32'"),
        ({"examples": 0}, None, "a whole number from 1 up"),
    ],
)
def test_slips(said, options, message):
    with pytest.raises(FeatmixError, match=message):
        runs_of([fm.MoEx()], said, options)


def test_no_subject():
    with pytest.raises(FeatmixError, match="strategies or normalizers"):
        featmix_laws()


class Metafunc:
    """What pytest hands to the plugin."""

    def __init__(self, mark, *arguments):
        self.definition, self.config, self.fixturenames = self, self, arguments
        self.name, self.option, self.mark = "test_slip", Options(), mark.mark

    def iter_markers(self, name):
        return iter([self.mark] if name == "featmix" else [])


@pytest.mark.parametrize(
    ("metafunc", "message"),
    [
        (Metafunc(featmix_laws(fm.Mixup(), only=["momnets"]), "check"), "Did you mean 'moments'"),
        (Metafunc(featmix_laws(fm.Mixup())), "test_slip is to take the argument check: def test_laws"),
    ],
    ids=["law", "argument"],
)
def test_a_slip_is_an_error_of_collection(metafunc, message):
    with pytest.raises(pytest.Collector.CollectError, match=message):
        pytest_featmix.pytest_generate_tests(metafunc)
