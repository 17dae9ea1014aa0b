"""Tensors inside what a module takes and returns: tuples, lists, dicts, data classes and their kin."""

from __future__ import annotations

import copy
import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from types import SimpleNamespace
from typing import Any, TypeAlias

from torch import Tensor

from featmix.errors import FeatmixError

Path: TypeAlias = tuple[Any, ...]  # the way to a tensor: a key, an index or a field's name at each step


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
            return _with(value, {key: replace(child, wanted, function)})
    return value


def paths(value: Any) -> Iterator[tuple[Path, Tensor]]:
    """Return every tensor in a container with the way to it, however deep.

    Example:
        >>> import torch
        >>> [path for path, _ in paths({"out": torch.zeros(1), "aux": (torch.zeros(1), None)})]
        [('out',), ('aux', 0)]
    """
    if isinstance(value, Tensor):
        yield (), value
    else:
        for key, child in _children(value):
            for path, tensor in paths(child):
                yield (key, *path), tensor


def child_at(value: Any, path: Path) -> Any:
    """Return what stands at the end of a path."""
    for key in path:
        value = value[key] if isinstance(value, Mapping | list | tuple) else getattr(value, key)
    return value


def put(value: Any, changes: Mapping[Path, Any]) -> Any:
    """Return the same container, rebuilt, with other children at the ends of some paths; the original stays as it was.

    Raises:
        FeatmixError: If a container on the way cannot be rebuilt.

    Example:
        >>> put({"out": (1, 2), "aux": 3}, {("out", 1): 5})
        {'out': (1, 5), 'aux': 3}
    """
    if () in changes:
        return changes[()]
    children = {}
    for key in dict.fromkeys(path[0] for path in changes):
        below = {path[1:]: child for path, child in changes.items() if path[0] == key}
        children[key] = below[()] if () in below else put(child_at(value, (key,)), below)
    return _with(value, children)


def step_to(value: Any, step: str | int) -> Any:
    """Return the key, index or field of a container that a user names, by its name or its position; ``None`` for none.

    Example:
        >>> step_to({"out": 1, "aux": 2}, -1), step_to([1, 2], 0), step_to([1, 2], "aux")
        ('aux', 0, None)
    """
    keys = [key for key, _ in _children(value)]
    if step in keys:
        return step
    if isinstance(step, int):
        return keys[step] if -len(keys) <= step < len(keys) else None
    if isinstance(value, tuple):  # named tuples, and torch's own named results
        found = getattr(value, step, None)
        return next((key for key, child in _children(value) if found is not None and child is found), None)
    return None


def by_name(value: Any, path: Path) -> Path:
    """Return a path with the names of fields in place of their indices.

    Example:
        >>> from collections import namedtuple
        >>> by_name({"x": namedtuple("Pair", "image label")(1, 2)}, ("x", 1))
        ('x', 'label')
    """
    if not path:
        return ()
    fields = getattr(value, "_fields", None)
    return fields[path[0]] if fields else path[0], *by_name(child_at(value, path[:1]), path[1:])


def names_in(value: Any) -> list[str]:
    """Return what the children of a container are called, for messages."""
    named = getattr(value, "_fields", ())
    return [repr(named[key] if named else key) for key, _ in _children(value)]


def _children(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):  # before data classes: the outputs of transformers are both
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
    elif isinstance(value, SimpleNamespace):
        yield from vars(value).items()


def _with(value: Any, children: Mapping[Any, Any]) -> Any:
    if isinstance(value, MutableMapping):
        # What copy.copy does is not for compilers, and of a plain dictionary there is another way.
        changed = value.copy() if type(value) is dict or type(value) is OrderedDict else copy.copy(value)
        for key, child in children.items():
            changed[key] = child
        return changed
    if isinstance(value, Mapping):
        return type(value)({**value, **children})  # type: ignore[call-arg]
    if isinstance(value, list | tuple):
        items = [children.get(k, item) for k, item in enumerate(value)]
        try:
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        except TypeError as error:
            raise FeatmixError(
                "attach", expected="a container that can be rebuilt", got=f"{type(value).__name__}: {error}"
            ) from error
    changed = copy.copy(value)
    for key, child in children.items():
        object.__setattr__(changed, key, child)  # frozen data classes too; fields computed on creation stay as they are
    return changed
