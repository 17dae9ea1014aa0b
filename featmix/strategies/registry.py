"""The strategies there are: found by walking ``featmix.strategies`` and the entry points of other packages."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, TypeVar

from featmix.errors import FeatmixError, nearest
from featmix.strategies.base import Strategy
from featmix.strategies.settings import unknown as unknown_setting
from featmix.support.arguments import helpful

BUILT_IN = "featmix.strategies"
ENTRY_POINT_GROUP = "featmix.strategies"

RESERVED = ("none", "input")  # the baseline of comparisons, and a model's own input

_broken: dict[str, FeatmixError] = {}  # entry points of other packages that cannot be loaded
_registered: dict[str, type[Strategy]] = {}
_walked = False
_S = TypeVar("_S", bound=type[Strategy])


def register(name: str) -> Callable[[_S], _S]:
    """Class decorator that gives a strategy its name in the registry.

    Args:
        name: Lower-case name; what ``create`` takes, in any case.

    Raises:
        FeatmixError: If the name is taken or is no identifier, or the class is no :class:`Strategy`.
    """
    if (
        not isinstance(name, str)
        or not name.replace("-", "_").isidentifier()
        or not name.isascii()
        or name != name.lower()
        or name in RESERVED
    ):
        expected = f"a lower-case identifier other than {', '.join(RESERVED)}"
        fix = f"Write @register({name.__name__.lower()!r}) above the class." if isinstance(name, type) else ""
        raise FeatmixError("register", "name", expected=expected, got=repr(name), fix=fix)

    def decorate(cls: _S) -> _S:
        if not (isinstance(cls, type) and issubclass(cls, Strategy)):
            raise FeatmixError("register", "cls", expected="a subclass of featmix.Strategy", got=repr(cls))
        if not cls.__module__.startswith(BUILT_IN):
            _strategies()  # what featmix brings comes first, so that a clash is blamed on the newcomer
        if name in _registered:
            raise FeatmixError(
                "register", "name", expected="a name that is free", got=f"{name!r}, which is {_registered[name].__qualname__}"
            )
        cls.name = name
        _registered[name] = cls
        return cls

    return decorate


def list_strategies(**tags: Any) -> list[str]:
    """Return sorted names of all strategies, or of those whose tags have the values given.

    Raises:
        FeatmixError: If there is no such tag, or a strategy's file or package cannot be imported.

    Example:
        >>> "mixstyle" in list_strategies(mixes_labels=False), "mixup" in list_strategies(mixes_labels=False)
        (True, False)
    """
    return sorted(name for name, cls in _strategies().items() if all(_tag(cls, k) == v for k, v in tags.items()))


def strategy_class(name: str) -> type[Strategy]:
    """Return the class registered under a name, in any case.

    Raises:
        FeatmixError: If there is none; the message names the nearest.
    """
    found = _strategies().get(name.lower()) if isinstance(name, str) and name.isascii() else None
    if found is None and isinstance(name, str) and name.lower() in _broken:
        raise _broken[name.lower()]
    if found is None:
        fix = nearest(str(name).lower(), _strategies())
        if isinstance(name, type) and issubclass(name, Strategy):
            fix = f"Make an instance: {name.__name__}()."
        raise FeatmixError("create", "name", expected="a strategy", got=repr(name), fix=fix)
    return found


@helpful("create", write="create('moex', norm='pono', lam=0.9)")
def create(name: str, **settings: Any) -> Strategy:
    """Make a strategy by name: ``create("moex", norm="pono")`` is ``MoEx("pono")``.

    Raises:
        FeatmixError: If the name or a setting is unknown, or a setting is out of range.

    Example:
        >>> create("MoEx", norm="pono", lam=0.9, p=0.5).p
        0.5
    """
    cls = strategy_class(name)
    known = cls.setting_names()
    for setting in settings:
        if setting not in known and setting != "across":  # of that, the strategy itself says what takes it
            raise unknown_setting(cls, setting)
    return cls(**settings)


def across_works() -> str:
    """Return with which strategies partners may be on other ranks, in words."""
    names = [name for name, cls in _strategies().items() if cls.lends_moments]
    return f"{', '.join(sorted(names))}, where they take no crops and remember nothing"


def _strategies() -> dict[str, type[Strategy]]:
    global _walked
    if not _walked:
        _walked = True  # before the walk: what it imports registers itself
        try:
            _walk()
        except BaseException:
            _walked = False
            raise
    return _registered


def _walk() -> None:
    package = importlib.import_module(BUILT_IN)
    for module in pkgutil.iter_modules(package.__path__, f"{BUILT_IN}."):
        if not module.name.rpartition(".")[2].startswith("_"):
            _load(module.name, partial(importlib.import_module, module.name))
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            loaded = _load(f"entry point {point.name} = {point.value}", point.load)
        except FeatmixError as error:
            if isinstance(error.__cause__, FeatmixError):  # refused by register: a name that is taken
                raise
            _broken[point.name.lower()] = error  # another package's fault must not take featmix's own strategies away
            warnings.warn(str(error), stacklevel=2)
            continue
        if not isinstance(loaded, ModuleType) and loaded not in _registered.values():
            register(point.name)(loaded)


def _load(source: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:
        for name in [name for name, cls in _registered.items() if cls.__module__ not in sys.modules]:
            del _registered[name]  # what a file registered before it broke would be in the way of the next try
        raise FeatmixError(
            "registry", source, expected="a strategy that can be imported", got=f"{type(error).__name__}: {error}"
        ) from error


def _tag(cls: type[Strategy], tag: str) -> Any:
    if not hasattr(cls.tags, tag):
        raise FeatmixError("list_strategies", tag, expected="a tag", got=repr(tag), fix=nearest(tag, vars(cls.tags)))
    return getattr(cls.tags, tag)
