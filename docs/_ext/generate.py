"""Sphinx extension: writes, before each build, all pages that can be read off the code.

Nothing here names a strategy, a normalizer, a module, a law or a command: all are found by walking.
"""

import hashlib
import importlib
import inspect
from pathlib import Path

import cards
import commands
import departures
import drawings
import evidence
import exchanged
import faults
import front
import laws
import measured
import outputs
import presets
import programs
import pytested
import ranks
import recipes
import reference
import shown
import sphinx.util.logging
import styles
import tables
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

logger = sphinx.util.logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
# What the pages are made of: where none of it has changed, neither have they.
SOURCES = ("featmix/**/*.py", "benchmarks/**/*.py", "tests/broken/**/*.py", "tests/correct/**/*.py", "pytest_featmix.py",
           "tools/*.py", "study/*.py", "docs/evidence/*/*", "docs/_ext/*.py", "examples/**/*.py",
           "docs/benchmarks/*.json", "constraints.txt")  # fmt: skip


def generate(app: Sphinx) -> None:
    """Write ``_generated``; a file whose content is the same is left alone, and what is not written any more is removed."""
    folder = Path(app.srcdir) / "_generated"
    now, stamp = _state(), folder / "stamp.txt"
    if stamp.exists() and stamp.read_text() == now:
        return
    files: dict[str, bytes] = {"stamp.txt": now.encode()}
    for source in (
        tables,
        front,
        cards,
        exchanged,
        drawings,
        shown,
        presets,
        programs,
        recipes,
        reference,
        commands,
        laws,
        faults,
        styles,
        pytested,
        outputs,
        measured,
        departures,
        evidence,
        ranks,
    ):
        for name, content in source.pages().items():
            if name in files:
                raise ValueError(f"{source.__name__} writes {name}, which another module writes already")
            files[name] = content if isinstance(content, bytes) else content.encode()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()


def _state() -> str:
    """Changes with any source of a page."""
    found = hashlib.sha256()
    for path in sorted([*(path for pattern in SOURCES for path in ROOT.glob(pattern)), *outputs.sources()]):
        found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def resolve(app: Sphinx, env, node, contnode):
    """A reference by the name that the referring module itself uses: ``Mixture`` may be ``featmix.Mixture``."""
    module = node.get("py:module")
    if node.get("refdomain") != "py" or not module:
        return None
    found = _canonical(module, node["reftarget"], node.get("py:class"))
    objects = env.domains["py"].objects
    if found not in objects:
        return None
    entry = objects[found]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, found)


def keep_colons(app: Sphinx, what: str, name: str, obj, options, lines: list[str]) -> None:
    """napoleon takes what stands before the first colon of a property's docstring for a type; an empty comment prevents it."""
    if what == "property":
        lines[:0] = ["..", ""]


def _canonical(module: str, target: str, cls: str | None) -> str:
    owners = [importlib.import_module(module)]
    if cls is not None:  # documented under another name than that of its own module: look in that one too
        obj = _walk(owners[0], cls)
        owners += [inspect.getmodule(obj)] if inspect.getmodule(obj) else []
    for owner in owners:
        obj = _walk(owner, target)
        if obj is not None and hasattr(obj, "__qualname__"):
            return f"{obj.__module__}.{obj.__qualname__}"
    return ""


def _walk(obj, dotted: str):
    for name in dotted.split("."):
        obj = getattr(obj, name, None)
    return obj


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", generate)
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
