"""Which part of a module is the model: the one that a training step calls, and that contains all sites."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from featmix.errors import FeatmixError
from featmix.mixer.hooked import Hook
from featmix.mixer.sites import find, plain, unwrap
from featmix.mixer.tree import INPUT, At, Tree

_COMPILED = "_compiled_call_impl"  # what a module runs in place of its call after module.compile()
Called = Callable[[nn.Module, Tree, tuple[Any, ...], dict[str, Any]], None]


class Inside:
    """A tree whose sites are named as a module has them that itself is never called, but parts of which are.

    Args:
        module: The module.
        tree: Sites by their names in it, or in ``model``.
        model: The name of the part that is the model, where that is said.
        apart: Parts that are no model, such as losses with parameters.

    Raises:
        FeatmixError: If there is no such part, or no such site; the message names the nearest.
    """

    def __init__(self, module: nn.Module, tree: Tree, model: str | None = None, apart: tuple[nn.Module, ...] = ()) -> None:
        self._tree, self._apart = tree, apart
        self._module = module if model is None else find(module, model)
        self._only = model is not None
        self._handles: list[RemovableHandle] = []
        self._compiled: list[tuple[nn.Module, Any]] = []
        self.sites = [leaf.site for leaf in tree.leaves() if leaf.site != INPUT]
        for site in self.sites:
            find(self._module, site)

    def wait(self, called: Called) -> None:
        """Call a function once, when the model is called next, with the tree renamed for it.

        Args:
            called: Gets the model, the tree, and the arguments of the call. It attaches, and what it attaches takes part in
                this call already.
        """
        for module, tree in self._candidates():

            def first(
                module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], tree: Tree = tree
            ) -> tuple[Any, Any] | None:
                self.stop()
                called(module, tree, args, kwargs)
                return _through(module, args, kwargs)

            self._handles.append(module.register_forward_pre_hook(first, with_kwargs=True))
            if vars(module).get(_COMPILED) is not None:  # hooks would run within what is compiled
                self._compiled.append((module, vars(module)[_COMPILED]))
                vars(module)[_COMPILED] = None

    def stop(self) -> None:
        """Wait no longer."""
        for handle in self._handles:
            handle.remove()
        for module, compiled in self._compiled:
            vars(module)[_COMPILED] = compiled
        self._handles.clear()
        self._compiled.clear()

    def _candidates(self) -> list[tuple[nn.Module, Tree]]:
        """Return modules that all sites are in, each with the tree as it is named there; the outermost are called first."""
        if self._only:
            return [(self._module, self._tree)]
        named = dict(self._module.named_modules(remove_duplicate=False))
        if not self.sites:
            apart = {part for other in self._apart for part in other.modules()}
            trained = {m: None for m in named.values() if m not in apart and any(p.requires_grad for p in m.parameters())}
            return [(module, self._tree) for module in {self._module: None, **trained}]
        full = {site: _full_name(site, named) for site in self.sites}
        holders = [name for name in named if all(_holds(name, there) for there in full.values())]
        return [(named[name], _renamed(self._tree, {s: _relative(full[s], name) for s in full})) for name in holders]


def _full_name(site: str, named: Mapping[str, nn.Module]) -> str:
    """Return the name that a site has among the modules, with the segments that wrappers add."""
    return site if site in named else next((name for name in named if plain(name) == plain(site)), site)


def _holds(holder: str, name: str) -> bool:
    return not holder or name.startswith(f"{holder}.")


def _relative(name: str, holder: str) -> str:
    return plain(name.removeprefix(f"{holder}.")) if holder else name


def _renamed(tree: Tree, names: Mapping[str, str]) -> Tree:
    """Return a tree with the sites as they are called in one of the modules."""
    if isinstance(tree, At):
        return replace(tree, site=names[tree.site]) if tree.site in names else tree
    now = copy.copy(tree)
    now.members = tuple(_renamed(member, names) for member in tree.members)
    return now


def _through(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
    """Run hooks that were added to a module after its call had begun: torch runs only those that were there before."""
    given: tuple[Any, Any] = (args, kwargs)
    if unwrap(module) is module:
        for hook in [hook for hook in module._forward_pre_hooks.values() if isinstance(hook, Hook)]:
            given = hook(module, *given) or given
    return given


def example_of(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], names: tuple[str, ...]) -> Any:
    """Return the arguments of a call as an example to attach with.

    Args:
        model: What is called.
        args: Positional arguments.
        kwargs: Keyword arguments.
        names: Of the model's positional arguments.

    Raises:
        FeatmixError: If some are given by position that have no name, beside others by name.
    """
    if not kwargs:
        return args
    if len(args) > len(names):
        got = f"{len(args)} of {type(model).__name__} by position, beside others by name"
        raise FeatmixError("FeatMix", "model", expected="arguments by position or by name", got=got)
    return {**dict(zip(names, args, strict=False)), **kwargs}
