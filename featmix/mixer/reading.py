"""A tree as it acts in one model: strategies that do not name their axes are told of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from featmix.mixer.containers import child_at, first_tensor
from featmix.mixer.evidence import evidence_at, strategy_for
from featmix.mixer.outputs import way_to
from featmix.mixer.sites import find
from featmix.mixer.tree import INPUT, At, Tree
from featmix.mixer.witnesses import witnessing


class Reading:
    """The tree of a mixer, with what the model says of the axes at each site. The tree that was given stays as it is.

    Args:
        root: The model.
        tree: As given.

    Raises:
        FeatmixError: If there is no such site, or the model says otherwise than a strategy.

    Attributes:
        tree: The same tree, with strategies that know their axes.
    """

    def __init__(self, root: nn.Module, tree: Tree) -> None:
        self._root = root
        self.tree = self._with_axes(tree)

    @contextmanager
    def checked(self, batch: Tensor | None) -> Iterator[None]:
        """Compare how strategies read their features with what the layers say that are called in this context.

        Args:
            batch: What is mixed at the input, if that is known.

        Raises:
            FeatmixError: At the end, if a layer has its channels on another axis.
        """
        hidden = [leaf for leaf in self.tree.leaves() if leaf.site != INPUT]
        modules = [find(self._root, leaf.site) for leaf in hidden]
        met: list[list[tuple[tuple[int, ...], int]]] = [[] for _ in hidden]
        with witnessing(self._root) as witnesses:

            def note(leaf: At, calls: list[tuple[tuple[int, ...], int]]) -> Callable[[nn.Module, Any, Any], None]:
                def hook(_: nn.Module, __: Any, output: Any) -> None:
                    x = first_tensor(child_at(output, way_to(leaf, output)))
                    calls.append((() if x is None else tuple(x.shape), len(witnesses.called)))

                return hook

            noting = zip(hidden, modules, met, strict=True)
            handles = [module.register_forward_hook(note(leaf, calls)) for leaf, module, calls in noting]
            try:
                yield
            finally:
                for handle in handles:
                    handle.remove()
        for leaf, module, calls in zip(hidden, modules, met, strict=True):
            for shape, until in calls[leaf.call or 0 :][:1]:
                witnesses.check(leaf.strategy, leaf.site, module, shape, until=until)
        for leaf in self.tree.leaves():
            if leaf.site == INPUT and batch is not None:
                witnesses.check_input(leaf.strategy, tuple(batch.shape))

    def _with_axes(self, tree: Tree) -> Tree:
        if isinstance(tree, At):
            return self._at(tree)
        members = tuple(self._with_axes(member) for member in tree.members)
        if all(new is old for new, old in zip(members, tree.members, strict=True)):
            return tree
        now = copy.copy(tree)
        now.members = members
        return now

    def _at(self, leaf: At) -> At:
        if leaf.site == INPUT:
            return leaf
        told = strategy_for(leaf.strategy, leaf.site, evidence_at(self._root, find(self._root, leaf.site)))
        if told is leaf.strategy:
            return leaf
        return replace(leaf, strategy=told)
