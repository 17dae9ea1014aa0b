"""Between the one who draws and the hooks: which decision is due, and which sites have fired.

``draw`` sets ``next``; a forward of the model in training mode takes it, once; when that forward ends, however it ends, nothing
is left behind.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

from featmix.errors import FeatmixError
from featmix.params import Params
from featmix.tree import INPUT


@dataclass(eq=False)
class Decision:
    """What one step decided.

    Args:
        params: The decision at each leaf, on the features' device.
        idle: Leaves that have nothing to do this time.
        label_order: Leaves that mix labels, in the order in which these were composed.
        blind: Leaves whose features' shape was not known when their labels were decided.
    """

    params: dict[str, Params]
    idle: frozenset[str]
    label_order: tuple[str, ...]
    blind: frozenset[str]


@dataclass(eq=False)
class Switch:
    """Where hooks find the decision of this forward."""

    next: Decision | None = None
    current: Decision | None = None
    replaying: bool = False
    calls: dict[str, int] = field(default_factory=dict)  # of each site in this forward, in the order of the first call
    traced: set[str] = field(default_factory=set)  # sites that fired while a compiler traced them

    def __post_init__(self) -> None:
        self.number = id(self)
        switches[self.number] = self


switches: weakref.WeakValueDictionary[int, Switch] = weakref.WeakValueDictionary()


def count(switch: Switch, site: str, indexed: bool) -> int:
    """Note that a site fired and say which call of this forward it is, from 0.

    Raises:
        FeatmixError: At a second call, where no call index says which is meant.
    """
    call = switch.calls.get(site, 0)
    switch.calls[site] = call + 1
    if call and not indexed:
        raise FeatmixError(
            "attach",
            site,
            expected="a module that is called once a forward",
            got="a second call",
            fix="Say which call is meant with At(site, strategy, call=0), or attach to a module that is not shared.",
        )
    return call


def check_fired(switch: Switch, decision: Decision) -> None:
    """A site that did not fire, or fired out of order, would leave the labels wrong: say so.

    Raises:
        FeatmixError: If a site of the decision did not fire, or labels were composed in another order than that of the forward.
    """
    silent = [key for key in decision.params if key not in decision.idle and not _fired(switch, key)]
    if silent:
        raise FeatmixError(
            "attach",
            ", ".join(silent),
            expected="a module that the forward pass calls",
            got="no call of it",
            fix="It may be bypassed, called by .forward(), or the model was compiled and run before attach: "
            "attach before the first compiled call, and to a module that is called as module(x).",
        )
    order = [key for key in decision.label_order if _site(key) in switch.calls]
    fired = sorted(order, key=lambda key: list(switch.calls).index(_site(key)))
    if fired != order:
        raise FeatmixError(
            "attach",
            "tree",
            expected=f"sites in the order of the forward pass, {', '.join(map(_site, fired))}",
            got=", ".join(map(_site, order)),
            fix="Labels compose in that order: list the sites so, or pass attach(..., example=images) to have it found out.",
        )


def _fired(switch: Switch, key: str) -> bool:
    site = _site(key)
    return site == INPUT or site in switch.calls or site in switch.traced


def _site(key: str) -> str:
    return key.partition("#")[0]
