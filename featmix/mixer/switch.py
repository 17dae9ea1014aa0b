"""Between the one who draws and the hooks: which decision is due, and which sites have fired.

``draw`` sets ``next``; a forward of the model in training mode and with gradient takes it, once; when that forward ends,
however it ends, nothing is left behind.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import torch

from featmix.errors import FeatmixError
from featmix.mixer.given import Given
from featmix.mixer.notices import Notices
from featmix.mixer.record import Record
from featmix.strategies.params import Params


class Removable(Protocol):
    """What was put on a model and can be taken off."""

    def remove(self) -> None:
        """Take it off."""


class Fired:
    """Leaves that a forward has come past, in that order; an attribute for each.

    An attribute can be set within a compiled graph, which does so anew whenever it runs, and is not compiled again for
    whichever are set already.
    """

    def add(self, key: str) -> None:
        """Note a leaf."""
        setattr(self, key.replace(".", "|"), None)  # compilers take no dots in names

    def among(self, keys: Iterable[str]) -> list[str]:
        """Return those of some leaves that are noted, in the order in which they were."""
        names = {key.replace(".", "|"): key for key in keys}
        return [names[name] for name in vars(self) if name in names]


@dataclass(eq=False)
class Decision:
    """The decision of one step.

    Args:
        params: The decision at each leaf, on the features' device.
        idle: Leaves that have nothing to do this time.
        label_order: Leaves that mix labels, in the order in which these were composed.
        sites: Where each leaf stands, for messages.
        given: What is known of the batch that was decided for.
        fired: Leaves that a forward has come past.
        again: Whether another forward had the decision first: what strategies remember they have got from that one.
        taken: Whether a forward took it.
        record: What became of it, one for all forwards that have it.
        notices: Of the mixer that drew it.
    """

    params: dict[str, Params]
    idle: frozenset[str]
    label_order: tuple[str, ...]
    sites: dict[str, str]
    given: Given
    fired: Fired = field(default_factory=Fired)
    again: bool = False
    taken: bool = False
    record: Record = field(default_factory=Record)
    notices: Notices = field(default_factory=Notices)


@dataclass(eq=False)
class Switch:
    """Where hooks find the decision of this forward.

    Attributes:
        notices: What a loop seems to have forgotten.
        next: Drawn, and not taken by a forward yet.
        aside: For forwards in eval mode and those without gradient, which do not take ``next``.
        last: What the last training forward took, ``None`` if it was clean.
        latest: The record of what the last forward of any kind had, compiled ones left out; ``None`` if it was clean.
        current: Of the forward, or of the backward, that is running.
        replaying: Whether backward is running through a forward whose decision is known.
        pending: The last decision that a forward took for training, until backward comes to it.
        calls: Calls of each site in this forward.
        handles: What takes off everything that was put on a model.
    """

    notices: Notices = field(default_factory=Notices)
    next: Decision | None = None
    aside: Decision | None = None
    last: Decision | None = None
    latest: Record | None = None
    current: Decision | None = None
    replaying: bool = False
    pending: Decision | None = None
    calls: dict[str, int] = field(default_factory=dict)
    handles: list[Removable] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.number = id(self)
        self._traces: dict[str, tuple[Hashable, Hashable]] = {}
        switches[self.number] = self

    def take(self, training: bool) -> Decision | None:
        """Return the decision for a forward that begins; it is then taken.

        Args:
            training: Whether the model is in training mode, and gradients are recorded.
        """
        if not training:
            decision = self.aside
        else:
            decision = self.next
            if not torch.compiler.is_exporting():  # an exported forward leaves no trace
                self.last = decision
            if decision is not None:
                self.next, decision.record.taken = None, True
        if decision is not None:
            decision.taken = True
        return decision

    def release(self) -> None:
        """Take everything off the model, and forget what is due."""
        for handle in self.handles:
            handle.remove()
        self.handles.clear()
        self.next = self.aside = self.last = self.latest = self.current = None

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
        known = {*decision.fired.among(decision.params), *decision.idle}
        silent = [decision.sites[key] for key in decision.params if key not in known]
        if silent:
            raise FeatmixError(
                "attach",
                ", ".join(silent),
                expected="a module that the forward pass calls",
                got="no call of it",
                fix="It may be bypassed, or called by .forward(), or the call index is past the last call.",
            )
        fired = decision.fired.among(decision.label_order)
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
