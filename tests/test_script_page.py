"""The page on training scripts, with the real torchvision and timm: it runs, and the marked lines are those that change."""

import types

import pytest
import torch

from tests.interop.real_torchvision import torchvision_or_skip
from tests.test_docs import ROOT, blocks

torchvision_or_skip("torchvision.models")
PAGE = (ROOT / "docs" / "script.md").read_text(encoding="utf-8")
BEFORE, AFTER, *FURTHER = [code for _, code, _ in blocks(PAGE)]


def test_marked_lines_are_those_that_change():
    before = BEFORE.splitlines()
    after = [line for line in AFTER.splitlines() if not line.endswith("  # new")]
    after = [line for line, next_line in zip(after, [*after[1:], "x"], strict=True) if line or next_line]  # around an import
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == 1
    assert changed[0][1].endswith("  # changed")
    assert "criterion(model(images), labels)" in changed[0][0]


def test_all_blocks_run_in_order(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "compile", lambda model: model)  # tests/mixer/test_compiling.py compiles
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with torch.random.fork_rng():
        exec(compile(BEFORE, "before", "exec"), vars(types.ModuleType("before")))
        page = types.ModuleType("page")
        for code in (AFTER, *FURTHER):
            if "import timm" in code and _without_timm():
                continue
            exec(compile(code, str(ROOT / "docs" / "script.md"), "exec"), vars(page))
    said = capsys.readouterr().out
    assert said.count("accuracy") == 2
    assert "lambda 0.90" in said


def _without_timm():
    try:
        import timm  # noqa: F401
    except ModuleNotFoundError:
        return True
    return False


@pytest.mark.parametrize(
    "word", ["gradient accumulation", "label smoothing", "class weights", "ignore_index", "amp", "log lambda"]
)
def test_the_search_finds_it(word):
    assert word in PAGE.lower()
