"""Where and which: trees of strategies at sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from numbers import Real
from typing import NoReturn, Self

import numpy as np
import torch
from torch import Tensor

from featmix.across.meeting import Meeting
from featmix.checks import Checks, whole
from featmix.errors import FeatmixError
from featmix.labels.composing import LabelStep
from featmix.mixer.meant import members_meant, several_as_one_list, site_meant, strategy_meant, tree_meant
from featmix.mixer.words import tree_in_words
from featmix.sampling.draws import Stream, partners
from featmix.schedule import Schedule
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params

INPUT = "input"


@dataclass(frozen=True)
class Request:
    """The batch that a tree is asked to draw for.

    Args:
        batch: Rows in the batch.
        random: The stream that all decisions of the step are drawn from.
        shapes: Shape of one sample at each place (``At.place``) where it is known.
        target: Labels, for strategies that look at them.
        domain: ``(B,)`` domain labels.
        partner: ``(B,)`` partners for all, or ``None``.
        rows: ``(B,)`` bool, the rows that may be mixed; ``None`` for all.
        mask: Padding at all places, or of each site by name.
        progress: How far training is, in [0, 1].
        training: Whether a training forward follows; otherwise the decision is for looking at, and nothing is remembered.
        meeting: What all ranks know of this draw, where strategies decide together; ``None`` where none does.
        shared: The stream that they draw from then.
    """

    batch: int
    random: Stream
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    target: Tensor | None = None
    domain: Tensor | None = None
    partner: Tensor | None = None
    rows: Tensor | None = None
    mask: Tensor | Mapping[str, Tensor] | None = None
    progress: float = 0.0
    training: bool = True
    meeting: Meeting | None = None
    shared: Stream | None = None

    def common(self, *leaves: At) -> Stream:
        """Return the stream of a choice between these: the one that ranks share, where one of them is decided together."""
        together = self.shared is not None and any(leaf.strategy.across is not False for leaf in leaves)
        return self.shared if together else self.random  # type: ignore[return-value]

    def mask_at(self, site: str) -> Tensor | None:
        """Return the padding at a site."""
        return self.mask.get(site) if isinstance(self.mask, Mapping) else self.mask


@dataclass(frozen=True, eq=False, repr=False)
class At:
    """A strategy at a site.

    Args:
        site: A module's name as ``model.named_modules()`` has it, or ``input`` for the model's own input.
        strategy: What happens there.
        call: Which call of the module in one forward is meant, counted from 0, for a module that is called more than once.
        output: Which of the module's outputs, by index or name, or by several of these where containers are nested; ``None``
            is all outputs that hold the batch.
        groups: Rows of features for each sample, if the model folds frames or views into the batch: row ``b * groups + t``
            is frame ``t`` of sample ``b``. These rows share a decision, and frame ``t`` takes from the partner's frame ``t``.
            Needs ``attach(..., example=...)``, by which that order is checked.

    Raises:
        FeatmixError: If the site is empty, the strategy is not a strategy, or it remembers features and there are groups.

    Example:
        >>> import featmix as fm
        >>> At("layer1", fm.MoEx()).site
        'layer1'
        >>> At("backbone", fm.Mixup(), output="out").place
        "backbone, output 'out'"
    """

    site: str
    strategy: Strategy
    call: int | None = None
    output: str | int | tuple[str | int, ...] | None = None
    groups: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.site, str) or not self.site:
            fix = site_meant(self.site)
            raise FeatmixError("At", "site", expected="the name of a module, or 'input'", got=repr(self.site), fix=fix)
        if not isinstance(self.strategy, Strategy):
            fix = strategy_meant(self.strategy, self.site)
            raise FeatmixError("At", "strategy", expected=f"a strategy at {self.site!r}", got=repr(self.strategy), fix=fix)
        if self.call is not None and (not isinstance(self.call, int) or isinstance(self.call, bool) or self.call < 0):
            raise FeatmixError("At", "call", expected="an index from 0", got=repr(self.call))
        if self.site == INPUT and (self.output is not None or self.groups != 1):
            fix = "Which argument is mixed says attach(..., input=...); draw for what the model gets, (B, T, ...) for clips."
            raise FeatmixError("At", "site", expected="a module, for output= and groups=", got=repr(INPUT), fix=fix)
        if self.output is not None and not _is_way(self.way):
            raise FeatmixError("At", "output", expected="an index, a name, or several in a tuple", got=repr(self.output))
        object.__setattr__(self, "groups", whole("At", "groups", self.groups, least=1))
        if self.groups > 1 and self.strategy.remembers:
            fix = "Leave out memory=."
            raise FeatmixError("At", "groups", expected="1 for a strategy that remembers", got=str(self.groups), fix=fix)

    @property
    def way(self) -> tuple[str | int, ...]:
        """The steps to the output that is meant; none where no one in particular is."""
        if self.output is None:
            return ()
        return tuple(self.output) if isinstance(self.output, tuple | list) else (self.output,)

    @property
    def place(self) -> str:
        """The site, and which call and which output of it where that is said."""
        site = self.site if self.call is None else f"{self.site} (call {self.call})"
        return f"{site}, output {'.'.join(map(str, self.way))!r}" if self.way else site

    def __repr__(self) -> str:
        return tree_in_words(self)

    def leaves(self) -> tuple[At, ...]:
        """Return all strategies with their sites, in the order in which they are listed."""
        return (self,)

    def label_step(self, params: Params) -> LabelStep | None:
        """Return what a decision does to labels here; ``None`` where it leaves them alone."""
        return self.strategy.label_step(self.place, params)

    def draw(self, request: Request) -> list[Params]:
        """Return one decision for each leaf."""
        sample = request.shapes.get(self.place)
        if sample is None and self.groups > 1:
            raise FeatmixError(
                "At",
                "groups",
                expected="an example, to see in which order the rows of samples lie",
                got="none",
                fix="Pass attach(..., example=clips), of two samples or more.",
            )
        if sample is None and self.strategy.needs_shape:
            raise FeatmixError(
                type(self.strategy).__name__,
                self.site,
                expected="the shape of the features there, to decide for it",
                got="none",
                fix="Pass attach(..., example=images): shapes are learned by one dry run.",
            )
        shape = torch.Size((request.batch, *(sample or ())))
        if request.meeting is not None and request.shared is not None and self.strategy.across is not False:
            checked = self.strategy.checked_shape(shape)
            return [self.strategy.drawn_among(request.meeting, checked, request.shared, partner=request.partner)]
        params = self.strategy.drawn(
            self.strategy.checked_shape(shape),
            request.random,
            domain=request.domain,
            partner=request.partner,
            rows=request.rows,
            mask=request.mask_at(self.site),
            progress=request.progress,
        )
        return [self.strategy.recall(params, shape, request.target, request.random) if request.training else params]

    def for_features(self, params: Params) -> Params:
        """Return a decision for as many rows as the features have: those of a sample share it."""
        return params if self.groups == 1 else params.repeated(self.groups)


def _is_way(steps: tuple[object, ...]) -> bool:
    return bool(steps) and all(isinstance(step, str | int) and not isinstance(step, bool) and step != "" for step in steps)


class _Branch:
    """Base of Compose, OneOf and SomeOf: members."""

    def __repr__(self) -> str:
        return tree_in_words(self)

    def __init__(self, members: Sequence[Tree]) -> None:
        who = type(self).__name__
        if not isinstance(members, Sequence) or isinstance(members, str) or not members:
            self.refuse_members(members)
        self.members = tuple(members)
        for member in self.members:
            if not isinstance(member, At | Compose | OneOf | SomeOf):
                expected, fix = "At, Compose, OneOf or SomeOf", members_meant(who, member)
                raise FeatmixError(who, "members", expected=expected, got=repr(member), fix=fix)

    @classmethod
    def refuse_members(cls, given: object) -> NoReturn:
        """Refuse members that are not in one list."""
        fix = members_meant(cls.__name__, given)
        raise FeatmixError(cls.__name__, "members", expected="at least one, in a list", got=repr(given), fix=fix)

    def leaves(self) -> tuple[At, ...]:
        """Return all strategies with their sites, in the order in which they are listed."""
        return tuple(leaf for member in self.members for leaf in member.leaves())


class Compose(_Branch):
    """All of the members act; their labels compose in the order of the forward pass.

    Labels are the content of the result, also where a box is cut from features that already hold a box: shares are followed
    position by position, and between two sites over the cells of the coarser grid. That is exact where the layers between
    them keep the grid. Where a strategy with boxes does not say where it acts, or grids differ in their number of axes, shares
    are multiplied, which is right on average only: the first draw warns of it.

    Args:
        members: ``At``, ``Compose``, ``OneOf`` or ``SomeOf``.
        share_partner: Draw one permutation for all members, as CutMix+MoEx of the MoEx paper does.

    Raises:
        FeatmixError: If there is no member, or a member is not a tree, or partners are shared between strategies that choose
            them differently.

    Example:
        >>> import featmix as fm
        >>> tree = Compose([At("input", fm.CutMix()), At("layer1", fm.MoEx())], share_partner=True)
        >>> [leaf.site for leaf in tree.leaves()]
        ['input', 'layer1']
    """

    @several_as_one_list
    def __init__(self, members: Sequence[Tree], *, share_partner: bool = False) -> None:
        super().__init__(members)
        if not isinstance(share_partner, bool):
            raise FeatmixError("Compose", "share_partner", expected="True or False", got=repr(share_partner))
        self.share_partner = share_partner
        kinds = {leaf.strategy.partner for leaf in self.leaves() if leaf.strategy.tags.partnered}
        if share_partner and len(kinds) > 1:
            raise FeatmixError("Compose", "share_partner", expected="members with one choice of partner", got=sorted(kinds))
        self._kind = next(iter(kinds), None)

    def _together(self) -> bool:
        """Return whether members that have partners choose them with other ranks.

        Raises:
            FeatmixError: If some do and others do not: they cannot have the same ones.
        """
        kinds = {leaf.strategy.across is not False for leaf in self.leaves() if leaf.strategy.tags.partnered}
        if len(kinds) > 1:
            expected, got = "members that all have across=, or none", "partners from all ranks and from one"
            raise FeatmixError("Compose", "share_partner", expected=expected, got=got)
        return kinds == {True}

    def draw(self, request: Request) -> list[Params]:
        """Return one decision for each leaf."""
        if self.share_partner and request.partner is None and self._kind is not None:
            domain, batch = request.domain, request.batch
            if request.meeting is not None and self._together():
                domain, batch = request.meeting.domain, request.meeting.count
            by_domain = None if domain is None else domain.cpu().numpy()
            drawn = partners(request.common(*self.leaves()), batch, self._kind, domain=by_domain)
            request = replace(request, partner=torch.from_numpy(drawn))
        return [params for member in self.members for params in member.draw(request)]


class OneOf(_Branch):
    """One of the members acts in each step; Manifold Mixup is ``OneOf`` over sites.

    The others are drawn too but do not act, so a compiled model has one graph, whichever is chosen.

    Args:
        members: ``At``, ``Compose``, ``OneOf`` or ``SomeOf``.
        weights: How often each is chosen, in any scale; equal where not given.

    Raises:
        FeatmixError: If there is no member, or the weights do not fit.

    Example:
        >>> import featmix as fm
        >>> manifold = OneOf([At(site, fm.Mixup(alpha=2.0)) for site in ("input", "layer1", "layer2")], weights=[2, 1, 1])
    """

    @several_as_one_list
    def __init__(self, members: Sequence[Tree], *, weights: Sequence[float] | None = None) -> None:
        super().__init__(members)
        if weights is not None and not isinstance(weights, Sequence):
            raise FeatmixError("OneOf", "weights", expected=f"a list of {len(self.members)} numbers", got=repr(weights))
        self.weights = [1.0] * len(self.members) if weights is None else list(weights)
        numbers = all(isinstance(w, Real) and isfinite(w) and w >= 0 for w in self.weights)
        if len(self.weights) != len(self.members) or not numbers or sum(self.weights) == 0:
            raise FeatmixError(
                "OneOf", "weights", expected=f"{len(self.members)} numbers from 0 up, not all 0", got=repr(weights)
            )

    @classmethod
    def over(cls, strategy: Strategy, sites: Sequence[str], *, weights: Sequence[float] | None = None) -> Self:
        """Return a strategy at one of several sites, drawn in each step.

        Args:
            strategy: What happens there; some are replaced by another one at the input (PatchUp by a CutMix).
            sites: Names of modules, or ``input``.
            weights: How often each is chosen, in any scale; equal where not given.

        Raises:
            FeatmixError: If there is no site, or the weights do not fit.

        Example:
            >>> import featmix as fm
            >>> [(leaf.site, leaf.strategy.name) for leaf in OneOf.over(fm.PatchUp(), ["input", "layer1"]).leaves()]
            [('input', 'cutmix'), ('layer1', 'patchup')]
        """
        if not isinstance(strategy, Strategy):
            fix = strategy_meant(strategy, "layer1")
            raise FeatmixError("OneOf.over", "strategy", expected="a strategy", got=repr(strategy), fix=fix)
        if isinstance(sites, str) or not isinstance(sites, Sequence):
            raise FeatmixError("OneOf.over", "sites", expected="names of sites, in a list", got=repr(sites))
        return cls([At(site, strategy.at_input() if site == INPUT else strategy) for site in sites], weights=weights)

    def draw(self, request: Request) -> list[Params]:
        """Return one decision for each leaf, all but the chosen member's idle."""
        share = np.cumsum(self.weights)
        chosen = int(np.searchsorted(share, request.common(*self.leaves()).random() * share[-1], side="right"))
        drawn = [member.draw(request) for member in self.members]
        return [p if k == chosen else p.idle() for k, member in enumerate(drawn) for p in member]


class SomeOf(Checks, _Branch):
    """A number of the members act in each step, drawn without replacement; CrossNorm is active at two of its places at a time.

    The others are drawn too but do not act, as in :class:`OneOf`.

    Args:
        members: ``At``, ``Compose``, ``OneOf`` or ``SomeOf``.
        count: How many members act.
        p: Probability that any act, or a schedule of it.

    Raises:
        FeatmixError: If there is no member, or fewer than ``count``, or ``p`` is not a probability.

    Example:
        >>> import featmix as fm
        >>> two = SomeOf([At(site, fm.CrossNorm(p=1.0)) for site in ("layer1", "layer2", "layer3")], count=2, p=0.5)
    """

    @several_as_one_list
    def __init__(self, members: Sequence[Tree], *, count: int, p: float | Schedule = 1.0) -> None:
        super().__init__(members)
        self.count = self._whole("count", count, least=1)
        if count > len(self.members):
            raise FeatmixError("SomeOf", "count", expected=f"at most the number of members, {len(self.members)}", got=count)
        self.p = self._scheduled("p", p, 0, 1)

    def draw(self, request: Request) -> list[Params]:
        """Return one decision for each leaf, those of members that were not drawn idle."""
        random = request.common(*self.leaves())
        progress = request.progress if random is request.random or request.meeting is None else request.meeting.progress
        often = self.p(progress) if isinstance(self.p, Schedule) else self.p
        fires = random.random() < often
        order = random.permutation(len(self.members))
        chosen = set(order[: self.count].tolist()) if fires else set()
        drawn = [member.draw(request) for member in self.members]
        return [p if k in chosen else p.idle() for k, member in enumerate(drawn) for p in member]


Tree = At | Compose | OneOf | SomeOf


def as_tree(spec: Tree | Mapping[str, Strategy]) -> Tree:
    """Return a tree as it is, or ``{site: strategy}`` as the ``Compose`` that it is short for.

    Raises:
        FeatmixError: If it is neither.
    """
    if isinstance(spec, At | Compose | OneOf | SomeOf):
        return spec
    if isinstance(spec, Mapping):
        return Compose([At(site, strategy) for site, strategy in spec.items()])
    expected = "At, Compose, OneOf, SomeOf or {site: strategy}"
    raise FeatmixError("attach", "tree", expected=expected, got=repr(spec), fix=tree_meant(spec))
