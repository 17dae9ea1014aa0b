"""Laws of round trips: a copy, a pickle, the settings and a file give back a strategy that decides and acts the same."""

from __future__ import annotations

import copy
import importlib.util
import json
import pickle
import warnings
from typing import Any

from featmix.configuration import from_dict, to_dict
from featmix.configuration.place import Place
from featmix.configuration.values import read, write
from featmix.errors import FeatmixError
from featmix.normalizers.base import Normalizer
from featmix.normalizers.kinds import normalizer
from featmix.strategies.base import Strategy
from featmix.strategies.registry import list_strategies, strategy_class
from featmix.testing.inputs import noise
from featmix.testing.law import CannotRunError, demand, law, same_bits
from featmix.testing.seen import seen
from featmix.testing.source import ORIGIN
from featmix.testing.uses import demand_alike, ordinary, same_values, sample_of

MADE_BY_THEIR_CLASS = "strategies that are made by their class, with featmix's own normalizers"


def has_settings(strategy: Strategy) -> bool:
    """Return whether it is made by the constructor of its class from settings alone: no adapter, no normalizer of one's own."""
    norm = getattr(strategy, "normalizer", None)
    return ORIGIN not in vars(strategy) and (not isinstance(norm, Normalizer) or _known(norm))


@law(
    "strategy",
    cause="A __getstate__ or __reduce__ that leaves a setting out, or state in a place that pickle does not see.",
    drawn=False,
)
def pickles(strategy: Strategy) -> None:
    """A pickled strategy comes back with the same settings, and decides and acts the same with the same seeds.

    No tolerance. What cannot be pickled, because it holds a local function, says so.
    """
    seen(ordinary(strategy)[0], 0)
    try:
        written = pickle.dumps(strategy)
    except Exception as error:
        raise CannotRunError(f"it cannot be pickled: {type(error).__name__}: {error}") from error
    _demand_same(strategy, pickle.loads(written), "what comes back from a pickle")


@law("strategy", cause="A __deepcopy__ that returns the object itself, or leaves a setting out.", drawn=False)
def copies(strategy: Strategy) -> None:
    """A deep copy has the same settings, and decides and acts the same; changing it does not change the original.

    No tolerance.
    """
    seen(ordinary(strategy)[0], 0)
    made = copy.deepcopy(strategy)
    _demand_same(strategy, made, "a deep copy")
    kept, own = strategy.p, [parameter.data_ptr() for parameter in strategy.parameters()]
    try:
        made.p = 0.25 if kept == 0.0 else 0.0
        demand(same_values(strategy.p, kept), "a setting that changes in a deep copy changes in the original")
    finally:
        strategy.p = kept
    shared = set(own) & {parameter.data_ptr() for parameter in made.parameters()} - {0}
    demand(not shared, "a deep copy shares its parameters with the original")


@law(
    "strategy",
    cause="An argument of the constructor that is kept under another name, rounded, or changed before it is kept.",
    drawn=False,
    applies=has_settings,
    whom=MADE_BY_THEIR_CLASS,
)
def settings(strategy: Strategy) -> None:
    """The constructor takes what ``settings()`` returns, and makes a strategy that prints, decides and acts the same.

    No tolerance.
    """
    seen(ordinary(strategy)[0], 0)
    _demand_same(strategy, _made(strategy, strategy.settings()), "what its settings make")


@law(
    "strategy",
    cause="Settings compared by identity, or shared with the caller, where a file gives back equal ones that are others.",
    drawn=False,
    applies=has_settings,
    whom=MADE_BY_THEIR_CLASS,
)
def configuration(strategy: Strategy) -> None:
    """Settings written to a file and read again make a strategy that decides and acts the same.

    As :func:`featmix.save` writes them, in YAML where PyYAML is there and in JSON elsewhere. No tolerance.
    """
    seen(ordinary(strategy)[0], 0)
    known = strategy.name in list_strategies() and strategy_class(strategy.name) is type(strategy)
    kept = strategy.settings()
    try:
        plain: Any = to_dict(strategy) if known else {name: write(kept[name], Place(name), exact=True) for name in kept}
    except FeatmixError as error:
        raise CannotRunError(f"it cannot be written: {error}") from error
    there = _through_text(plain)
    made = from_dict(there) if known else _made(strategy, {name: read(there[name], Place(name)) for name in there})
    _demand_same(strategy, made, "what a file gives back")


@law("normalizer", cause="A field that is kept elsewhere than where pickle, copies and files look for it.", drawn=False)
def normalizer_round_trip(norm: Normalizer) -> None:
    """A normalizer that was copied, pickled or written to a file prints the same, and gives the same moments.

    No tolerance. What cannot be pickled or written, as an object of one's own may not, is tried by a copy alone.
    """
    x = noise(3, *sample_of(norm), seed=5)
    seen(x)
    found: dict[str, Normalizer] = {"a deep copy": copy.deepcopy(norm)}
    try:
        written = pickle.dumps(norm)
    except Exception:
        written = None
    if written is not None:
        found["what comes back from a pickle"] = pickle.loads(written)
    if _known(norm):
        found["what a file gives back"] = from_dict(_through_text(to_dict(norm)))
    xh, moments = norm.normalize(x)
    for what, other in found.items():
        demand(type(other).__qualname__ == type(norm).__qualname__ and repr(other) == repr(norm), f"{what} is {other!r}")
        again, same = other.normalize(x)
        alike = same_bits(again, xh) and same_bits(same.mean, moments.mean) and same_bits(same.std, moments.std)
        demand(alike, f"{what} gives other moments")


def _demand_same(strategy: Strategy, other: Any, what: str) -> None:
    demand(isinstance(other, Strategy), f"{what} is no strategy: {type(other).__name__}")
    mine = _readable(strategy)
    if mine is not None:
        its = other.settings()
        changed = [name for name in mine if name not in its or not same_values(mine[name], its[name])]
        demand(not changed, f"{what} has another {', '.join(changed)}: {[its.get(name) for name in changed]}")
        demand(repr(other) == repr(strategy), f"{what} prints otherwise: {other!r}")
    demand_alike(strategy, other, what)


def _readable(strategy: Strategy) -> dict[str, Any] | None:
    """Its settings, where it has any that can be read; that they can is what ``settings`` demands."""
    try:
        return strategy.settings() if has_settings(strategy) else None
    except AttributeError:
        return None


def _made(strategy: Strategy, given: dict[str, Any]) -> Strategy:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a constructor that turns settings into tensors
        made = type(strategy)(**given)
    if any(True for _ in strategy.parameters()) or any(True for _ in strategy.buffers()):
        made.load_state_dict(strategy.state_dict())  # what was learnt is no setting
    return made.train(strategy.training)


def _through_text(plain: Any) -> Any:
    if importlib.util.find_spec("yaml") is None:
        return json.loads(json.dumps(plain))
    from featmix.configuration.yaml_text import emit, parse

    return parse(emit(plain), Place("a file"))


def _known(norm: Normalizer) -> bool:
    """Return whether it is one of featmix's own, which its name makes again."""
    try:
        return type(normalizer(norm.name, layout=norm.layout)) is type(norm)
    except FeatmixError:
        return False
