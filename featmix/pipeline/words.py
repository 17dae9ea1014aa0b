"""A pipeline in words: for ``repr`` and for ``summary``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from torch import nn

from featmix.mixer.tree import INPUT, At, OneOf, Tree
from featmix.pipeline.origin import library_of
from featmix.strategies.base import Strategy


def strategy_in_words(strategy: Strategy) -> str:
    """A strategy as one would write it: with the settings that are not the default ones.

    Example:
        >>> import featmix as fm
        >>> strategy_in_words(fm.MoEx("pono", lam=0.5))
        'MoEx(lam=0.5)'
    """
    defaults = _defaults(type(strategy))
    told = [f"{name}={value!r}" for name, value in strategy.settings().items() if defaults.get(name, "-") != value]
    return f"{type(strategy).__name__}({', '.join(told)})"


def tree_in_words(tree: Tree) -> str:
    """A tree as one would write it.

    Example:
        >>> import featmix as fm
        >>> tree_in_words(fm.OneOf([fm.At("input", fm.Mixup()), fm.At("layer1", fm.Mixup(alpha=2.0))], weights=[2, 1]))
        "OneOf([At('input', Mixup()), At('layer1', Mixup(alpha=2.0))], weights=[2, 1])"
    """
    if isinstance(tree, At):
        call = "" if tree.call is None else f", call={tree.call}"
        return f"At({tree.site!r}, {strategy_in_words(tree.strategy)}{call})"
    members = ", ".join(map(tree_in_words, tree.members))
    return f"{type(tree).__name__}([{members}]{_options_in_words(tree)})"


def _options_in_words(branch: Any) -> str:
    """What a branch was made with besides its members, where that is not the default."""
    given = {name: getattr(branch, name) for name in inspect.signature(type(branch)).parameters if name != "members"}
    if len(set(given.get("weights", ()))) == 1:
        del given["weights"]  # equal ones are the default
    defaults = _defaults(type(branch))
    return "".join(f", {name}={value!r}" for name, value in given.items() if value != defaults[name])


def summary(sample: Any, batch: Any, tree: Tree | None, seed: int | None) -> str:
    """A table: which part, where it runs, what is in it, and what it does to labels."""
    rows = [("part", "where", "what", "labels")]
    rows += [("sample", "loader's workers", line, "stay") for line in _transform_lines(sample)]
    rows += [("batch", "images' device", line, "stay") for line in _transform_lines(batch)]
    rows += list(_tree_rows(tree, "")) if tree is not None else []
    rows.append(("seed", "", "torch's" if seed is None else str(seed), ""))
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _tree_rows(tree: Tree, how: str) -> Iterator[tuple[str, str, str, str]]:
    if isinstance(tree, At):
        labels = "mixed" if tree.strategy.tags.mixes_labels else "stay"
        where = "input" if tree.site == INPUT else tree.place
        yield "mix", where, strategy_in_words(tree.strategy) + how, labels
        return
    if isinstance(tree, OneOf):
        total = sum(tree.weights)
        for member, weight in zip(tree.members, tree.weights, strict=True):
            yield from _tree_rows(member, f"{how}, in {weight / total:.0%} of steps")
        return
    for member in tree.members:
        yield from _tree_rows(member, how + _options_in_words(tree))


def _transform_lines(transform: Any) -> list[str]:
    if transform is None:
        return []
    library = library_of(transform).partition(".")[0]
    name = getattr(transform, "__qualname__", type(transform).__name__)
    held = [type(part).__name__ for part in _members(transform)]
    return [f"{library} {name}".strip() + (f": {', '.join(held)}" if held else "")]


def _members(transform: Any) -> list[Any]:
    """What a container of transforms applies."""
    if isinstance(transform, nn.Sequential):
        return list(transform)
    held = getattr(transform, "transforms", None)
    return list(held) if isinstance(held, list | tuple) else []


def _defaults(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for klass in cls.__mro__:
        if "__init__" in vars(klass):
            for parameter in inspect.signature(vars(klass)["__init__"]).parameters.values():
                found.setdefault(parameter.name, parameter.default)
    return found
