"""Each common mistake is answered where it was made, with what was expected and what to write."""

import traceback
import warnings

import pytest
from typer.testing import CliRunner

import featmix as fm
from featmix.cli.main import app
from featmix.compare.pool import Pool
from featmix.errors import FeatmixWarning
from tests.mistakes import attaching, commands, scene, steps, strategies

REFUSED = [
    *strategies.SETTINGS,
    *strategies.CALLS,
    *attaching.TREES,
    *attaching.PIPELINES,
    *attaching.FILES,
    *steps.ORDER,
    *steps.DRAWS,
    *steps.LOSSES,
]


def test_there_are_fifty_and_none_twice():
    codes = [code for code, _ in REFUSED]
    assert len(set(codes)) == len(codes) >= 50


@pytest.mark.parametrize(("code", "said"), REFUSED, ids=[code[-70:] for code, _ in REFUSED])
def test_a_mistake_is_refused_in_words(code, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = scene()
    with pytest.raises((fm.FeatmixError, AttributeError)) as refused:
        exec(compile(code, "<mistake>", "exec"), names)
    assert [part for part in said if part not in str(refused.value)] == [], str(refused.value)
    lines = [frame.lineno for frame in traceback.extract_tb(refused.value.__traceback__) if frame.filename == "<mistake>"]
    assert lines == [code.count("\n") + 1]  # where it was made, and not in a later step


@pytest.mark.parametrize(("code", "said"), steps.WARNINGS, ids=[code[:50] for code, _ in steps.WARNINGS])
def test_what_is_not_wrong_for_certain_is_warned_of_once(code, said):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(compile(code, "<mistake>", "exec"), scene())
    (only,) = [one for one in caught if issubclass(one.category, FeatmixWarning)]
    assert [part for part in said if part not in str(only.message)] == [], str(only.message)
    assert only.filename == "<mistake>"


@pytest.mark.parametrize(("arguments", "said"), commands.COMMANDS, ids=[" ".join(one) for one, _ in commands.COMMANDS])
def test_a_mistake_on_the_command_line(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Pool, "start", lambda self, limit=None: None)  # nothing is to be run
    fm.save(fm.Pipeline(mix={"input": fm.CutMix(p=0.5), "1": fm.MoEx()}), "aug.yaml")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, result.output
    assert [part for part in said if part not in result.output] == [], result.output
