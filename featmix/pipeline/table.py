"""The table that :meth:`featmix.Pipeline.summary` gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from featmix.mixer.tree import INPUT, At, OneOf, Tree
from featmix.mixer.words import options_in_words, strategy_in_words
from featmix.pipeline.origin import library_of


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
        yield from _tree_rows(member, how + options_in_words(tree))


def _transform_lines(transform: Any) -> list[str]:
    if transform is None:
        return []
    library = library_of(transform).partition(".")[0]
    name = getattr(transform, "__qualname__", type(transform).__name__)
    held = [type(part).__name__ for part in _members(transform)]
    return [f"{library} {name}".strip() + (f": {', '.join(held)}" if held else "")]


def _members(transform: Any) -> list[Any]:
    """Return the transforms in a container."""
    if isinstance(transform, nn.Sequential):
        return list(transform)
    held = getattr(transform, "transforms", None)
    return list(held) if isinstance(held, list | tuple) else []
