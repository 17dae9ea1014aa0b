"""Trees: ``{at: layer1, strategy: ...}``, ``{compose: [...]}``, ``{one_of: [...]}``, and the short ``{sites: {...}}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from featmix.configuration.place import Place, shown
from featmix.configuration.plain import Plain, as_dict, as_list
from featmix.configuration.strategies import read_strategy, write_strategy
from featmix.configuration.values import built, check_names
from featmix.errors import nearest
from featmix.strategy import Strategy
from featmix.tree import At, Compose, OneOf, Tree


def write_tree(tree: Tree | Mapping[str, Strategy], place: Place) -> Plain:
    """A tree, or ``{site: strategy}``, as plain values.

    Raises:
        FeatmixError: If something in it cannot be written.
    """
    if type(tree) is At:
        written: dict[str, Plain] = {"at": tree.site, "strategy": write_strategy(tree.strategy, place.key("strategy"))}
        return written if tree.call is None else {**written, "call": tree.call}
    if type(tree) is Compose:
        members = _write_members(tree, place.key("compose"))
        return {"compose": members, "share_partner": True} if tree.share_partner else {"compose": members}
    if type(tree) is OneOf:
        return {"one_of": _write_members(tree, place.key("one_of")), "weights": [float(w) for w in tree.weights]}
    if isinstance(tree, Mapping):
        place = place.key("sites")
        for site, strategy in tree.items():
            if not isinstance(site, str) or not isinstance(strategy, Strategy):
                raise place.refuse("strategies by site", shown({site: strategy}))
        return {"sites": {site: write_strategy(strategy, place.key(site)) for site, strategy in tree.items()}}
    raise place.refuse("At, Compose, OneOf or {site: strategy}", shown(tree))


def read_tree(value: Plain, place: Place) -> Tree | dict[str, Strategy]:
    """The tree that :func:`write_tree` wrote.

    Raises:
        FeatmixError: If it is none; the error names the entry.
    """
    given = as_dict(value, place, f"a tree: one of {', '.join(_KINDS)}")
    kind = next((kind for kind in _KINDS if kind in given), None)
    if kind is None:
        fix = nearest(next(iter(given), "")[:40], _KINDS)
        raise place.refuse(f"a tree: one of {', '.join(_KINDS)}", shown(list(given)), fix)
    options, reader = _KINDS[kind]
    check_names(given, [kind, *options], place, f"an entry beside {kind}")
    made: Tree | dict[str, Strategy] = reader(given, place)
    return made


def _write_members(tree: Compose | OneOf, place: Place) -> list[Plain]:
    return [write_tree(member, place.item(i)) for i, member in enumerate(tree.members)]


def _read_at(given: dict[str, Plain], place: Place) -> At:
    if "strategy" not in given:
        raise place.refuse("a strategy at the site", "none", "For example {at: layer1, strategy: {name: moex}}.")
    strategy = read_strategy(given["strategy"], place.key("strategy"))
    settings = {"site": given["at"], "strategy": strategy, "call": given.get("call")}
    made: At = built(At, settings, place, names={"site": "at"})
    return made


def _read_branch(cls: type[Compose] | type[OneOf], kind: str, given: dict[str, Plain], place: Place) -> Compose | OneOf:
    listed = as_list(given[kind], place.key(kind), "a list of trees")
    members = [read_tree(item, place.key(kind).item(i)) for i, item in enumerate(listed)]
    for i, member in enumerate(members):
        if isinstance(member, dict):
            fix = "Write {compose: [{at: ..., strategy: ...}]} there."
            raise place.key(kind).item(i).refuse("at, compose or one_of", "sites", fix)
    settings: dict[str, Any] = {**given, "members": members}
    del settings[kind]
    made: Compose | OneOf = built(cls, settings, place, names={"members": kind})
    return made


def _read_sites(given: dict[str, Plain], place: Place) -> dict[str, Strategy]:
    place = place.key("sites")
    sites = as_dict(given["sites"], place, "strategies by site")
    if "" in sites or not sites:
        raise place.refuse("at least one site, each with a name", shown(list(sites)))
    return {site: read_strategy(item, place.key(site)) for site, item in sites.items()}


_KINDS: dict[str, tuple[list[str], Callable[[dict[str, Plain], Place], Any]]] = {
    "at": (["strategy", "call"], _read_at),
    "compose": (["share_partner"], partial(_read_branch, Compose, "compose")),
    "one_of": (["weights"], partial(_read_branch, OneOf, "one_of")),
    "sites": ([], _read_sites),
}
