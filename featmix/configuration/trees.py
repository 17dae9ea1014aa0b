"""Trees: ``{at: layer1, strategy: ...}``, ``{compose: [...]}`` and the other branches, and the short ``{sites: {...}}``.

The key of a branch is its name in snake case, beside the other arguments of its constructor. The branches are those of the type
``featmix.mixer.tree.Tree``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

from featmix.configuration.arguments import names_of
from featmix.configuration.bounds import check_bounds
from featmix.configuration.place import Place, shown
from featmix.configuration.plain import Plain, as_dict, as_list
from featmix.configuration.strategies import read_strategy, write_strategy
from featmix.configuration.values import built, check_names, read, snake_case, write
from featmix.errors import nearest
from featmix.mixer.tree import At, Tree
from featmix.strategies.base import Strategy


def write_tree(tree: Tree | Mapping[str, Strategy], place: Place) -> Plain:
    """Return a tree, or ``{site: strategy}``, as plain values.

    Raises:
        FeatmixError: If a part of it cannot be written.
    """
    if type(tree) is At:
        written: dict[str, Plain] = {"at": tree.site, "strategy": write_strategy(tree.strategy, place.key("strategy"))}
        usual = {f.name: f.default for f in dataclasses.fields(At)}
        said = {name: getattr(tree, name) for name in _SAID_AT if getattr(tree, name) != usual[name]}
        return {**written, **{name: write(value, place.key(name)) for name, value in said.items()}}
    kind = next((kind for kind, cls in _BRANCHES.items() if type(tree) is cls), None)
    if kind is not None:
        branch: Any = tree
        members = [write_tree(member, place.key(kind).item(i)) for i, member in enumerate(branch.members)]
        options = {name: write(getattr(branch, name), place.key(name)) for name in _options_of(kind)}
        return {kind: members, **options}
    if isinstance(tree, Mapping):
        place = place.key("sites")
        for site, strategy in tree.items():
            if not isinstance(site, str) or not isinstance(strategy, Strategy):
                raise place.refuse("strategies by site", shown({site: strategy}))
        return {"sites": {site: write_strategy(strategy, place.key(site)) for site, strategy in tree.items()}}
    raise place.refuse(f"{', '.join(cls.__name__ for cls in get_args(Tree))} or {{site: strategy}}", shown(tree))


def read_tree(value: Plain, place: Place) -> Tree | dict[str, Strategy]:
    """Make the tree from a result of :func:`write_tree`.

    Raises:
        FeatmixError: If it is no tree; the error names the entry.
    """
    given = as_dict(value, place, f"a tree: one of {', '.join(_KINDS)}")
    kind = next((kind for kind in _KINDS if kind in given), None)
    if kind is None:
        fix = nearest(next(iter(given), "")[:40], _KINDS)
        if not fix.startswith("Did you mean"):
            fix = "Strategies by site: {sites: {layer1: {name: moex}}}."
        raise place.refuse(f"a tree: one of {', '.join(_KINDS)}", shown(list(given)), fix)
    known = {"at": ["strategy", *_SAID_AT], "sites": []}.get(kind) or (_options_of(kind) if kind in _BRANCHES else [])
    check_names(given, [kind, *known], place, f"an entry beside {kind}")
    if kind == "at":
        return _read_at(given, place)
    return _read_sites(given, place) if kind == "sites" else _read_branch(kind, given, place)


def _options_of(kind: str) -> list[str]:
    """Return the arguments of a branch besides its members."""
    return [name for name in names_of(_BRANCHES[kind]) if name != "members"]


def _read_at(given: dict[str, Plain], place: Place) -> At:
    if "strategy" not in given:
        raise place.refuse("a strategy at the site", "none", "For example {at: layer1, strategy: {name: moex}}.")
    strategy = read_strategy(given["strategy"], place.key("strategy"))
    check_bounds(At, {name: given[name] for name in _SAID_AT if name in given}, place)
    said = {name: read(given[name], place.key(name)) for name in _SAID_AT if name in given}
    settings = {"site": given["at"], "strategy": strategy, **said}
    made: At = built(At, settings, place, names={"site": "at"})
    return made


def _read_branch(kind: str, given: dict[str, Plain], place: Place) -> Tree:
    listed = as_list(given[kind], place.key(kind), "a list of trees")
    members = [read_tree(item, place.key(kind).item(i)) for i, item in enumerate(listed)]
    for i, member in enumerate(members):
        if isinstance(member, dict):
            fix = "Write {compose: [{at: ..., strategy: ...}]} there."
            raise place.key(kind).item(i).refuse("a tree of at and branches", "sites", fix)
    options = {name: read(item, place.key(name)) for name, item in given.items() if name != kind}
    made: Tree = built(_BRANCHES[kind], {**options, "members": members}, place, names={"members": kind})
    return made


def _read_sites(given: dict[str, Plain], place: Place) -> dict[str, Strategy]:
    place = place.key("sites")
    sites = as_dict(given["sites"], place, "strategies by site")
    if "" in sites or not sites:
        raise place.refuse("at least one site, each with a name", shown(list(sites)))
    return {site: read_strategy(item, place.key(site)) for site, item in sites.items()}


_BRANCHES: dict[str, Any] = {snake_case(cls.__name__): cls for cls in get_args(Tree) if cls is not At}
_SAID_AT = [f.name for f in dataclasses.fields(At) if f.name not in ("site", "strategy")]
_KINDS = ["at", *_BRANCHES, "sites"]
