"""Every Python block of the README and the docs runs, and what is generated is up to date."""

from __future__ import annotations

import ast
import builtins
import re
import runpy
import subprocess
import sys
import types
from functools import partial
from pathlib import Path

import pytest
import torch

from featmix.compare import SmallResNet
from featmix.compare.pipelines import read_pipelines
from featmix.strategies import registry

ROOT = Path(__file__).resolve().parent.parent
README, TOOL = ROOT / "README.md", ROOT / "tools" / "readme_table.py"
FOLDERS = (ROOT / "docs", ROOT / "docs" / "trainers")
PAGES = [README, ROOT / "CONTRIBUTING.md", *(page for folder in FOLDERS for page in sorted(folder.glob("*.md")))]
_BLOCK = re.compile(r"(?:^<!-- not run:(?P<reason>[^\n]*?)-->\n+)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text):
    """``(line, code, reason not to run it or None)`` for each Python block, the line being that of its first statement."""
    for match in _BLOCK.finditer(text):
        yield text.count("\n", 0, match.start("code")) + 1, match["code"], match["reason"]


@pytest.fixture
def sandbox(monkeypatch, tmp_path):
    """Registrations, files and random state of a page go no further."""
    registry.list_strategies()
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    # The graph is what a page shows; kernels would need a C++ compiler and a minute.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        yield
    if "torch._dynamo" in sys.modules:  # importing it for nothing would cost seconds
        torch.compiler.reset()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page, sandbox, monkeypatch):
    module = types.ModuleType(f"page_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for line, code, reason in blocks(page.read_text(encoding="utf-8")):
        if reason is None:
            # Padded, so that a traceback points at the line of the page.
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), vars(module))
        else:
            assert reason.strip(), f"{page.name}:{line}: a block is not run, and no reason is given"
            compile(code, str(page), "exec")
    if page == README:
        check_that_commands_take_what_was_saved(page.read_text(encoding="utf-8"))


def check_that_commands_take_what_was_saved(text):
    """Files that the commands of a page name were written by its blocks, and fit the network of the commands."""
    files = set(re.findall(r"^featmix (?:compare|show) --pipeline (\S+)", text, re.MULTILINE))
    (contender,) = read_pipelines(sorted(files))
    with contender.pipeline().attach(SmallResNet(10)) as mixer:
        assert {leaf.site for leaf in mixer.tree.leaves()} == {"input", "stem"}


def test_blocks_are_found():
    text = "```python\na = 1\n```\n\n<!-- not run: slow -->\n```python\nb = 2\n```\n\n```shell\nls\n```\n"
    assert list(blocks(text)) == [(2, "a = 1\n", None), (7, "b = 2\n", " slow ")]


def test_no_block_escapes():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = re.findall(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*\{?(?:python|py|code-block|pycon)\b", text, re.MULTILINE)
        assert len(fences) == len(list(blocks(text))), f"{page.name} has a Python block that is not found"


def borrowed(code):
    """The names that a block takes from somewhere else: it does not run on its own."""
    nodes = list(ast.walk(ast.parse(code)))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    made = {node.id for node in names if not isinstance(node.ctx, ast.Load)} | {
        node.arg for node in nodes if isinstance(node, ast.arg)
    }
    made |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler)}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            made |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return {node.id for node in names} - made - set(dir(builtins))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_block_runs_on_its_own_or_the_page_says_what_it_follows(page):
    text = page.read_text(encoding="utf-8")
    follows = [line for line, code, _ in blocks(text) if borrowed(code)]
    said = any(words in " ".join(text.split()) for words in ("in the order in which they stand", "goes on from"))
    assert said or not follows, f"{page.name}: the blocks at lines {follows} go on from others; say before them from which"


def test_borrowed_names_are_found():
    assert borrowed(
        "import a.b as c\nfrom d import e\n[c(x, len(x)) for x in e]\ndef f(y, *, z=1):\n    return y + w + z\n"
    ) == {"w"}


def test_tutorials_are_notebooks():
    pages = [page for page in (ROOT / "docs" / "notebooks").glob("*.md") if page.name != "index.md"]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    assert pages
    assert all(
        "file_format: mystnb" in text and "{code-cell}" in text for text in texts
    )  # without, the build would not run them


def test_picture_of_the_readme_is_small():
    pictures = re.findall(r"!\[[^]]*\]\((?P<path>[^)]+)\)", README.read_text(encoding="utf-8"))
    assert pictures
    assert max((ROOT / path).stat().st_size for path in pictures) < 300_000


def test_design_names_every_part():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    parts = [path for path in (ROOT / "featmix").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    names = [path.name + "/" * path.is_dir() for path in parts if not path.name.startswith("_")]
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize(("first_line", "lines"), [("import torch", 13), ("import albumentations as A", 15)])
def test_loops_of_the_readme_are_short(first_line, lines):
    code = next(code for _, code, _ in blocks(README.read_text(encoding="utf-8")) if code.startswith(first_line + "\n"))
    assert len([line for line in code.splitlines() if line.strip()]) <= lines


def test_readme_table_is_current():
    # In a process of its own: only what is on the disk counts, not what other tests have registered.
    checked = subprocess.run([sys.executable, str(TOOL), "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_readme_table_notices_a_stale_one(tmp_path, capsys):
    main = runpy.run_path(str(TOOL))["main"]
    stale = tmp_path / "README.md"
    stale.write_text(README.read_text(encoding="utf-8").replace("| `moex` |", "| `xeom` |"), encoding="utf-8")
    assert main(["--check", "--readme", str(stale)]) == 1
    assert "stale" in capsys.readouterr().err
    assert main(["--readme", str(stale)]) == 0
    assert main(["--check", "--readme", str(stale)]) == 0


@pytest.mark.parametrize("text", ["", "<!-- strategies:end --> <!-- strategies:begin -->"])
def test_readme_table_refuses_a_file_without_markers(text):
    with pytest.raises(ValueError, match="once each"):
        runpy.run_path(str(TOOL))["updated"](text)


def test_design_lists_the_departures_of_every_strategy():
    names = runpy.run_path(str(ROOT / "docs" / "_ext" / "departures.py"))
    (page,) = names["pages"]().values()
    assert re.findall(r"<strategy-([a-z-]+)>", page) == registry.list_strategies()
    assert all(len(names["departure"](name)) > 40 for name in registry.list_strategies())
    assert "parts/departures.md" in (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    assert "(1 + u, 1 - u)" in registry.strategy_class("patchup").__doc__
    for name, said in (("moex", "``pono``"), ("dsu", "input alone"), ("resizemix", 'sampling="published"')):
        assert said in names["departure"](name)
