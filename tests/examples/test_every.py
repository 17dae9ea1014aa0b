"""What holds of each example, those of tomorrow too: found by walking the folder."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.examples.running import EXAMPLES, ROOT

NAMES = [path.stem for path in EXAMPLES]
each = pytest.mark.parametrize("path", EXAMPLES, ids=NAMES)


def declared():
    """Distributions that ``pip install .[dev]`` asks for by name, and those that the set-up installs by themselves."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras, found, waiting = project["optional-dependencies"], {project["name"]}, ["dev"]
    requirements = list(project["dependencies"])
    while waiting:
        for requirement in extras[waiting.pop()]:
            own = re.fullmatch(rf"{project['name']}\[(.+)\]", requirement)
            if own:
                waiting += own[1].split(",")
            else:
                requirements.append(requirement)
    found |= {normal(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return found | {normal(name) for name in re.findall(r"--no-deps (\w+)\)?$", makefile, re.MULTILINE)}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(text):
    """Top-level names of all modules that a program imports, standard library left out."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return {name if name.startswith(".") else name.partition(".")[0] for name in names} - sys.stdlib_module_names


def undeclared(text):
    owners, known = importlib.metadata.packages_distributions(), declared()
    return sorted(name for name in imported(text) if not known & {normal(owner) for owner in (*owners.get(name, ()), name)})


def test_some_are_found():
    assert len(NAMES) >= 5


@each
def test_it_has_a_test_that_runs_it(path):
    mirror = Path(__file__).with_name(f"test_{path.stem}.py")
    assert mirror.exists(), f"write tests/examples/{mirror.name}: it runs main with small sizes and looks at what it gives"
    calls = [node for node in ast.walk(ast.parse(mirror.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    runs = [call.args[0].value for call in calls if getattr(call.func, "id", "") in ("run", "load") and call.args]
    assert path.stem in runs


def test_each_test_has_an_example():
    tested = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")} - {"every"}
    assert tested == set(NAMES)


@each
def test_it_says_what_it_shows_and_how_to_run_it(path):
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    first = doc.splitlines()[0]
    assert re.fullmatch(r"[A-Z].{30,}\.", first), "the first line goes into the table of docs/examples.md"
    assert f"Run: python examples/{path.name}" in doc.splitlines()


@each
def test_it_runs_without_arguments_and_is_short(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.unparse(tree.body[-1]) == "if __name__ == '__main__':\n    main()"
    main = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    assert not main.args.args, "sizes are keywords"
    assert None not in main.args.kw_defaults
    assert {"epochs", "limit"} <= {argument.arg for argument in main.args.kwonlyargs}
    assert len(text.splitlines()) <= 110


@each
def test_it_makes_its_loader_once(path):
    # One made for each epoch would repeat the first epoch.
    loops = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.For)]
    calls = [call.func for loop in loops for call in ast.walk(loop) if isinstance(call, ast.Call)]
    assert "loader" not in [func.attr for func in calls if isinstance(func, ast.Attribute)]


@each
def test_it_imports_what_is_declared(path):
    assert undeclared(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import json, numpy.linalg as la\nfrom sklearn.datasets import load_digits", []),
        ("import pandas", ["pandas"]),
        ("def f():\n    from fastai.vision import models", ["fastai"]),
        ("from . import helper", ["."]),
        ("import timm, torchvision", ["torchvision"]),
    ],
)
def test_what_is_not_declared_is_noticed(text, found):
    assert undeclared(text) == found
