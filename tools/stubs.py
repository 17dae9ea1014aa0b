"""Write the stubs ``__init__.pyi``: editors and type checkers see what is found only when a program runs.

``featmix`` finds its strategies by walking a folder, and ``featmix.interop`` and ``featmix.trainers`` their modules.

Run ``python tools/stubs.py`` after adding a strategy or a public name. With ``--check`` nothing is written, and the exit status
is 1 where a stub is stale.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import ModuleType

import featmix as fm
from featmix.strategies.registry import BUILT_IN

PACKAGE = Path(fm.__file__).parent
LAZY: tuple[str, ...] = vars(fm)["_LAZY"]  # packages imported at first use
HEADER = '"""The names of {} for editors and type checkers. Written by tools/stubs.py; do not edit."""\n\n'


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
    if name in LAZY or isinstance(getattr(fm, name), ModuleType):
        return fm.__name__
    thing = getattr(fm, name)
    module = getattr(thing, "__module__", None)
    if module is None or getattr(importlib.import_module(module), name, None) is not thing:
        raise ValueError(f"featmix.{name}: expected a module, or a class or function defined under this name, got {thing!r}")
    return str(module)


def imports(names: Iterable[str], home_of: Callable[[str], str]) -> str:
    """Return one line for each name, in the order that ruff wants."""
    lines = sorted((home_of(name), name) for name in names)
    return "".join(f"from {module} import {name} as {name}\n" for module, name in lines)


def face() -> str:
    """Return the stub of ``featmix``: ``__all__``, the packages imported at first use, and the strategies."""
    public = "".join(f'    "{name}",\n' for name in sorted(fm.__all__))
    names = {*fm.__all__, *LAZY, *strategy_names()}
    return f"{HEADER.format('featmix')}{imports(names, home)}\n__version__: str\n\n__all__ = [\n{public}]\n"


def modules_of(package: ModuleType) -> str:
    """Return the stub of a package that imports its modules at first use."""
    return HEADER.format(package.__name__) + imports(dir(package), lambda _: package.__name__)


STUBS: dict[str, Callable[[], str]] = {
    "__init__.pyi": face,
    "interop/__init__.pyi": partial(modules_of, fm.interop),
    "trainers/__init__.pyi": partial(modules_of, fm.trainers),
}


def main(arguments: list[str] | None = None) -> int:
    """Write or check; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the stubs of featmix.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a stub is stale")
    parser.add_argument("--package", type=Path, default=PACKAGE, help="the folder of the package")
    options = parser.parse_args(arguments)
    stale = {name: text for name, stub in STUBS.items() if _read(options.package / name) != (text := stub())}
    for name, text in stale.items():
        if options.check:
            sys.stderr.write(f"featmix/{name} is stale; run python tools/stubs.py\n")
        else:
            (options.package / name).write_text(text, encoding="utf-8")
    return int(options.check and bool(stale))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
