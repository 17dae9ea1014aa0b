"""Strategies: their name in the registry and all settings, so that changed defaults of later versions have no effect.

An adapted mixer of another library has the name of the function that adapts it: ``{name: from_kornia, mixer: ...}``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from featmix.configuration.arguments import names_of
from featmix.configuration.bounds import STRATEGY, check_bounds
from featmix.configuration.kinds import inner
from featmix.configuration.once import made_of, written_once
from featmix.configuration.place import Place, shown
from featmix.configuration.plain import Plain, as_dict, as_text
from featmix.configuration.same import difference
from featmix.configuration.values import LEFT_BY_USE, Codec, add_codec, built, check_names, faithfully, read, unlike, write
from featmix.errors import FeatmixError
from featmix.strategies.base import Strategy
from featmix.strategies.registry import list_strategies, strategy_class

_NAME = "name"
_ADAPTERS = {f"from_{library}": f"featmix.interop.{library}" for library in ("kornia", "torchvision")}


def write_strategy(strategy: Strategy, place: Place) -> Plain:
    """Return a strategy as plain values, such as ``{name: moex, norm: pono, ...}``.

    Raises:
        FeatmixError: If its class is not in the registry, a setting cannot be written, or its settings do not restore it.
    """
    return written_once(strategy, lambda: _written(strategy, place), lambda record: _check(strategy, record, place))


def _check(strategy: Strategy, record: dict[str, Plain], place: Place) -> None:
    way = difference(_state(strategy), _state(read_strategy(record, place)), LEFT_BY_USE)
    if way:
        raise unlike(strategy, way, place)


def _written(strategy: Strategy, place: Place) -> dict[str, Plain]:
    cls = type(strategy)
    name = _adapter_of(cls) or strategy.name
    if name not in _ADAPTERS and not (name in list_strategies() and strategy_class(name) is cls):
        raise place.refuse("a strategy that is in the registry", cls.__qualname__, "Decorate its class with featmix.register.")

    def written(exact: bool) -> dict[str, Plain]:
        settings = {name: write(value, place.key(name), exact=exact) for name, value in strategy.settings().items()}
        return {_NAME: name, **settings}

    return faithfully(strategy, place, written, read_strategy, state=_state, ignored=LEFT_BY_USE)


def read_strategy(value: Plain, place: Place) -> Strategy:
    """Make the strategy from a result of :func:`write_strategy`; missing settings have their defaults.

    Raises:
        FeatmixError: If there is no such strategy or setting, or a setting is out of range.
    """
    given = as_dict(value, place, "a strategy: {name: ..., and its settings}")
    remembered: Strategy | None = made_of(given)
    if remembered is not None:
        return remembered
    if _NAME not in given:
        raise place.refuse("the name of a strategy", shown(given), "For example {name: moex, norm: pono}.")
    name = as_text(given[_NAME], place.key(_NAME), "the name of a strategy")
    make, known = _maker(name, place.key(_NAME))
    settings = {key: item for key, item in given.items() if key != _NAME}
    check_names(settings, known, place, f"a setting of {make.__name__}")
    check_bounds(make, settings, place, STRATEGY)
    made: Strategy = built(make, {key: read(item, place.key(key)) for key, item in settings.items()}, place)
    return made


def _maker(name: str, place: Place) -> tuple[Callable[..., Strategy], list[str]]:
    """Return the constructor for this name, and the names of its settings."""
    try:
        if name in _ADAPTERS:
            adapt = getattr(importlib.import_module(_ADAPTERS[name]), name)
            return adapt, names_of(adapt)
        cls: Any = strategy_class(name[:80])
    except FeatmixError as error:
        raise place.refuse(error.expected, shown(name), error.fix) from error
    return cls, _setting_names(cls)


@lru_cache(maxsize=256)
def _setting_names(cls: Any) -> list[str]:
    return list(cls.setting_names())


def _adapter_of(cls: type) -> str | None:
    return next((name for name, module in _ADAPTERS.items() if cls.__module__.startswith(module)), None)


def _state(strategy: Strategy) -> dict[str, Any]:
    """Return settings and public attributes, such as a normalizer, for comparison."""
    public = {name: value for name, value in vars(strategy).items() if not name.startswith("_")}
    return {**public, **strategy.settings(), "training": None, "progress": None}


def _write(strategy: Strategy, place: Place) -> dict[str, Plain]:
    return {"strategy": write_strategy(strategy, place.key("strategy"))}


def _read(value: dict[str, Plain], place: Place) -> Strategy:
    return read_strategy(inner(value, "strategy", place), place.key("strategy"))


add_codec(Codec("strategy", lambda value: isinstance(value, Strategy), _write, _read))
