"""The library that a transform comes from, known by the modules of its class and its bases, without any import."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from types import BuiltinFunctionType, CellType, FunctionType, ModuleType
from typing import Any

from torch import nn

_MANY = 100  # entries of a container that a function uses: longer ones are data
_LIBRARIES = ("albumentations", "kornia", "torchvision.transforms.v2")


def library_of(transform: Any) -> str:
    """Return ``albumentations``, ``kornia``, ``torchvision.transforms.v2``, or empty for any other callable.

    Example:
        >>> library_of(nn.Identity())
        ''
    """
    return _library_of(type(transform))  # type: ignore[arg-type] # classes can be hashed


@cache
def _library_of(kind: type) -> str:
    for cls in kind.__mro__:
        for library in _LIBRARIES:
            if f"{cls.__module__}.".startswith(f"{library}."):
                return library
    return ""


def derives_from(transform: Any, names: tuple[str, ...]) -> bool:
    """Return whether the class of a transform is, or derives from, one of these classes, given by their full names."""
    return any(f"{cls.__module__}.{cls.__qualname__}" in names for cls in type(transform).__mro__)


def parts_of(transform: Any) -> Iterator[Any]:
    """Yield a transform and every transform within it, in submodules, lists and attributes."""
    yield from _walk(transform, set())


def _walk(value: Any, seen: set[int]) -> Iterator[Any]:
    if id(value) in seen or isinstance(value, type | str | bytes | int | float):
        return
    seen.add(id(value))
    if isinstance(value, list | tuple | set):
        held = list(value)
    elif isinstance(value, dict):
        held = list(value.values())
    elif not callable(value):
        return
    else:
        yield value
        held = list(vars(value).values()) if hasattr(value, "__dict__") else []
        if isinstance(value, nn.Module):
            held = [*value.children(), *(item for name, item in vars(value).items() if not name.startswith("_"))]
        if isinstance(value, partial):
            held = [value.func, *value.args, *value.keywords.values()]
        held.append(getattr(value, "__self__", None))  # of a bound method
        if isinstance(value, FunctionType):
            held += _used_by(value)
    for item in held:
        yield from _walk(item, seen)


def _used_by(function: FunctionType) -> list[Any]:
    """Return objects in the closure of a function, or used by a global name, except other functions and classes."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    named = [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]
    held = cells + [value for value in named if not isinstance(value, FunctionType | BuiltinFunctionType | ModuleType | type)]
    return [value for value in held if not isinstance(value, list | tuple | set | dict) or len(value) <= _MANY]


def _is_filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
