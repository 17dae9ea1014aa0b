"""Names that a configuration may use: classes and functions of a few modules, and those that code allows.

A file cannot allow any. A name is looked up among allowed objects, never imported: only the modules listed here are imported.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, TypeVar

from torch import nn

from featmix.configuration.bounds import raise_bounds
from featmix.configuration.place import Place, shown
from featmix.errors import FeatmixError, nearest
from featmix.support.extras import imported

_T = TypeVar("_T")

_OURS = ["featmix.interop.kornia_module", "featmix.interop.torchvision_transform"]
_MODULES = ["kornia.augmentation", "kornia.constants", "torchvision.transforms.v2", *_OURS]
_THINGS: dict[str, Any] = {f"torch.nn.{cls.__name__}": cls for cls in (nn.Sequential, nn.Identity)}
_NEVER = {
    "kornia.augmentation.RandomDissolving": "It downloads a model when it is made.",
    "torchvision.transforms.v2.Lambda": "It runs any function.",
}


def allow(thing: _T, *, most: Mapping[str, float] | None = None) -> _T:
    """Allow configurations to name your own class, function or module; call it before the configuration is loaded.

    Args:
        thing: A class, whose objects are written as class and arguments (each argument is the attribute of the same name); a
            function, which is written by name; or a module, with all public classes and functions that it defines.
        most: For a class of another library, or a strategy: the largest numbers that files may use for these arguments, such
            as ``{"num_holes_range": 50_000}``. They replace the usual bounds, which limit the memory that a file can use.

    Returns:
        The same object, so that it can be used as a decorator.

    Raises:
        FeatmixError: If it has no name by which it can be found, such as a lambda or a local function; or if ``most`` is given
            without a class, or has values other than positive numbers.

    Example:
        >>> import featmix as fm
        >>> @fm.configuration.allow
        ... def invert(images):
        ...     return 1 - images
        >>> pipeline = fm.from_dict(fm.to_dict(fm.Pipeline(batch=invert)))
        >>> pipeline.batch is invert
        True
    """
    if most is not None:
        if not isinstance(thing, type) or not all(isinstance(n, int | float) and n > 0 for n in most.values()):
            raise FeatmixError("allow", "most", expected="positive numbers by argument, of a class", got=shown(most))
        raise_bounds(thing, most)
    if isinstance(thing, ModuleType):
        for held in _public(thing).values():
            if held.__module__ == thing.__name__:
                _THINGS[_full_name(held)] = held
        return thing
    if not isinstance(thing, type | FunctionType | BuiltinFunctionType):
        fix = "Pass the class of an object, or the function itself."
        raise FeatmixError("allow", "thing", expected="a class, a function or a module", got=shown(thing), fix=fix)
    name = _full_name(thing)
    if "<" in name:
        raise FeatmixError("allow", "thing", expected="something defined at the top of a module", got=name)
    _THINGS[name] = thing
    return thing


def name_of(thing: Any) -> str | None:
    """Return the name under which a class or function is allowed; ``None`` if it is not."""
    for name, held in _THINGS.items():
        if held is thing:
            return name
    for module in _MODULES:
        name = f"{module}.{getattr(thing, '__name__', '')}"
        if module in sys.modules and name not in _NEVER and _library(module).get(thing.__name__) is thing:
            return name
    return None


def named(name: str, place: Place) -> Any:
    """Return the class or function that is allowed under a name.

    Raises:
        FeatmixError: If there is none, or its library is not installed or cannot be loaded.
    """
    if name in _NEVER:
        raise place.refuse("a class that a configuration may name", name, _NEVER[name])
    if name in _THINGS:
        return _THINGS[name]
    module, _, last = name.rpartition(".")
    if module not in _MODULES:
        known = [*_MODULES, *_THINGS]
        fix = "Other modules are let in by featmix.configuration.allow, in code. " + nearest(name[:80], known)
        raise place.refuse("the name of something that is allowed", shown(name), fix)
    imported(module, subject=place.subject, argument=place.path, install=module.partition(".")[0])
    found = _library(module)
    if last not in found:
        raise place.refuse(f"something that {module} has", shown(last), nearest(last[:40], found))
    return found[last]


def _public(module: ModuleType) -> dict[str, Any]:
    """Return public classes, including enumerations, and functions that come from the module's own package.

    For modules of featmix, only those that they define themselves.
    """
    home = module.__name__ if module.__name__ in _OURS else module.__name__.partition(".")[0]
    kinds = type | FunctionType | BuiltinFunctionType
    named = {name: thing for name, thing in vars(module).items() if not name.startswith("_") and isinstance(thing, kinds)}
    return {name: thing for name, thing in named.items() if f"{thing.__module__}.".startswith(f"{home}.")}


@lru_cache(maxsize=16)
def _library(module: str) -> dict[str, Any]:
    return _public(importlib.import_module(module))


def _full_name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"


def is_enumeration(thing: Any) -> bool:
    """Return whether a value is a class of named constants."""
    return isinstance(thing, type) and issubclass(thing, Enum)
