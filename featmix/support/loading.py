"""Objects of other people's code by their names: ``package.module:Object`` and ``path/to/file.py:Object``."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from featmix.errors import FeatmixError, nearest


def named_object(target: str, *, subject: str, argument: str) -> Any:
    """Return the object that ``package.module:Object`` or ``path/to/file.py:Object`` stands for; the module is run.

    Args:
        target: Its name, which a user has typed: never one that was read from a file.
        subject: Who asks for it, for messages.
        argument: Which argument named it, for messages.

    Raises:
        FeatmixError: If there is no such module or attribute, or the module cannot be imported.

    Example:
        >>> named_object("featmix.strategies.moex:MoEx", subject="check", argument="subject").__name__
        'MoEx'
    """
    file, _, rest = target.rpartition(":")
    name = file
    if file.endswith(".py"):
        found: Any = run_file(Path(file), subject, argument)
    else:
        name, _, rest = target.partition(":")
        found = import_module(name, subject, argument)
    for part in rest.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            public = [known for known in dir(found) if not known.startswith("_")]
            raise FeatmixError(
                subject, argument, expected=f"an attribute of {name}", got=repr(part), fix=nearest(part, public)
            ) from None
    return found


def import_module(name: str, subject: str, argument: str) -> ModuleType:
    """Import a module; one in the folder that the command is called in too.

    Raises:
        FeatmixError: If there is none, or it cannot be imported.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            parent, _, last = str(error.name).rpartition(".")
            fix = nearest(last, _modules(parent))
            raise FeatmixError(subject, argument, expected="a module", got=repr(error.name), fix=fix) from None
        got = f"{type(error).__name__}: {error}"
        raise FeatmixError(subject, argument, expected=f"{name} to be importable", got=got) from error


def run_file(file: Path, subject: str, argument: str) -> ModuleType:
    """Import a file under its own name; what stands beside it can be imported from it.

    Raises:
        FeatmixError: If there is none, it has the name of another module, or it cannot be imported.
    """
    if not file.is_file():
        beside = [str(found) for found in file.parent.glob("*.py")] if file.parent.is_dir() else []
        raise FeatmixError(subject, argument, expected="a file", got=repr(str(file)), fix=nearest(str(file), beside))
    known = sys.modules.get(file.stem)
    if known is not None and getattr(known, "__file__", None) and Path(str(known.__file__)).resolve() == file.resolve():
        return known
    taken = FeatmixError(
        subject, argument, expected="a file whose name is no other module's", got=repr(str(file)), fix="Rename it."
    )
    if known is not None or file.stem in sys.stdlib_module_names:
        raise taken
    if str(file.resolve().parent) not in sys.path:
        sys.path.insert(0, str(file.resolve().parent))
    found = import_module(file.stem, subject, argument)
    if Path(str(found.__file__)).resolve() != file.resolve():
        raise taken
    return found


def _modules(package: str) -> list[str]:
    """Names of the modules in a package, or of those in the current folder."""
    path = getattr(sys.modules[package], "__path__", []) if package else ["."]
    return [module.name for module in pkgutil.iter_modules(path)]
