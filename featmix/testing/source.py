"""Python that makes a subject again, for failures that are pasted."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import nn

from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy

ORIGIN = "made_as"  # the attribute in which adapters remember how they were called


def source(subject: Any) -> tuple[set[str], str]:
    """Return lines that import what is needed, and an expression that makes the subject; it is empty where there is none.

    Example:
        >>> import featmix as fm
        >>> lines, made = source(fm.Mixup(alpha=0.4))
        >>> made, sorted(lines)
        ('Mixup(alpha=0.4)', ['from featmix.strategies.mixup import Mixup'])
    """
    imports: set[str] = set()
    try:
        return imports, _expression(subject, imports)
    except _NoWordsError:
        return set(), ""


def remember(made: Any, function: Any, *arguments: Any, **settings: Any) -> Any:
    """Keep on ``made`` how it was made; returns it."""
    object.__setattr__(made, ORIGIN, (function, arguments, settings))
    return made


class _NoWordsError(Exception):
    """No expression makes it."""


def _expression(value: Any, imports: set[str]) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, torch.dtype):
        return str(value)
    if isinstance(value, list | tuple):
        inside = ", ".join(_expression(one, imports) for one in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_expression(k, imports)}: {_expression(v, imports)}" for k, v in value.items()) + "}"
    origin = getattr(value, "__dict__", {}).get(ORIGIN)
    if origin is not None:
        function, arguments, settings = origin
        return _call(function, arguments, settings, imports)
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return _name(value, imports)
    if isinstance(value, functools.partial):
        imports.add("import functools")
        return "functools.partial" + _call(None, (value.func, *value.args), value.keywords, imports)
    try:
        return _instance(value, imports)
    except _NoWordsError:
        name = _named(value, imports)
        if not name:
            raise
        return name


def _call(function: Any, arguments: tuple[Any, ...], settings: Mapping[str, Any], imports: set[str]) -> str:
    given = [_expression(one, imports) for one in arguments]
    given += [f"{name}={_expression(one, imports)}" for name, one in settings.items()]
    return f"{'' if function is None else _expression(function, imports)}({', '.join(given)})"


def _name(value: Any, imports: set[str]) -> str:
    """A class or function by its name: in the script itself, or where it can be imported from."""
    module, path = value.__module__, value.__qualname__.split(".")
    found: Any = sys.modules.get(module)
    typed_in = module == "__main__" or getattr(found, "__spec__", None) is None  # a script, a prompt, a notebook
    for part in path:
        found = getattr(found, part, None)
    if found is not value:
        raise _NoWordsError
    if not typed_in:
        imports.add(f"from {module} import {path[0]}")
    return ".".join(path)


def _named(value: Any, imports: set[str]) -> str:
    """The name that an object has in the module of its class, or in the script itself."""
    for module in (type(value).__module__, "__main__"):
        for name, found in list(vars(sys.modules.get(module, object())).items()) if module in sys.modules else ():
            if found is value and name.isidentifier() and not name.startswith("_"):
                imports.update(() if module == "__main__" else {f"from {module} import {name}"})
                return name
    return ""


def _instance(value: Any, imports: set[str]) -> str:
    cls, settings = type(value), {}
    try:
        if isinstance(value, Strategy):
            usual = _defaults(cls)
            settings = {k: v for k, v in value.settings().items() if not (k in usual and usual[k] == v)}
            norm = getattr(value, "normalizer", None)
            if norm is not None and type(norm) is not type(getattr(cls(**settings), "normalizer", None)):
                settings["norm"] = norm  # one of someone's own, which settings know by its name alone
        elif isinstance(value, Normalizer) or dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                kept = getattr(value, field.name)
                if field.init and not (field.default is not dataclasses.MISSING and field.default == kept):
                    settings[field.name] = kept
        elif isinstance(value, nn.Module) and cls.__module__.startswith("torch.nn"):
            imports.add("from torch import nn")
            return f"nn.{value!r}"
        made = cls(**settings)
    except Exception as error:
        raise _NoWordsError from error
    if not isinstance(value, Strategy | Normalizer) and repr(vars(made)) != repr(vars(value)):
        raise _NoWordsError
    return _call(cls, (), settings, imports)


def _defaults(cls: type[Any]) -> Mapping[str, Any]:
    try:
        settings: Mapping[str, Any] = cls().settings()
    except Exception:
        return {}
    return settings
