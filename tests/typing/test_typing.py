"""The files ``user.py`` and ``misuse.py`` as mypy and pyright see them, line by line."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import featmix as fm
from featmix.strategies import registry
from tests.typing import user

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
USER, MISUSE = HERE / "user.py", HERE / "misuse.py"
MARK = "  # refused"


def mypy():
    """``(file, line, message)`` of each complaint; what the run before has found out is kept in ``.mypy_cache``."""
    done = run("-m", "mypy", "--strict", "--no-error-summary", "--output=json", str(USER), str(MISUSE))
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert found, done.stdout + done.stderr
    return [(each["file"], each["line"], each["message"]) for each in found if each["severity"] == "error"]


def pyright():
    """``(file, line, message)`` of each complaint."""
    done = run("-m", "pyright", "--pythonpath", sys.executable, "--outputjson", str(USER), str(MISUSE))
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    found = json.loads(done.stdout)["generalDiagnostics"]
    return [(each["file"], each["range"]["start"]["line"] + 1, each["message"]) for each in found]


def run(*command):
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_checkers_accept_what_is_right_and_refuse_what_is_wrong(checker):
    complaints = checker()
    assert [f"{line}: {message}" for file, line, message in complaints if Path(file).name == USER.name] == []
    refused = {line: message for file, line, message in complaints if Path(file).name == MISUSE.name}
    marked = {number for number, line in enumerate(MISUSE.read_text(encoding="utf-8").splitlines(), 1) if line.endswith(MARK)}
    assert marked - refused.keys() == set(), "marked lines that the checker accepts"
    assert {line: refused[line] for line in refused.keys() - marked} == {}


def test_every_public_name_occurs():
    strategies = map(fm.strategy_class, fm.list_strategies())
    built_in = {cls.__name__ for cls in strategies if cls.__module__.startswith("featmix.")}
    used = set(re.findall(r"\bfm\.(\w+)", USER.read_text(encoding="utf-8")))
    assert {*fm.__all__, *fm._LAZY, *built_in} - used == set()


PARTS = [part for _, part in inspect.getmembers(user, inspect.isfunction) if part.__module__ == user.__name__]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_what_checkers_accept_runs(part, monkeypatch):
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))  # what a part registers goes no further
    part()
