"""Tensors inside what a module takes and returns: tuples, lists, dicts, data classes and their kin."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from featmix.errors import FeatmixError


def tensors(value: Any) -> Iterator[Tensor]:
    """Return every tensor in a container, however deep."""
    if isinstance(value, Tensor):
        yield value
    else:
        for _, child in _children(value):
            yield from tensors(child)


def first_tensor(value: Any) -> Tensor | None:
    """Return the first tensor in a container, or ``None``."""
    return next(tensors(value), None)


def replace(value: Any, wanted: Tensor | None, function: Callable[[Tensor], Tensor]) -> Any:
    """Return the same container, rebuilt, with the tensor wanted sent through ``function``; the original stays as it was.

    Raises:
        FeatmixError: If a container on the way cannot be rebuilt.

    Example:
        >>> import torch
        >>> x = torch.zeros(1)
        >>> replace((x, "state"), x, lambda x: x + 1)
        (tensor([1.]), 'state')
    """
    if isinstance(value, Tensor) and value is wanted:
        return function(value)
    for key, child in _children(value):
        if any(x is wanted for x in tensors(child)):
            return _with(value, key, replace(child, wanted, function))
    return value


def _children(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):  # before data classes: the outputs of transformers are both
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
    elif isinstance(value, SimpleNamespace):
        yield from vars(value).items()


def _with(value: Any, key: Any, child: Any) -> Any:
    if isinstance(value, MutableMapping):
        changed = copy.copy(value)
        changed[key] = child
        return changed
    if isinstance(value, Mapping):
        return type(value)({**value, key: child})  # type: ignore[call-arg]
    if isinstance(value, list | tuple):
        items = [child if k == key else item for k, item in enumerate(value)]
        try:
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        except TypeError as error:
            raise FeatmixError(
                "attach", expected="a container that can be rebuilt", got=f"{type(value).__name__}: {error}"
            ) from error
    changed = copy.copy(value)
    object.__setattr__(changed, key, child)  # frozen data classes too; fields computed on creation stay as they are
    return changed
