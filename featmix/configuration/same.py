"""Compares a copy of an object with the original, in every number.

A library does not promise that the arguments of its constructor can be found from an object. The arguments found are therefore
tested: a copy is made from them, and the object is refused if anything differs.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor

_BY_VALUE = (str, bytes, int, complex, Enum, torch.dtype, torch.device, torch.Size, type, set, frozenset, range, np.generic)


def difference(
    first: Any,
    second: Any,
    ignored: frozenset[str] = frozenset(),
    *,
    same: Callable[[Any, Any], bool] = operator.is_,
) -> str:
    """Return the path of the first difference between two objects; empty if there is none.

    Random generators count as equal in any state, since the state is no part of a configuration.

    Args:
        first: Anything.
        second: The object that should be equal.
        ignored: Attributes that only result from use and do not influence later calls.
        same: Whether two objects within are known to be equal, so that they are not compared.

    Example:
        >>> difference({"size": (4, 4), "p": 0.5}, {"size": [4, 4], "p": 0.5})
        'size'
        >>> difference(torch.nn.Conv2d(1, 1, 1, bias=False).eval(), torch.nn.Conv2d(1, 1, 1, bias=False)) != ""
        True
    """
    way = _Comparison(ignored, same).differs(first, second)
    return "" if way is None else way.lstrip(".") or "kind"


class _Comparison:
    def __init__(self, ignored: frozenset[str], same: Callable[[Any, Any], bool]) -> None:
        self.ignored, self.same = ignored, same
        self.met: dict[tuple[int, int], tuple[Any, Any]] = {}  # holds what it names, so that an id stays that object's

    def differs(self, a: Any, b: Any) -> str | None:
        """Return the path of the first difference, as a suffix; ``None`` if there is none."""
        if a is b or self.same(a, b):
            return None
        if _is_stream(a) and _is_stream(b):
            return None
        if type(a) is not type(b):
            return ""
        if (id(a), id(b)) in self.met:
            return None
        self.met[id(a), id(b)] = (a, b)
        if isinstance(a, float | np.floating):
            return None if repr(a) == repr(b) else ""  # tells the zeros apart, and finds a NaN like itself
        if isinstance(a, Tensor | np.ndarray):
            return None if _same_array(a, b) else ""
        if isinstance(a, _BY_VALUE):
            return None if a == b else ""
        if isinstance(a, dict):
            return self.first(zip(map(str, a), a.values(), b.values(), strict=True)) if list(a) == list(b) else ""
        if isinstance(a, list | tuple):
            return self.first((str(i), x, y) for i, (x, y) in enumerate(zip(a, b, strict=True))) if len(a) == len(b) else ""
        return self.of_objects(a, b)

    def of_objects(self, a: Any, b: Any) -> str | None:
        if isinstance(a, FunctionType):
            cells = [tuple(cell.cell_contents for cell in f.__closure__ or ()) for f in (a, b)]
            same = a.__code__ is b.__code__
            return self.first([("", cells[0], cells[1]), ("", a.__defaults__, b.__defaults__)]) if same else ""
        if isinstance(a, MethodType):
            return self.first([("", a.__func__, b.__func__), ("", a.__self__, b.__self__)])
        if isinstance(a, partial):
            return self.first([("", (a.func, a.args, a.keywords), (b.func, b.args, b.keywords))])
        if isinstance(a, BuiltinFunctionType) or not hasattr(a, "__dict__"):
            return ""
        mine, yours = ({k: v for k, v in sorted(vars(x).items()) if k not in self.ignored} for x in (a, b))
        only_one = sorted(mine.keys() ^ yours.keys())
        return f".{only_one[0]}" if only_one else self.differs(mine, yours)

    def first(self, parts: Iterable[tuple[str, Any, Any]]) -> str | None:
        for name, x, y in parts:
            way = self.differs(x, y)
            if way is not None:
                return f".{name}{way}" if name else way
        return None


def _is_stream(value: Any) -> bool:
    return isinstance(value, random.Random | torch.Generator) or type(value).__module__.startswith("numpy.random")


def _same_array(a: Any, b: Any) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if isinstance(a, Tensor):
        return a.device == b.device and a.requires_grad == b.requires_grad and torch.equal(a, b)
    return bool(np.array_equal(a, b))
