"""What was meant by something that is no strategy, no site or no tree: the end of a refusal, with the line to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar, cast

from torch import nn

from featmix.errors import nearest
from featmix.strategies.base import Strategy
from featmix.strategies.registry import list_strategies

_F = TypeVar("_F", bound=Callable[..., Any])

_ADAPTERS = {
    "torchvision": "Adapt it: featmix.interop.torchvision.from_torchvision(transform), or tree_from_torchvision of a choice.",
    "kornia": "Adapt it: featmix.interop.kornia.from_kornia(augmentation).",
}


def strategy_meant(value: object, site: object) -> str:
    """Return how to write a strategy where something else stands.

    Example:
        >>> import featmix as fm
        >>> strategy_meant(fm.MoEx, "layer1"), strategy_meant("moxe", "layer1")
        ('Make an instance: MoEx().', "Make one with featmix.create('moex').")
    """
    where = repr(site) if isinstance(site, str) else "site"
    if isinstance(value, type):
        return f"Make an instance: {value.__name__}()." if issubclass(value, Strategy) else "Make an instance of it first."
    if isinstance(value, str):
        known = list_strategies()
        near = [name for name in known if name.replace("-", "") == value.lower().replace("_", "").replace("-", "")]
        found = near or nearest(value.lower(), known).split("'")[1:2]
        return f"Make one with featmix.create({found[0]!r})." if found else "Make one with featmix.create(name)."
    if isinstance(value, list | tuple | nn.Sequential) and len(value):
        return f"Several at one site: Compose([At({where}, first), At({where}, second)])."
    if isinstance(value, Mapping):
        return "A tree has one level of sites: {'layer1': strategy, 'layer2': strategy}."
    library = type(value).__module__.partition(".")[0]
    return _ADAPTERS.get(library, "Make one with featmix.create(name), or of its class: featmix.MoEx().")


def site_meant(value: object) -> str:
    """Return how to write a site where something else stands.

    Example:
        >>> site_meant(0)
        "Modules of a Sequential are called by their numbers, as text: '0'."
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return f"Modules of a Sequential are called by their numbers, as text: {str(value)!r}."
    if isinstance(value, Strategy):
        return "The site comes first: At('layer1', strategy)."
    if isinstance(value, nn.Module):
        return "Its name is the one that model.named_modules() gives."
    return "Names are those of model.named_modules()."


def tree_meant(value: object) -> str:
    """Return how to write a tree where something else stands.

    Example:
        >>> import featmix as fm
        >>> tree_meant(fm.MoEx())
        "Say where it acts: {'layer1': MoEx(...)}."
    """
    if isinstance(value, Strategy):
        return f"Say where it acts: {{'layer1': {type(value).__name__}(...)}}."
    if isinstance(value, type) and issubclass(value, Strategy):
        return f"Make an instance, and say where it acts: {{'layer1': {value.__name__}()}}."
    if isinstance(value, str):
        return "Presets by name: featmix.preset(name). One strategy: {'layer1': featmix.create(name)}."
    if isinstance(value, list | tuple):
        return "Say where each acts, {'layer1': strategy}; members of a tree stand in Compose([At('layer1', strategy), ...])."
    if isinstance(value, nn.Module):
        return "The model comes first: attach(model, {'layer1': strategy})."
    if hasattr(value, "attach") and hasattr(value, "tree"):
        return "A pipeline attaches itself: pipeline.attach(model)."
    return "For example {'layer1': strategy}."


def members_meant(who: str, value: object) -> str:
    """Return how to write the members of a branch where something else stands.

    Example:
        >>> members_meant("OneOf", {"layer1": "a strategy"})
        "Say where each acts: OneOf([At('layer1', strategy), ...])."
    """
    if isinstance(value, Strategy) or (isinstance(value, type) and issubclass(value, Strategy)):
        return f"Say where it acts: {who}([At('layer1', strategy), ...])."
    if isinstance(value, Mapping):
        short = " A dictionary is short for Compose: pass it to attach as it is." if who == "Compose" else ""
        return f"Say where each acts: {who}([At('layer1', strategy), ...]).{short}"
    return f"Say where each acts: {who}([At('layer1', strategy), ...])."


def several_as_one_list(init: _F) -> _F:
    """Decorator of a branch's constructor: members that are given one by one are refused as such, not counted by Python."""

    @wraps(init)
    def checked(self: Any, *given: Any, **settings: Any) -> None:
        if len(given) > 1:
            self.refuse_members(given)
        init(self, *given, **settings)

    return cast(_F, checked)
