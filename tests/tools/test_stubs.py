"""The stub file holds every public name, and its tool notices when it does not."""

import ast
import importlib
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import featmix as fm
from featmix.strategies import registry

ROOT = Path(__file__).resolve().parent.parent.parent
TOOL, PACKAGE = ROOT / "tools" / "stubs.py", ROOT / "featmix"


@pytest.fixture
def tool():
    return runpy.run_path(str(TOOL))


def exported(package="."):
    """``{name: module}`` as a package's stub has it."""
    stub = (PACKAGE / package / "__init__.pyi").read_text(encoding="utf-8")
    lines = [line for line in ast.parse(stub).body if isinstance(line, ast.ImportFrom)]
    return {alias.asname: line.module for line in lines for alias in line.names}


def test_stubs_are_current():
    # In a process of its own: only what is on the disk counts, not what other tests have registered.
    checked = subprocess.run([sys.executable, str(TOOL), "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_face_gives_each_name_what_the_package_gives():
    for name, module in exported().items():
        assert getattr(importlib.import_module(module), name) is getattr(fm, name), name


def test_face_has_all_that_is_public_and_strategies_with_their_class():
    built_in = {
        cls.__name__: cls for cls in map(fm.strategy_class, fm.list_strategies()) if "featmix.strategies" in cls.__module__
    }
    assert exported().keys() == {*fm.__all__, *fm._LAZY, *built_in}
    assert {name: exported()[name] for name in built_in} == {name: cls.__module__ for name, cls in built_in.items()}


@pytest.mark.parametrize("package", [fm.interop, fm.trainers], ids=["interop", "trainers"])
def test_packages_have_their_modules(package):
    assert exported(package.__name__.partition(".")[2]) == dict.fromkeys(dir(package), package.__name__)


def test_strategies_of_others_stay_out(tool, monkeypatch):
    elsewhere = type("Elsewhere", (fm.Strategy,), {"__module__": "elsewhere", "tags": fm.Tags(mixes_labels=False, paper="")})
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    fm.register("elsewhere")(elsewhere)
    assert fm.Elsewhere is elsewhere
    assert "Elsewhere" not in tool["face"]()


@pytest.mark.parametrize("name", ["__init__.pyi", "interop/__init__.pyi", "trainers/__init__.pyi"])
def test_a_stale_stub_is_noticed_and_written(name, tool, tmp_path, capsys):
    (tmp_path / "interop").mkdir()
    (tmp_path / "trainers").mkdir()
    assert tool["main"](["--package", str(tmp_path)]) == 0
    assert tool["main"](["--check", "--package", str(tmp_path)]) == 0
    right = (tmp_path / name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(right.replace("import", "imported"), encoding="utf-8")
    assert tool["main"](["--check", "--package", str(tmp_path)]) == 1
    assert f"{name} is stale" in capsys.readouterr().err
    assert tool["main"](["--package", str(tmp_path)]) == 0
    assert (tmp_path / name).read_text(encoding="utf-8") == right


def test_a_value_without_a_home_is_refused(tool, monkeypatch):
    monkeypatch.setattr(fm, "half", 0.5, raising=False)
    with pytest.raises(ValueError, match=r"featmix\.half: expected .* got 0\.5"):
        tool["home"]("half")
