"""Write ``featmix/__init__.pyi``, so that editors and type checkers see what ``featmix`` offers, each strategy with its class.

Run ``python tools/stubs.py`` after adding a strategy or a public name. With ``--check`` nothing is written, and the exit status
is 1 where the file is stale.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import featmix as fm
from featmix.strategies.registry import BUILT_IN

STUB = Path(fm.__file__).with_suffix(".pyi")
HEADER = '"""The names of featmix for editors and type checkers. Written by tools/stubs.py; do not edit."""\n\n'


def strategy_names() -> list[str]:
    """Return the class names of the strategies in featmix itself; those of other packages are imported from there."""
    classes = [fm.strategy_class(name) for name in fm.list_strategies()]
    return [cls.__name__ for cls in classes if cls.__module__.startswith(f"{BUILT_IN}.")]


def home(name: str) -> str:
    """Return the module from which a type checker can import a public name of featmix.

    Args:
        name: An attribute of ``featmix``.

    Raises:
        ValueError: If it is neither a module, nor a class or function that says where it is defined.
    """
    if name in fm._LAZY or isinstance(getattr(fm, name), ModuleType):
        return fm.__name__
    thing = getattr(fm, name)
    module = getattr(thing, "__module__", None)
    if module is None or getattr(importlib.import_module(module), name, None) is not thing:
        raise ValueError(f"featmix.{name}: expected a module, or a class or function defined under this name, got {thing!r}")
    return str(module)


def imports() -> Iterator[str]:
    """Yield one line for each public name of featmix, in the order that ruff wants."""
    names = {*fm.__all__, *fm._LAZY, *strategy_names()}
    for module, name in sorted((home(name), name) for name in names):
        yield f"from {module} import {name} as {name}\n"


def stub() -> str:
    """Return the text that the stub file should have."""
    public = [f'    "{name}",\n' for name in sorted(fm.__all__)]
    return "".join([HEADER, *imports(), "\n__version__: str\n\n__all__ = [\n", *public, "]\n"])


def main(arguments: list[str] | None = None) -> int:
    """Write or check; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write featmix/__init__.pyi.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the file is stale")
    parser.add_argument("--stub", type=Path, default=STUB, help="the file")
    options = parser.parse_args(arguments)
    new = stub()
    if options.stub.exists() and options.stub.read_text(encoding="utf-8") == new:
        return 0
    if options.check:
        sys.stderr.write(f"{options.stub.name} is stale; run python tools/stubs.py\n")
        return 1
    options.stub.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
