"""Values that featmix itself can write: schedules, normalizers, torch's dtypes and small tensors."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix import schedule
from featmix.across.link import WORDS, Group
from featmix.configuration.bounds import INFINITE
from featmix.configuration.place import Place, shown
from featmix.configuration.plain import Plain, as_dict, as_text
from featmix.configuration.values import Codec, add_codec, built, check_names, read, snake_case, write
from featmix.normalizers.base import Normalizer
from featmix.normalizers.kinds import normalizer
from featmix.schedule import Schedule

_DTYPES = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_HELD: dict[torch.dtype, type | tuple[type, ...]] = {
    **dict.fromkeys(_FLOATS, (int, float)),
    **dict.fromkeys(_WHOLE, int),
    torch.bool: bool,
}
"""The dtypes that a file's tensors may have, and which of Python's numbers are theirs."""
_NORMALIZER = ("name", "layout", "eps", "unbiased", "positive_only")


def add_dataclass(cls: type) -> None:
    """Register a data class under its name in snake case; it is written field by field.

    Example:
        >>> write(schedule.switch_off(0.5, at=0.9), Place("to_dict"))
        {'switch_off': {'before': {'constant': {'value': 0.5}}, 'at': 0.9, 'value': 0.0}}
        >>> read({"linear": {"start": 0, "end": 0.5}}, Place("from_dict"))
        linear(start=0, end=0.5)
    """
    tag = snake_case(cls.__name__)
    names = [field.name for field in dataclasses.fields(cls) if field.init]

    def write_fields(value: Any, place: Place) -> dict[str, Plain]:
        return {tag: {name: write(getattr(value, name), place.key(tag).key(name)) for name in names}}

    def read_fields(value: dict[str, Plain], place: Place) -> Any:
        fields, place = inner(value, tag, place), place.key(tag)
        given = as_dict(fields, place, f"the fields of {cls.__name__}: {', '.join(names)}")
        check_names(given, names, place, f"a field of {cls.__name__}")
        return built(cls, {name: read(item, place.key(name)) for name, item in given.items()}, place)

    add_codec(Codec(tag, lambda value: type(value) is cls, write_fields, read_fields))


def inner(value: dict[str, Plain], tag: str, place: Place) -> Plain:
    """Return the value under a tag, which must be the only key."""
    check_names(value, [tag], place, f"{tag} alone")
    return value[tag]


def _write_normalizer(value: Normalizer, place: Place) -> dict[str, Plain]:
    place = place.key("normalizer")
    options = {name: getattr(value, name) for name in _NORMALIZER}
    if normalizer(**options) != value:
        raise place.refuse("a normalizer that featmix.normalizer makes", shown(value))
    return {"normalizer": {name: write(option, place.key(name)) for name, option in options.items()}}


def _read_normalizer(value: dict[str, Plain], place: Place) -> Normalizer:
    found, place = inner(value, "normalizer", place), place.key("normalizer")
    given = as_dict(found, place, f"a normalizer: {', '.join(_NORMALIZER)}")
    check_names(given, _NORMALIZER, place, "a setting of a normalizer")
    made: Normalizer = built(normalizer, dict(given), place)
    return made


def _write_dtype(value: torch.dtype, place: Place) -> dict[str, Plain]:
    return {"dtype": str(value).removeprefix("torch.")}


def _read_dtype(value: dict[str, Plain], place: Place) -> torch.dtype:
    found, place = inner(value, "dtype", place), place.key("dtype")
    name = as_text(found, place, "the name of a dtype of torch")
    check_names([name], _DTYPES, place, "a dtype of torch")
    return _DTYPES[name]


def numbers(value: Tensor) -> Any:
    """Return a tensor's numbers in Python, in the shortest form that restores them: a float32 0.1 is 0.1."""
    value = value.detach().cpu()
    if value.dtype == torch.float32:
        array = value.numpy()
        return np.array([float(str(number)) for number in array.ravel()]).reshape(array.shape).tolist()
    return value.tolist()


def _write_infinite(value: float, place: Place) -> dict[str, Plain]:
    return {INFINITE: 1 if value > 0 else -1}


def _read_infinite(value: dict[str, Plain], place: Place) -> float:
    sign = inner(value, INFINITE, place)
    if sign not in (1, -1) or isinstance(sign, bool):
        raise place.key(INFINITE).refuse("1 or -1", shown(sign))
    return math.inf * int(sign)


def _write_tensor(value: Tensor, place: Place) -> dict[str, Plain]:
    if value.dtype not in _HELD or value.requires_grad:
        raise place.refuse(f"a tensor without gradient, {_of_held()}", f"one of {value.dtype}")
    if value.is_floating_point() and not value.isfinite().all():
        raise place.refuse("a tensor of finite numbers", shown(value))
    return {"tensor": write(numbers(value), place), **_write_dtype(value.dtype, place)}


def _read_tensor(value: dict[str, Plain], place: Place) -> Tensor:
    check_names(value, ["tensor", "dtype"], place, "tensor and dtype")
    kind = _read_dtype({"dtype": value.get("dtype", "float32")}, place)
    if kind not in _HELD:
        raise place.key("dtype").refuse(_of_held(), str(kind).removeprefix("torch."))
    inside = place.key("tensor")
    data = read(value["tensor"], inside)
    _check_kind(data, _HELD[kind], inside)
    made: Tensor = built(torch.tensor, {"data": data, "dtype": kind}, place)
    if kind.is_floating_point and not made.isfinite().all():
        raise inside.refuse(f"numbers that {str(kind).removeprefix('torch.')} holds", shown(data))
    return made


def _check_kind(data: Any, of: type | tuple[type, ...], place: Place) -> None:
    """Refuse numbers that a dtype would change, such as 0.5 into 0."""
    if isinstance(data, tuple):
        for i, item in enumerate(data):
            _check_kind(item, of, place.item(i))
    elif not isinstance(data, of) or (of is not bool and isinstance(data, bool)):
        raise place.refuse("what the dtype holds", shown(data))


def _of_held() -> str:
    return "one of " + ", ".join(str(dtype).removeprefix("torch.") for dtype in _HELD)


def _no_group(_: Any, place: Place) -> Any:
    words = ", ".join(map(repr, WORDS))
    fix = "Give it to what was loaded: strategy.across = group."
    raise place.refuse(f"True, False or one of {words}", "a process group, which is of one run alone", fix)


for _cls in list(vars(schedule).values()):
    if isinstance(_cls, type) and issubclass(_cls, Schedule) and dataclasses.is_dataclass(_cls):
        add_dataclass(_cls)
add_codec(Codec("normalizer", lambda value: isinstance(value, Normalizer), _write_normalizer, _read_normalizer))
add_codec(Codec("tensor", lambda value: isinstance(value, Tensor), _write_tensor, _read_tensor))
add_codec(Codec(INFINITE, lambda value: type(value) is float and math.isinf(value), _write_infinite, _read_infinite))
add_codec(Codec("process_group", lambda value: isinstance(value, Group), _no_group, _no_group))
add_codec(Codec("dtype", lambda value: isinstance(value, torch.dtype), _write_dtype, _read_dtype))
