"""Trees and strategies as one would write them, for people to read: what ``repr``, tables, titles and commands print."""

from __future__ import annotations

import inspect
from typing import Any

from featmix.schedule import Schedule
from featmix.strategies.base import Strategy
from featmix.support.signatures import parameters_of

_MANY = 6  # more sites than these are not listed one by one


def strategy_in_words(strategy: Strategy) -> str:
    """Return a strategy with the settings that matter: its own that come first or are numbers, and all that are not as usual.

    Example:
        >>> import featmix as fm
        >>> strategy_in_words(fm.MoEx("pono", lam=0.5, per="sample"))
        "MoEx(norm='pono', lam=0.5, p=1.0, per='sample')"
    """
    own, usual = _parameters(type(strategy))

    def matters(name: str, value: object) -> bool:
        number = isinstance(value, int | float | Schedule) and not isinstance(value, bool) and name != "eps"
        first = name in own and own[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        return value != usual[name].default or first or (name in own and number)

    said = ", ".join(f"{name}={value!r}" for name, value in strategy.settings().items() if matters(name, value))
    return f"{type(strategy).__name__}({said})"


def tree_in_words(tree: Any) -> str:
    """Return a tree as one would write it; equal strategies at several sites are written once, and many sites shortened.

    Example:
        >>> import featmix as fm
        >>> tree_in_words(fm.At("layer1", fm.Mixup()))
        "At('layer1', Mixup(alpha=1.0, p=1.0))"
        >>> tree_in_words(fm.OneOf.over(fm.Mixup(alpha=2.0), ["input", "layer1"], weights=[2, 1]))
        "OneOf([At(site, Mixup(alpha=2.0, p=1.0)) for site in ('input', 'layer1')], weights=[2, 1])"
    """
    if not hasattr(tree, "members"):
        return _at(repr(tree.site), tree)
    return f"{type(tree).__name__}([{_members(tree.members)}]{options_in_words(tree)})"


def options_in_words(branch: Any) -> str:
    """Return the arguments of a branch besides its members that are not the usual ones, each after a comma.

    Example:
        >>> import featmix as fm
        >>> options_in_words(fm.SomeOf([fm.At("a", fm.Mixup()), fm.At("b", fm.Mixup())], count=1))
        ', count=1'
    """
    parameters = inspect.signature(type(branch)).parameters
    given = {name: getattr(branch, name) for name in parameters if name != "members"}
    if len(set(given.get("weights", ()))) == 1:
        del given["weights"]  # equal ones are the usual ones
    return "".join(f", {name}={value!r}" for name, value in given.items() if value != parameters[name].default)


def _members(members: tuple[Any, ...]) -> str:
    said = [_at("site", member) if not hasattr(member, "members") else tree_in_words(member) for member in members]
    if len(members) == 1 or len(set(said)) > 1 or hasattr(members[0], "members"):
        return ", ".join(map(tree_in_words, members))
    sites = [leaf.site for member in members for leaf in member.leaves()]
    listed = repr(tuple(sites)) if len(sites) <= _MANY else f"<{len(sites)} from {sites[0]!r} to {sites[-1]!r}>"
    return f"{said[0]} for site in {listed}"


def _at(site: str, leaf: Any) -> str:
    output = leaf.way[0] if len(leaf.way) == 1 else leaf.way
    said = [f"call={leaf.call}"] * (leaf.call is not None) + [f"output={output!r}"] * bool(leaf.way)
    said += [f"groups={leaf.groups}"] * (leaf.groups != 1)
    return f"At({', '.join([site, strategy_in_words(leaf.strategy), *said])})"


def _parameters(cls: type) -> tuple[dict[str, inspect.Parameter], dict[str, inspect.Parameter]]:
    """Return the parameters of a class's own constructor, and those of its bases' constructors too."""
    inits = [{one.name: one for one in parameters_of(vars(c)["__init__"])} for c in cls.__mro__[:-1] if "__init__" in vars(c)]
    everything: dict[str, inspect.Parameter] = {}
    for parameters in inits:
        everything = {**parameters, **everything}
    return inits[0], everything
