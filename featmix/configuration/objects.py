"""Objects of allowed classes, as class and arguments: ``{class: kornia.augmentation.RandomAffine, arguments: {...}}``.

The arguments are found from the object (``arguments.py``), and a copy is made from them: if the copy differs, the object is
refused (``same.py``).
"""

from __future__ import annotations

from enum import Enum
from itertools import islice
from types import BuiltinFunctionType, FunctionType
from typing import Any

from torch import Tensor

from featmix.configuration.allowed import is_enumeration, name_of, named
from featmix.configuration.arguments import members_of, names_of, possible_arguments, takes_members
from featmix.configuration.bounds import check_bounds
from featmix.configuration.kinds import inner, numbers
from featmix.configuration.once import made_of, written_once
from featmix.configuration.place import Place, shown
from featmix.configuration.plain import Plain, as_dict, as_list, as_text, plain
from featmix.configuration.same import difference
from featmix.configuration.values import LEFT_BY_USE, Codec, add_codec, built, check_names, faithfully, read, unlike, write
from featmix.errors import FeatmixError

_CLASS, _ARGUMENTS, _MEMBERS = "class", "arguments", "members"
_MOST_GUESSES = 100  # at the arguments of one object


def _write_object(thing: Any, place: Place) -> dict[str, Plain]:
    return written_once(thing, lambda: _written(thing, place), lambda record: _check(thing, record, place))


def _check(thing: Any, record: dict[str, Plain], place: Place) -> None:
    """Refuse an object whose copy differs as a whole, since a container may change its arguments."""
    plain(record, place)  # of bearable size, before it is made
    way = difference(thing, _read_object(record, place), LEFT_BY_USE)
    if way:
        raise unlike(thing, way, place)


def _written(thing: Any, place: Place) -> dict[str, Plain]:
    name = name_of(type(thing))
    if name is None:
        kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
        fix = "Let it in by featmix.configuration.allow, here and where the file is loaded."
        raise place.refuse("an object of a class that is allowed", kind, fix)
    record: dict[str, Plain] = {_CLASS: name}
    members = members_of(thing)
    if members is not None:
        record[_MEMBERS] = [write(member, place.key(_MEMBERS).item(i)) for i, member in enumerate(members)]
    refusal: FeatmixError | None = None
    for arguments in islice(possible_arguments(thing), _MOST_GUESSES):
        try:
            return _with_arguments(thing, record, arguments, place)
        except FeatmixError as error:
            refusal = refusal or error
    raise refusal or place.refuse("an object", shown(thing))


def _with_arguments(thing: Any, record: dict[str, Plain], arguments: dict[str, Any], place: Place) -> dict[str, Plain]:
    unwritable: list[FeatmixError] = []  # left to their defaults, which may be what they are

    def written(exact: bool) -> dict[str, Plain]:
        told: dict[str, Plain] = {}
        for argument, value in arguments.items():
            shorter = _deep_tuple(numbers(value)) if isinstance(value, Tensor) and not exact else value
            try:
                told[argument] = write(shorter, place.key(_ARGUMENTS).key(argument), exact=exact)
            except FeatmixError as error:
                unwritable.append(error)
        return {**record, _ARGUMENTS: told} if told else record

    try:
        return faithfully(thing, place, written, _read_object, ignored=LEFT_BY_USE)
    except FeatmixError as error:
        raise unwritable[0] if unwritable else error from error


def _read_object(value: dict[str, Plain], place: Place) -> Any:
    made = made_of(value)
    if made is not None:
        return made
    check_names(value, [_CLASS, _MEMBERS, _ARGUMENTS], place, "class, members and arguments")
    cls = named(as_text(value[_CLASS], place.key(_CLASS), "the name of a class"), place.key(_CLASS))
    if not isinstance(cls, type) or is_enumeration(cls):
        raise place.key(_CLASS).refuse("the name of a class", shown(value[_CLASS]), "Functions go under function:.")
    inside = place.key(_ARGUMENTS)
    given = as_dict(value.get(_ARGUMENTS, {}), inside, f"arguments of {cls.__name__}")
    check_names(given, names_of(cls), inside, f"an argument of {cls.__name__}")
    check_bounds(cls, given, inside)
    listed = as_list(value.get(_MEMBERS, []), place.key(_MEMBERS), "a list of members")
    if listed and not takes_members(cls):
        raise place.key(_MEMBERS).refuse("none", f"{len(listed)}", f"{cls.__name__} takes arguments only.")
    members = [read(item, place.key(_MEMBERS).item(i)) for i, item in enumerate(listed)]

    def make(**arguments: Any) -> Any:
        return cls(*members, **arguments)

    make.__name__ = cls.__name__
    return built(make, {name: read(item, inside.key(name)) for name, item in given.items()}, inside if given else place)


def _deep_tuple(value: Any) -> Any:
    return tuple(map(_deep_tuple, value)) if isinstance(value, list) else value


def _write_function(value: Any, place: Place) -> dict[str, Plain]:
    name = name_of(value)
    if name is None:
        fix = "Let it in by featmix.configuration.allow, here and where the file is loaded."
        raise place.refuse("a function that is allowed", f"{value.__module__}.{value.__qualname__}", fix)
    return {"function": name}


def _read_function(value: dict[str, Plain], place: Place) -> Any:
    found, place = inner(value, "function", place), place.key("function")
    function = named(as_text(found, place, "the name of a function"), place)
    if isinstance(function, type):
        raise place.refuse("the name of a function", shown(found), "Classes go under class:.")
    return function


def _write_constant(value: Enum, place: Place) -> dict[str, Plain]:
    name = name_of(type(value))
    if name is None:
        raise place.refuse("a constant of a class that is allowed", shown(value))
    return {"enum": f"{name}.{value.name}"}


def _read_constant(value: dict[str, Plain], place: Place) -> Any:
    found, place = inner(value, "enum", place), place.key("enum")
    name, _, member = as_text(found, place, "the name of a constant").rpartition(".")
    cls = named(name, place)
    if not is_enumeration(cls):
        raise place.refuse("a constant of an enumeration", shown(found))
    check_names([member], cls.__members__, place, f"a constant of {cls.__name__}")
    return cls.__members__[member]


add_codec(Codec("enum", lambda value: isinstance(value, Enum), _write_constant, _read_constant))
add_codec(Codec("function", lambda v: isinstance(v, FunctionType | BuiltinFunctionType), _write_function, _read_function))
add_codec(Codec(_CLASS, lambda v: callable(v) and not isinstance(v, type), _write_object, _read_object, catches_all=True))
