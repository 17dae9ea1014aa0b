"""Between the one who draws and the hooks: which decision is due, and which sites have fired.

``draw`` sets ``next``; a forward of the model in training mode takes it, once; when that forward ends, however it ends, nothing
is left behind.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from dataclasses import dataclass, field

from featmix.errors import FeatmixError
from featmix.mixer.given import Given
from featmix.strategies.params import Params


@dataclass(eq=False)
class Decision:
    """The decision of one step.

    Args:
        params: The decision at each leaf, on the features' device.
        idle: Leaves that have nothing to do this time.
        label_order: Leaves that mix labels, in the order in which these were composed.
        sites: Where each leaf stands, for messages.
        given: What is known of the batch that was decided for.
        fired: Leaves that a forward has come past, in that order; what a compiled forward comes past is in ``Switch.traced``.
    """

    params: dict[str, Params]
    idle: frozenset[str]
    label_order: tuple[str, ...]
    sites: dict[str, str]
    given: Given
    fired: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Switch:
    """Where hooks find the decision of this forward.

    Attributes:
        next: Drawn, and not taken by a forward yet.
        current: Of the forward, or of the backward, that is running.
        replaying: Whether backward is running through a forward whose decision is known.
        pending: The last decision that a forward took for training, until backward comes to it.
        calls: Calls of each site in this forward.
        traced: Leaves that fired while a compiler traced them.
    """

    next: Decision | None = None
    current: Decision | None = None
    replaying: bool = False
    pending: Decision | None = None
    calls: dict[str, int] = field(default_factory=dict)
    traced: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.number = id(self)
        self._traces: dict[str, tuple[Hashable, Hashable]] = {}
        switches[self.number] = self

    def begin(self) -> None:
        """Forget the calls of the forward before."""
        self.calls.clear()
        self._traces.clear()

    def count(self, site: str, indexed: bool) -> int:
        """Note that a site was called and say which call of this forward it is, from 0.

        Raises:
            FeatmixError: At a second call, where no call index says which is meant.
        """
        call = self.calls.get(site, 0)
        self.calls[site] = call + 1
        if call and not indexed:
            raise FeatmixError(
                "attach",
                site,
                expected="a module that is called once a forward",
                got="a second call",
                fix="Say which call is meant with At(site, strategy, call=0), or attach to a module that is not shared.",
            )
        return call

    def count_traced(self, site: str, indexed: bool, frame: Hashable, attempt: Hashable) -> int:
        """Return the same while a compiler traces. It may start a frame over; then the count starts over too.

        Raises:
            FeatmixError: Also where calls of one site lie in two graphs, so that the second graph cannot tell which it is.
        """
        before = self._traces.get(site)
        self._traces[site] = (frame, attempt)
        if before is not None and before != (frame, attempt):
            if before[0] != frame and indexed:
                raise FeatmixError(
                    "attach", site, expected="all calls of a module in one graph", got="a graph break between two of them"
                )
            self.calls[site] = 0
        return self.count(site, indexed)

    def check_fired(self, decision: Decision) -> None:
        """Check that all sites fired, in the order in which labels were composed: labels would be wrong otherwise.

        Raises:
            FeatmixError: If a site of the decision did not fire, or labels were composed in another order than the forward's.
        """
        known = self.traced.union(decision.fired, decision.idle)
        silent = [decision.sites[key] for key in decision.params if key not in known]
        if silent:
            raise FeatmixError(
                "attach",
                ", ".join(silent),
                expected="a module that the forward pass calls",
                got="no call of it",
                fix="It may be bypassed, or called by .forward(), or the call index is past the last call. If the model was "
                "compiled and run before attach, attach earlier; if another model of its class was, call "
                "torch._dynamo.reset() after attach.",
            )
        fired = [key for key in decision.fired if key in decision.label_order]
        listed = [key for key in decision.label_order if key in fired]
        if fired != listed:
            raise FeatmixError(
                "attach",
                "tree",
                expected="sites in the order of the forward pass, " + ", ".join(decision.sites[key] for key in fired),
                got=", ".join(decision.sites[key] for key in listed),
                fix="Labels compose in that order: list the sites so, or pass example=images to have it found out.",
            )


switches: weakref.WeakValueDictionary[int, Switch] = weakref.WeakValueDictionary()
