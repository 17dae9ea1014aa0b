"""Finds the constructor arguments of an object from its attributes.

kornia and torchvision do not keep them in one place: an argument may be an attribute, one of kornia's flags, or in the
generator that draws kornia's parameters, under another name. The results are guesses, which the caller has to verify.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache
from types import MethodType
from typing import Any

from torch import Tensor, nn

_MISSING = object()
_DEEPEST, _LONGEST = 5, 8


def possible_arguments(thing: Any) -> Iterator[dict[str, Any]]:
    """Yield guesses of an object's constructor arguments, the best first; arguments that are not found have their defaults.

    If one argument is missing, any value in the object is a candidate for it.

    Example:
        >>> next(possible_arguments(nn.Dropout(0.25)))
        {'p': 0.25, 'inplace': False}
    """
    generator = getattr(thing, "_param_generator", None)
    samplers = getattr(generator, "samplers", ())
    # A generator with samplers holds their bounds under their names too, which are no longer what it was given.
    holders = [thing] if samplers else [thing, generator]
    found = {name: _found(holders, name) for name in names_of(type(thing))}
    missing = [name for name, value in found.items() if value is _MISSING]
    known = {name: value for name, value in found.items() if value is not _MISSING}
    if samplers and len(samplers) == len(missing):  # kornia's PlainUniformGenerator: (range, name, centre, bounds), in order
        known |= {name: sampler[0] for name, sampler in zip(missing, samplers, strict=True)}
        missing = []
    yield from _read_otherwise(thing, known)
    if len(missing) == 1:
        for candidate in _held(thing, 0, set()):
            yield from _read_otherwise(thing, {**known, missing[0]: candidate})


def _read_otherwise(thing: Any, known: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the arguments found, and other candidates where an attribute of that name is not what was given."""
    yield known
    words = {name: word for name, value in known.items() if (word := _word(value))}
    if words or None in known.values():  # what is kept as None may be what a number of nothing became
        yield {**known, **words}
        yield {name: value for name, value in {**known, **words}.items() if value is not None}
    bounds, for_all = known.get("random_apply"), getattr(thing, "p_batch", None)
    if isinstance(bounds, tuple):  # its containers keep the upper bound plus one
        yield {**known, "random_apply": (bounds[0], bounds[1] - 1)}
    if "p" in known and "p_batch" not in known and for_all is not None:  # some transforms gate the batch by what they call p
        yield {**known, "p": for_all}


def _word(value: Any) -> str:
    """Return the word for a constant, or a choice of constants, that timm's transforms keep; empty for others."""
    if isinstance(value, tuple) and len(value) > 1 and all(isinstance(each, Enum) for each in value):
        return "random"
    return value.value if isinstance(value, Enum) and isinstance(value.value, str) else ""


def members_of(thing: Any) -> list[Any] | None:
    """Return a container's modules if its constructor takes any number of them, else ``None``."""
    if not takes_members(type(thing)) or not isinstance(thing, nn.Module):
        return None
    return list(thing._modules.values())


def takes_members(cls: type) -> bool:
    """Return whether the constructor of a class takes any number of positional arguments."""
    return any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters_of(cls).values())


@lru_cache(maxsize=1024)
def parameters_of(make: Any) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a constructor or function by name."""
    return inspect.signature(make).parameters


def names_of(make: Any) -> list[str]:
    """Return the names of the parameters that can be passed by keyword.

    Example:
        >>> names_of(nn.Dropout)
        ['p', 'inplace']
    """
    return [p.name for p in parameters_of(make).values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _found(holders: list[Any], name: str) -> Any:
    flags = getattr(holders[0], "flags", None)
    if isinstance(flags, dict) and name in flags:
        return flags[name]
    for holder in holders:
        for attribute in (name, f"_{name}"):
            value = getattr(holder, attribute, _MISSING)
            if value is not _MISSING and not isinstance(value, MethodType):
                return value
    return _MISSING


def _held(value: Any, depth: int, seen: set[Any]) -> Iterator[Any]:
    """Yield numbers, words, and short sequences and tensors of numbers anywhere in an object, each once."""
    if isinstance(value, bool) or value is None or depth > _DEEPEST:
        return
    if isinstance(value, int | float | str) or (isinstance(value, Tensor) and value.numel() <= _LONGEST):
        told = repr(value)
        if told not in seen:
            seen.add(told)
            yield value
    elif isinstance(value, list | tuple):
        if len(value) <= _LONGEST and all(isinstance(item, int | float) for item in value):
            yield value
        for item in value:
            yield from _held(item, depth + 1, seen)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _held(item, depth + 1, seen)
    elif hasattr(value, "__dict__") and not isinstance(value, type) and not callable(getattr(value, "__code__", None)):
        for item in vars(value).values():
            yield from _held(item, depth + 1, seen)
