"""The table of :meth:`featmix.Pipeline.summary`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import nn

from featmix.mixer.tree import INPUT, At, OneOf, Tree
from featmix.mixer.words import options_in_words, strategy_in_words
from featmix.pipeline.by_view import ByView
from featmix.pipeline.normalization import Normalization
from featmix.pipeline.origin import library_of

_OF_CONTAINERS = ("p", "n", "probabilities", "random_apply", "same_on_batch", "additional_targets")


def summary(sample: Any, batch: Any, normalization: Normalization | None, tree: Tree | None, seed: int | None) -> str:
    """Return a table of the parts: where each runs, its content, and its effect on labels."""
    rows = [("part", "where", "what", "labels")]
    for part, where, transform in (("sample", "loader's workers", sample), ("batch", "images' device", batch)):
        for place, line in enumerate(_transform_lines(transform)):
            rows.append(("", "", line, "") if place else (part, where, line, "stay"))
    if normalization is not None:
        rows.append(("normalize", "images' device, in evaluation too", str(normalization), "stay"))
    rows += list(_tree_rows(tree, "")) if tree is not None else []
    rows.append(("seed", "", "torch's" if seed is None else str(seed), ""))
    widths = [max(len(row[k]) for row in rows if row[0]) for k in range(4)]  # members are as long as they are
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _tree_rows(tree: Tree, how: str) -> Iterator[tuple[str, str, str, str]]:
    if isinstance(tree, At):
        labels = "mixed" if tree.strategy.tags.mixes_labels else "stay"
        where = "input" if tree.site == INPUT else tree.place
        yield "mix", where, strategy_in_words(tree.strategy) + how, labels
        return
    if isinstance(tree, ByView):
        for member, view in zip(tree.members, tree.views, strict=True):
            yield from _tree_rows(member, f"{how}, of view {view!r}")
        return
    if isinstance(tree, OneOf):
        total = sum(tree.weights)
        for member, weight in zip(tree.members, tree.weights, strict=True):
            yield from _tree_rows(member, f"{how}, in {weight / total:.0%} of steps")
        return
    for member in tree.members:
        yield from _tree_rows(member, how + options_in_words(tree))


def _transform_lines(transform: Any) -> list[str]:
    if transform is None:
        return []
    library = library_of(transform).partition(".")[0]
    first, *rest = _lines(transform)
    return [f"{library} {first}".strip(), *rest]


def _lines(transform: Any) -> list[str]:
    """Return a transform with its settings; for a container, its members follow."""
    members = _members(transform)
    if not members:
        return [_in_words(transform)]
    said = ", ".join(f"{name}={_in_words(value)}" for name, value in _own_settings(transform))
    inner = [f"  {line}" for member in members for line in _lines(member)]
    return [f"{type(transform).__name__}({said})", *inner]


def _in_words(value: Any) -> str:
    """Return the repr of a value in one line, without its memory address."""
    name = getattr(value, "__qualname__", None)
    told = str(name) if isinstance(name, str) and callable(value) else repr(value)
    told = re.sub(r" at 0x[0-9a-fA-F]+", "", re.sub(r"(\w+\.)+(\w+) object at 0x", r"\2 object at 0x", told))
    return " ".join(told.split())


def _own_settings(container: Any) -> list[tuple[str, Any]]:
    found = [(name, getattr(container, name, None)) for name in _OF_CONTAINERS]
    processors = getattr(container, "processors", None)
    boxes = [(name, processor.params) for name, processor in processors.items()] if isinstance(processors, dict) else []
    return [(name, value) for name, value in [*found, *boxes] if value is not None and value is not False and value != {}]


def _members(transform: Any) -> list[Any]:
    """Return the transforms in a container."""
    if isinstance(transform, nn.Sequential):
        return list(transform)
    held = getattr(transform, "transforms", None)
    return list(held) if isinstance(held, list | tuple) else []
