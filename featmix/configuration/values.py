"""Values of settings: plain ones as they are, others under a tag for their kind, such as ``{linear: {start: 0, end: 1}}``.

Tags are defined in code; a file can use tags, but never add any.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from featmix.configuration.once import found_same, remember
from featmix.configuration.place import Place, shown
from featmix.configuration.plain import Plain, as_list, checked_number
from featmix.configuration.same import difference
from featmix.errors import FeatmixError, nearest


@dataclass(frozen=True)
class Codec:
    """A pair of functions that write and read values of one kind.

    Args:
        tag: The key that marks a dictionary as a value of this kind.
        handles: Returns whether a value is of this kind.
        write: Returns the value as a dictionary; refuses values that could not be read again.
        read: Returns the value from the dictionary.
        catches_all: Whether it takes all values that no other codec does, so that it is tried last.
    """

    tag: str
    handles: Callable[[Any], bool]
    write: Callable[[Any, Place], dict[str, Plain]]
    read: Callable[[dict[str, Plain], Place], Any]
    catches_all: bool = False


LEFT_BY_USE = frozenset(
    {"_params", "_output_image", "_lazy_matrix_args", "input_dtype", "mask_dtype", "_decision"}
    | {f"_transform_{name}" for name in ("matrix", "matrices", "matrix_params", "matrix_params_snapshot")}
)
"""Attributes of kornia's modules, and of adapted strategies, that tell of the last call."""

_codecs: dict[str, Codec] = {}


def add_codec(codec: Codec) -> None:
    """Register a kind of value; the last codec for a tag is used."""
    _codecs[codec.tag] = codec
    for last in [other.tag for other in _codecs.values() if other.catches_all]:
        _codecs[last] = _codecs.pop(last)


def write(value: Any, place: Place, *, exact: bool = False) -> Plain:
    """Return the value of a setting as plain values.

    Args:
        value: A plain value, or one that a codec handles. Sequences become lists, arrays of one number become that number.
        place: Its place in the configuration.
        exact: Whether to tag lists, which are read as tuples otherwise.

    Raises:
        FeatmixError: If it cannot be written.

    Example:
        >>> write((0.5, None), Place("to_dict"))
        [0.5, None]
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.generic):
        return write(value.item(), place, exact=exact)
    if type(value) is str:
        return value
    if type(value) is int or (type(value) is float and not math.isinf(value)):
        return checked_number(value, place)
    for codec in _codecs.values():
        if codec.handles(value):
            return codec.write(value, place)
    if type(value) is list and exact:
        return {"list": [write(item, place.item(i), exact=exact) for i, item in enumerate(value)]}
    if type(value) is list or type(value) is tuple:
        return [write(item, place.item(i), exact=exact) for i, item in enumerate(value)]
    if type(value) is dict:
        if all(type(key) is str for key in value) and not set(value) & {"list", "entries", *_codecs}:
            return {key: write(item, place.key(key), exact=exact) for key, item in value.items()}
        inside = place.key("entries")  # keys that are no text, such as constants
        return {"entries": [write(pair, inside.item(i), exact=exact) for i, pair in enumerate(value.items())]}
    fix = "A class or function of your own is let in by featmix.configuration.allow."
    raise place.refuse("what can be written to a configuration", shown(value), fix)


def read(value: Plain, place: Place) -> Any:
    """Return the value from a result of :func:`write`; lists become tuples, unless they are tagged.

    Raises:
        FeatmixError: If a tagged value is not of its kind.

    Example:
        >>> read([0.5, {"list": [1, 2]}], Place("from_dict"))
        (0.5, [1, 2])
    """
    if isinstance(value, list):
        return tuple(read(item, place.item(i)) for i, item in enumerate(value))
    if not isinstance(value, dict):
        return value
    for tag in value:
        if tag in _codecs:
            return _codecs[tag].read(value, place)
    for tag in ("list", "entries"):
        if tag in value:
            items = [read(item, place.key(tag).item(i)) for i, item in enumerate(_listed(value, tag, place))]
            return items if tag == "list" else _paired(items, place.key(tag))
    return {key: read(item, place.key(key)) for key, item in value.items()}


def _listed(value: dict[str, Plain], tag: str, place: Place) -> list[Plain]:
    check_names(value, [tag], place, f"{tag} alone")
    return as_list(value[tag], place.key(tag), "a list")


def _paired(items: list[Any], place: Place) -> dict[Any, Any]:
    try:
        return {key: item for key, item in items}  # noqa: C416 - a pair is demanded of each
    except (TypeError, ValueError) as error:
        raise place.refuse("pairs of a key and a value", str(error)) from error


def faithfully(
    value: Any,
    place: Place,
    written: Callable[[bool], dict[str, Plain]],
    again: Callable[[dict[str, Plain], Place], Any],
    *,
    state: Callable[[Any], Any] = lambda value: value,
    ignored: frozenset[str] = frozenset(),
) -> dict[str, Plain]:
    """Return the record of an object, after a check that a copy made from it equals the object.

    Args:
        value: The object.
        place: Its place in the configuration.
        written: Returns its dictionary; its argument says whether lists and tensors are tagged. Without tags it is easier to
            read, and most constructors convert tuples themselves.
        again: Makes the copy.
        state: Returns what is compared.
        ignored: Attributes that are not compared.

    Raises:
        FeatmixError: If the copy differs; the message names the first attribute that differs.
    """
    refusal: FeatmixError | None = None
    for exact in (False, True):
        tried = written(exact)
        try:
            made = again(tried, place)
            way = difference(state(value), state(made), ignored, same=found_same)
        except FeatmixError as error:
            refusal = error
            continue
        if not way:
            remember(value, tried, made)
            return tried
        refusal = unlike(value, way, place)
    raise refusal or place.refuse("an object", shown(value))


def unlike(value: Any, way: str, place: Place) -> FeatmixError:
    """Return the error for an object whose copy differs."""
    expected = f"a {type(value).__name__} that can be made again from its arguments"
    return place.refuse(expected, f"one with another {way}", "What it was made with cannot be read off it.")


def snake_case(name: str) -> str:
    """Return the name of a class in snake case, as in tags.

    Example:
        >>> snake_case("SwitchOff")
        'switch_off'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def check_names(given: Iterable[str], known: Iterable[str], place: Place, expected: str) -> None:
    """Refuse a name that is not known; the message names the nearest."""
    known = list(known)
    for name in given:
        if name not in known:
            raise place.key(name).refuse(expected, shown(name), nearest(name[:40], known))


def built(make: Callable[..., Any], settings: dict[str, Any], place: Place, *, names: dict[str, str] | None = None) -> Any:
    """Return ``make(**settings)``; its errors name the entry that caused them.

    Args:
        make: A constructor.
        settings: Its arguments.
        place: Their place in the configuration.
        names: Entries of the arguments whose entry has another name.
    """
    try:
        return make(**settings)
    except FeatmixError as error:
        # A helper's refusal names the helper's argument; the value that it shows tells which setting it was.
        shown_there = [name for name, value in settings.items() if repr(value) == str(error.got)]
        blamed = error.argument if error.argument in settings else shown_there[0] if len(shown_there) == 1 else None
        where = place if blamed is None else place.key((names or {}).get(blamed, blamed))
        raise where.refuse(error.expected or "what can be made", str(error.got or error), error.fix) from error
    except Exception as error:  # another library's constructor: whatever it finds wrong
        raise place.refuse(f"what {make.__name__} can be made with", f"{type(error).__name__}: {error}") from error
