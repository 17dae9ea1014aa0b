"""Bounds on the numbers in a file, so that the transforms that it describes take limited time and memory.

A crop of 10^9 pixels, or 10^8 holes, would end the process. Code is free to use such numbers; it allows them for files by
``featmix.configuration.allow`` and ``most=``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from featmix.configuration.place import Place
from featmix.configuration.plain import Plain


class Bound(NamedTuple):
    """The largest absolute value of a number, and the smallest one except 0."""

    most: float
    least: float = 0.0


INFINITE = "infinite"  # the tag of a number that is beyond all bounds
SIDE = Bound(4096)  # pixels of a side, and whatever else is not named below
STRATEGY = Bound(1e6)  # strategies check their own ranges; what this leaves out is counted

_BY_NAME: list[tuple[re.Pattern[str], Bound]] = [
    (re.compile(pattern), bound)
    for pattern, bound in [
        # What says which value, and not how many or how large: it costs nothing.
        (
            r"seed|fill|value|color|thresh|mean|std|area|temperature|max_val|weights|ignore|excluded|[xy]_m(in|ax)",
            Bound(math.inf),
        ),
        (r"memory|num_classes", Bound(65_536)),
        (r"num_control_points", Bound(32)),  # a system of so many equations squared
        (r"grid|nb_(rows|cols)", Bound(128)),
        (r"step_factor", Bound(16, 1e-3)),
        (r"scale|side_range|percent|max_factor", Bound(16)),  # times the side of the image
        (r"number_of_drops|n_segments", Bound(10_000)),
        (r"n|num_.*|.*number.*|iterations|trials|max_objects|mixture_width|chain_depth|severity|times", Bound(1000)),
    ]
]
_WHOLE_NAME = _BY_NAME[-1][0]
_LIBRARIES = ("kornia", "torchvision", "albumentations", "featmix")
_raised: dict[type, dict[str, float]] = {}


def raise_bounds(cls: type, most: Mapping[str, float]) -> None:
    """Allow larger numbers in files for a class."""
    _raised.setdefault(cls, {}).update(most)


def check_bounds(make: Any, given: Mapping[str, Plain], place: Place, usual: Bound = SIDE) -> None:
    """Refuse numbers that are out of bounds.

    Args:
        make: The class that gets them; a class of the user has only the bounds given for it.
        given: Its arguments, as plain values.
        place: Their place in the configuration.
        usual: The bound of an argument whose name has no bound of its own.

    Raises:
        FeatmixError: If a number is out of bounds; the message says how code can allow it.
    """
    own = _raised.get(make, {})
    ours = getattr(make, "__module__", "").partition(".")[0] in _LIBRARIES
    for name, value in given.items():
        for inner, number, where in _numbers(name, value, place.key(name)):
            bound = Bound(own[name]) if name in own else _bound_of(inner, usual) if ours else Bound(math.inf)
            if abs(number) > bound.most or 0 < abs(number) < bound.least:
                expected = f"a number up to {bound.most:g}" + (f", and not below {bound.least:g}" if bound.least else "")
                fix = f"Code lets in more by featmix.configuration.allow({make.__name__}, most={{{name!r}: ...}})."
                raise where.refuse(expected, repr(number), fix)


def _bound_of(name: str, usual: Bound) -> Bound:
    for pattern, bound in _BY_NAME:
        if pattern.fullmatch(name) if pattern is _WHOLE_NAME else pattern.search(name):
            return bound
    return usual


def _numbers(name: str, value: Plain, place: Place) -> Iterator[tuple[str, float, Place]]:
    """Yield the numbers of an argument, each with the innermost name above it."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, int | float):
        yield name, value, place
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _numbers(name, item, place.item(i))
    elif list(value) == [INFINITE]:
        yield name, math.inf, place
    elif "class" not in value and "strategy" not in value:  # others check their own
        for key, item in value.items():
            yield from _numbers(key if key.isascii() and key not in _TAGS else name, item, place.key(key))


_TAGS = frozenset({"list", "entries", "tensor", "x", "y"})
