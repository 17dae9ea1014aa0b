"""Every recipe runs on real data, is saved and loaded, and repeats bit for bit; its native version does the same work."""

import re
import runpy

import pytest
import torch

import featmix as fm
from featmix.configuration import allowed
from tests.recipes.running import FOLDER, NAMES, load, run

NATIVE = FOLDER / "native"
each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def _allowed_here_alone(monkeypatch):
    monkeypatch.setattr(allowed, "_THINGS", dict(allowed._THINGS))


def test_all_are_found():
    files = {path.stem for path in FOLDER.glob("*.py")} - {"run", "data", "length"}
    assert files == {path.stem for path in NATIVE.glob("*.py")} == set(NAMES)
    assert len(NAMES) >= 10


@each
def test_it_is_saved_loaded_and_repeated_bit_for_bit(name, tmp_path):
    recipe = load(name)
    settings = {} if hasattr(recipe, "evaluate") else {"epochs": 2}
    losses = run.run(name, **settings)
    assert len(losses) >= 4
    assert all(torch.tensor(losses).isfinite())
    fm.save(recipe.pipeline(), tmp_path / "aug.yaml")
    again = fm.load(tmp_path / "aug.yaml")
    assert fm.to_dict(again) == fm.to_dict(recipe.pipeline())
    assert run.run(name, again, **settings) == losses
    if not hasattr(recipe, "evaluate"):
        assert losses[0] != losses[len(losses) // 2]  # the second epoch is another one


@pytest.mark.parametrize("name", ["albumentations_classification", "evaluation"])
def test_the_number_of_workers_is_no_matter(name):
    assert run.run(name) == run.run(name, workers=2)


@each
def test_its_native_version_learns_as_much_in_more_lines(name):
    load(name)
    ours, theirs = run.run(name), run.run_native(name)
    assert len(ours) == len(theirs)
    assert sum(ours) == pytest.approx(sum(theirs), rel=0.25)
    assert run.length(name) < run.length(name, NATIVE)


@each
def test_the_loop_is_that_of_every_recipe(name):
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert re.match(r'"""\w.{30,}\."""\n', text), "its first line goes into the page"
    assert "def pipeline(" in text


def test_lines_are_counted_without_words(tmp_path):
    text = (
        '"""Says."""\n\nimport a\n\n\ndef f(\n    x,\n):\n    """Doc."""\n    # a comment\n    return g(\n        x,\n    )\n'
    )
    (tmp_path / "one.py").write_text(text)
    assert run.length("one", tmp_path) == 6


def test_the_page_has_each_with_its_native_version_and_both_lengths(monkeypatch):
    docs = FOLDER.parents[1] / "docs"
    monkeypatch.syspath_prepend(str(FOLDER.parents[1] / "tools"))
    (page,) = runpy.run_path(str(docs / "_ext" / "recipes.py"))["pages"]().values()
    assert "parts/recipes.md" in (docs / "recipes.md").read_text(encoding="utf-8")
    for name in NAMES:
        row = next(line for line in page.splitlines() if line.startswith(f"| [`{name}`]"))
        assert row.endswith(f"| {run.length(name)} | {run.length(name, NATIVE)} |")
        assert f"../examples/recipes/{name}.py" in page
        assert f"../examples/recipes/native/{name}.py" in page


def test_the_program_says_that_all_repeat(capsys, monkeypatch):
    monkeypatch.setattr(run, "USES", {"evaluation": run.USES["evaluation"], "missing": run.USES["evaluation"]})
    monkeypatch.setattr(
        run, "load", lambda name, *where, found=run.load: _missing() if name == "missing" else found(name, *where)
    )
    run.main()
    printed = capsys.readouterr().out
    assert re.search(r"evaluation +18 +28 +True", printed)
    assert "not run: no such library" in printed


def _missing():
    raise ImportError("no such library")
