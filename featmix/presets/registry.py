"""Published settings by name: trees of strategies with the sites and settings of a paper or its code.

A preset is a function in ``featmix.presets.recipes`` that builds a tree; :func:`recipe` gives it its name and says where its
figures come from. It is called anew for each :func:`featmix.preset`, so that no two trees share a strategy.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from featmix.errors import FeatmixError, nearest
from featmix.mixer.tree import At, Compose, OneOf, SomeOf, Tree, as_tree
from featmix.strategies.base import Strategy

RECIPES = "featmix.presets.recipes"

_known: dict[str, Preset] = {}
_walked = False
_F = TypeVar("_F", bound=Callable[[], "Tree | Mapping[str, Strategy]"])


@dataclass(frozen=True)
class Preset:
    """A preset that has not been built yet.

    Args:
        name: ``method/data-network``.
        source: The paper, or the file of its authors' code, that has these figures.
        description: What it is, in a sentence or two.
        build: Makes the tree.
    """

    name: str
    source: str
    description: str
    build: Callable[[], Tree | Mapping[str, Strategy]]


def recipe(name: str, *, source: str) -> Callable[[_F], _F]:
    """Decorator that makes a function a preset; its docstring is the description. One function may be several presets.

    Args:
        name: What :func:`featmix.preset` takes: ``method/data-network``, in lower case.
        source: Where the figures come from.

    Raises:
        FeatmixError: If the name is taken, is none, or the function has no docstring.
    """
    if not isinstance(name, str) or name != name.lower() or not name.isascii() or not all(name.partition("/")) or not source:
        expected = "a lower-case name 'method/data-network', and a source"
        raise FeatmixError("recipe", "name", expected=expected, got=f"{name!r} from {source!r}")

    def decorate(build: _F) -> _F:
        description = " ".join((inspect.getdoc(build) or "").split())  # of one paragraph or several
        if not description:
            raise FeatmixError("recipe", name, expected="a function with a docstring", got=repr(build))
        if name in _known:
            raise FeatmixError("recipe", "name", expected="a name that is free", got=repr(name))
        _known[name] = Preset(name, source, description, build)
        return build

    return decorate


def list_presets() -> list[str]:
    """Return the sorted names that :func:`featmix.preset` takes.

    Example:
        >>> "moex/imagenet-resnet50" in list_presets()
        True
    """
    return list(known_presets())


def known_presets() -> dict[str, Preset]:
    """Return all presets by name, sorted, each with its description and the source of its figures.

    Example:
        >>> known_presets()["cutmix/cifar"].source
        'https://github.com/clovaai/CutMix-PyTorch, README.md'
    """
    global _walked
    if not _walked:
        package = importlib.import_module(RECIPES)
        for module in pkgutil.iter_modules(package.__path__, f"{RECIPES}."):
            importlib.import_module(module.name)
        _walked = True
    return dict(sorted(_known.items()))


def preset(name: str, *, sites: Mapping[str, str] | None = None) -> Tree:
    """Make a new tree with the settings and sites of a paper, ready for ``attach``.

    Args:
        name: One of :func:`featmix.list_presets`, in any case.
        sites: What a site is called in your model, by its name here. A name stands for what lies below it too:
            ``{"layer1": "encoder.stage1"}`` makes ``encoder.stage1.0.conv2`` of ``layer1.0.conv2``.

    Raises:
        FeatmixError: If there is no such preset, or it has no such site; the message names the nearest.

    Example:
        >>> tree = preset("moex/imagenet-resnet50", sites={"maxpool": "stem.pool"})
        >>> [(leaf.site, leaf.strategy.name, leaf.strategy.lam) for leaf in tree.leaves()]
        [('stem.pool', 'moex', 0.9)]
    """
    found = known_presets().get(name.lower()) if isinstance(name, str) and name.isascii() else None
    if found is None:
        begun = [one for one in list_presets() if one.startswith(f"{str(name).lower().rstrip('/')}/")]
        fix = f"Those that begin so: {', '.join(begun)}." if begun else nearest(str(name).lower(), list_presets())
        raise FeatmixError("preset", "name", expected="the name of a preset", got=repr(name), fix=fix)
    tree = as_tree(found.build())
    if sites is None:
        return tree
    known = [leaf.site for leaf in tree.leaves()]
    if not isinstance(sites, Mapping) or not all(isinstance(new, str) and new for new in sites.values()):
        raise FeatmixError("preset", "sites", expected="{site here: its name in the model}", got=repr(sites))
    for site in sites:
        if not any(_below(site, one) for one in known):
            expected = f"sites of {found.name!r}"
            raise FeatmixError("preset", "sites", expected=expected, got=repr(site), fix=nearest(str(site), known))
    return _renamed(tree, sites)


def _below(site: str, other: str) -> bool:
    return other == site or other.startswith(f"{site}.")


def _renamed(tree: Tree, sites: Mapping[str, str]) -> Tree:
    if isinstance(tree, At):
        fitting = [site for site in sites if _below(site, tree.site)]
        if not fitting:
            return tree
        longest = max(fitting, key=len)
        return replace(tree, site=sites[longest] + tree.site.removeprefix(longest))
    members = [_renamed(member, sites) for member in tree.members]
    if isinstance(tree, OneOf):
        return OneOf(members, weights=tree.weights)
    if isinstance(tree, SomeOf):
        return SomeOf(members, count=tree.count, p=tree.p)
    return Compose(members, share_partner=tree.share_partner)
