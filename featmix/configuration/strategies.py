"""Strategies: their name in the registry, and all of their settings, so that a later default changes nothing."""

from __future__ import annotations

from typing import Any

from featmix.configuration.place import Place, shown
from featmix.configuration.plain import Plain, as_dict, as_text
from featmix.configuration.values import built, check_names, faithfully, read, write
from featmix.errors import FeatmixError
from featmix.registry import strategy_class
from featmix.strategy import Strategy

_NAME = "name"


def write_strategy(strategy: Strategy, place: Place) -> Plain:
    """``{name: moex, norm: pono, ...}``.

    Raises:
        FeatmixError: If its class is not in the registry, a setting cannot be written, or its settings do not make it again.
    """
    cls = type(strategy)
    try:
        registered = strategy_class(strategy.name)
    except FeatmixError:
        registered = None
    if registered is not cls:
        raise place.refuse("a strategy that is in the registry", cls.__qualname__, "Decorate its class with featmix.register.")

    def written(exact: bool) -> dict[str, Plain]:
        settings = {name: write(value, place.key(name), exact=exact) for name, value in strategy.settings().items()}
        return {_NAME: strategy.name, **settings}

    return faithfully(strategy, place, written, read_strategy, state=_state)


def read_strategy(value: Plain, place: Place) -> Strategy:
    """The strategy that :func:`write_strategy` wrote; settings that are not there have their defaults.

    Raises:
        FeatmixError: If there is no such strategy or setting, or a setting is out of range.
    """
    given = as_dict(value, place, "a strategy: {name: ..., and its settings}")
    if _NAME not in given:
        raise place.refuse("the name of a strategy", shown(given), "For example {name: moex, norm: pono}.")
    name = as_text(given[_NAME], place.key(_NAME), "the name of a strategy")
    try:
        cls = strategy_class(name[:80])
    except FeatmixError as error:
        raise place.key(_NAME).refuse(error.expected, shown(name), error.fix) from error
    settings = {key: item for key, item in given.items() if key != _NAME}
    check_names(settings, cls.setting_names(), place, f"a setting of {cls.__name__}")
    made: Strategy = built(cls, {key: read(item, place.key(key)) for key, item in settings.items()}, place)
    return made


def _state(strategy: Strategy) -> dict[str, Any]:
    """What it was made with, as far as it shows: settings, and public attributes such as a normalizer."""
    public = {name: value for name, value in vars(strategy).items() if not name.startswith("_")}
    return {**public, **strategy.settings(), "training": None, "progress": None}
