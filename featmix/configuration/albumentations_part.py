"""Transforms of albumentations, by its own serialization, with checks before that is called.

``albumentations.from_dict`` makes any class of its registry, ignores unknown argument names, and uses defaults for some wrong
arguments. Its ``to_dict`` omits the mask interpolation, the seed and the strictness of ``Compose``. This module corrects both.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Iterator
from typing import Any

from featmix.configuration.allowed import name_of
from featmix.configuration.arguments import parameters_of
from featmix.configuration.bounds import check_bounds
from featmix.configuration.kinds import inner
from featmix.configuration.once import made_of, remember, written_once
from featmix.configuration.place import Place, shown
from featmix.configuration.plain import Plain, as_dict, as_list, as_text, plain
from featmix.configuration.same import difference
from featmix.configuration.values import Codec, add_codec, check_names, unlike, write
from featmix.errors import nearest
from featmix.pipeline.origin import library_of
from featmix.support.extras import imported

_TAG, _CLASS, _MEMBERS = "albumentations", "__class_fullname__", "transforms"
_QUIET = "NO_ALBUMENTATIONS_UPDATE"
_OURS = "featmix.interop.albumentations"
_MOST_TRIES = 8  # to make a transform again, each with fewer arguments
_HANDED_ON = ("additional_targets", "bbox_params", "keypoint_params")
_LEFT_BY_USE = frozenset({"params", "_images_was_list", "_masks_was_list", "is_sequence_input", "label_manager"})


def _write(transform: Any, place: Place) -> dict[str, Plain]:
    return written_once(transform, lambda: _written(transform, place), lambda _: None)


def _written(transform: Any, place: Place) -> dict[str, Plain]:
    library, place = _library(place), place.key(_TAG)
    try:
        told = library.to_dict(transform)["transform"]
    except Exception as error:  # its own: NotImplementedError and others
        raise place.refuse("a transform that albumentations can write", f"{type(error).__name__}: {error}") from error
    full = as_dict(plain(_plainly(_completed(transform, told), place), place), place, "a transform")
    for _ in range(_MOST_TRIES):
        made = _made(full, place)
        differing = _differing(transform, made, full)
        if not differing:
            record: dict[str, Plain] = {_TAG: full}
            remember(transform, record, made)
            return record
        stuck = [(held, way) for held, told, way in differing if told.pop(way, None) is None]
        if stuck:
            break
    held, _, way = differing[0]
    raise unlike(*(stuck or [(held, way)])[0], place)


def _differing(transform: Any, made: Any, told: dict[str, Any]) -> list[tuple[Any, dict[str, Any], str]]:
    """Return the transforms that differ after a round trip, each with its record and its first attribute that differs.

    An argument left to its default may restore it, since a default of None may mean more than the record says.
    """
    members = list(zip(transform.transforms, made.transforms, told[_MEMBERS], strict=True)) if _MEMBERS in told else []
    found = [one for before, after, inside in members for one in _differing(before, after, inside)]
    if found:
        return found
    same = {(id(before), id(after)) for before, after, _ in members}
    way = difference(transform, made, _LEFT_BY_USE, same=lambda a, b: (id(a), id(b)) in same)
    return [(transform, told, way.partition(".")[0])] if way else []


def _read(value: dict[str, Plain], place: Place) -> Any:
    made = made_of(value)
    return made if made is not None else _made(inner(value, _TAG, place), place.key(_TAG))


def _made(value: Plain, place: Place) -> Any:
    library = _library(place)
    checked = _checked(value, place)
    try:
        return library.from_dict({"transform": checked})
    except Exception as error:
        for leaf, where in _leaves(checked, place):
            _try_alone(library, leaf, where)
        raise place.refuse("what albumentations can make", f"{type(error).__name__}: {error}") from error


def _try_alone(library: Any, leaf: dict[str, Any], place: Place) -> None:
    """Make a single transform, to find out whether it is the one that fails."""
    try:
        library.from_dict({"transform": leaf})
    except Exception as error:
        report = getattr(error.__cause__, "errors", None)  # pydantic's, which knows the argument
        blamed = report()[0]["loc"] if callable(report) else ()
        where = place.key(str(blamed[0])) if blamed else place
        got = report()[0]["msg"] if blamed and callable(report) else f"{type(error).__name__}: {error}"
        raise where.refuse(f"what {leaf[_CLASS]} can be made with", got) from error


def _checked(value: Plain, place: Place) -> dict[str, Any]:
    """Check that all classes and arguments in a record are allowed; return it in strict mode, which refuses wrong ones."""
    given = as_dict(value, place, f"a transform: {{{_CLASS}: ..., and its arguments}}")
    at_name = place.key(_CLASS)
    name = as_text(given.get(_CLASS), at_name, "the name of a transform of albumentations")
    if name.startswith(f"{_OURS}."):
        importlib.import_module(_OURS)
    registry = _library(place).core.serialization.SERIALIZABLE_REGISTRY
    cls = registry.get(name)
    if cls is None or not (hasattr(cls, "set_random_seed") and _is_allowed(cls)):
        known = [known for known, other in registry.items() if _is_allowed(other)]
        raise at_name.refuse("a transform of albumentations", shown(name), nearest(name[:40], known))
    parameters = parameters_of(cls)
    arguments = {key: item for key, item in given.items() if key != _CLASS}
    check_names(arguments, [*parameters, "strict"], place, f"an argument of {name}")
    check_bounds(cls, {key: item for key, item in arguments.items() if key != _MEMBERS}, place)
    if cls.__module__.partition(".")[0] != "featmix":
        _check_reads_nothing(cls, arguments, place)
    for key, item in arguments.items():
        if key in parameters and isinstance(item, list) and _is_of_whole_numbers(item, parameters[key]):
            arguments[key] = tuple(item)  # type: ignore[assignment] # of a list albumentations would make floats
    if _MEMBERS in arguments:
        listed = as_list(arguments[_MEMBERS], place.key(_MEMBERS), "a list of transforms")
        arguments[_MEMBERS] = [_checked(item, place.key(_MEMBERS).item(i)) for i, item in enumerate(listed)]
    if "p" in parameters and "p" not in arguments and parameters["p"].default is not inspect.Parameter.empty:
        arguments["p"] = parameters["p"].default
    return {_CLASS: name, **arguments, **({"strict": True} if _validates(cls) else {})}


def _is_of_whole_numbers(item: list[Plain], parameter: inspect.Parameter) -> bool:
    """Return whether numbers are whole and mean pixels, where fractions would mean shares."""
    hint = str(parameter.annotation)
    return "tuple[int" in hint and "tuple[float" in hint and all(type(number) is int for number in item)


def _check_reads_nothing(cls: type, arguments: dict[str, Plain], place: Place) -> None:
    """Refuse a class whose arguments are files to read, or functions to call."""
    for name, parameter in parameters_of(cls).items():
        hint = str(parameter.annotation)
        if ("Path" in hint or "Callable" in hint) and arguments.get(name, parameter.default) is not None:
            raise place.refuse("a transform that reads no files and runs no functions", cls.__name__, f"It has {name}.")


def _is_allowed(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == _TAG or cls.__module__ == _OURS or name_of(cls) is not None


def _validates(cls: type) -> bool:
    """Return whether albumentations wraps the constructor of a class, which then takes ``strict``."""
    owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
    return "InitSchema" in vars(owner)


def _completed(transform: Any, told: dict[str, Any], outer: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the record with arguments that composes omit, without unknown ones and those inherited from a compose."""
    kind: Any = type(transform)
    parameters = parameters_of(kind)
    handed_on = {name: value for name, value in (outer or {}).items() if name in _HANDED_ON}
    full = {name: value for name, value in told.items() if name == _CLASS or name in parameters}
    full = {name: value for name, value in full.items() if name not in handed_on or value != handed_on[name]}
    if _MEMBERS not in told:
        return full
    full[_MEMBERS] = [_completed(held, one, told) for held, one in zip(transform.transforms, told[_MEMBERS], strict=True)]
    for name, parameter in parameters.items():
        if name not in full and getattr(transform, name, parameter.default) != parameter.default:
            full[name] = getattr(transform, name)
    return full


def _plainly(value: Any, place: Place) -> Plain:
    """Return the value as :func:`write` does, but without tags, since albumentations converts plain values itself."""
    if isinstance(value, dict):
        return {str(key): _plainly(item, place.key(str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plainly(item, place.item(i)) for i, item in enumerate(value)]
    return write(value, place)


def _leaves(value: dict[str, Any], place: Place) -> Iterator[tuple[dict[str, Any], Place]]:
    if _MEMBERS not in value:
        yield value, place
    for i, item in enumerate(value.get(_MEMBERS, [])):
        yield from _leaves(item, place.key(_MEMBERS).item(i))


def _library(place: Place) -> Any:
    before = os.environ.get(_QUIET)
    os.environ.setdefault(_QUIET, "1")  # importing it would ask a server for its newest version
    try:
        return imported(_TAG, subject=place.subject, argument=place.path, install="featmix[albumentations]")
    finally:
        if before is None:
            del os.environ[_QUIET]


add_codec(Codec(_TAG, lambda value: library_of(value) == _TAG and not isinstance(value, type), _write, _read))
