"""Tensors inside what a module returns: tuples, lists, dicts, data classes and their kin."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from torch import Tensor


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in a container, however deep."""
    if isinstance(value, Tensor):
        yield value
    else:
        for _, child in _children(value):
            yield from tensors(child)


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor in a container, or ``None``."""
    return next(tensors(value), None)


def replace_first(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """The same container, rebuilt, with its first tensor sent through ``function``; the original stays as it was.

    Example:
        >>> import torch
        >>> replace_first((torch.zeros(1), "state"), lambda x: x + 1)
        (tensor([1.]), 'state')
    """
    if isinstance(value, Tensor):
        return function(value)
    for key, child in _children(value):
        if first_tensor(child) is not None:
            return _with(value, key, replace_first(child, function))
    return value


def _children(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, MutableMapping):  # before data classes: the outputs of transformers are both
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))


def _with(value: Any, key: Any, child: Any) -> Any:
    if isinstance(value, MutableMapping):
        changed = copy.copy(value)
        changed[key] = child
        return changed
    if isinstance(value, list | tuple):
        items = [child if k == key else item for k, item in enumerate(value)]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return dataclasses.replace(value, **{key: child})
