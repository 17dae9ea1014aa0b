"""One step of mixing as numbers: what the pictures show."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from featmix.labels.composing import composed
from featmix.labels.mixture import Mixture
from featmix.layouts import resolve_layout
from featmix.mixer.tree import INPUT, At, Tree
from featmix.pictures import names_of
from featmix.show.maps import MomentMaps, moment_maps
from featmix.show.watching import Call, Seen, watch
from featmix.strategies.moments import MomentStrategy
from featmix.strategies.params import Params

_AT_INPUT = -1  # the moment before all calls of hidden layers


@dataclass(frozen=True, eq=False)
class Site:
    """A hidden layer before and after.

    Where strategies act in it: before and after them, in the one forward that they act in. Where none does: in a forward in
    which nothing is mixed, and in the one in which the rest of the tree acts.

    Args:
        place: Its name, and which call of it where that was said.
        before: Moment maps of all rows.
        after: The same afterwards.
        partner: ``(B,)`` int64, whom each row takes from, itself where it is not mixed; ``None`` where no partners are drawn.
        labels_before: What the labels are ahead of the strategies here.
        labels_after: What they are behind them.
        acts: Whether a strategy acts here.
    """

    place: str
    before: MomentMaps
    after: MomentMaps
    partner: Tensor | None
    labels_before: Mixture
    labels_after: Mixture
    acts: bool


@dataclass(frozen=True, eq=False)
class Step:
    """One step.

    Args:
        does: What is done, in words.
        originals: Images ``(C, H, W)``, of any sizes.
        prepared: ``(B, C, H, W)``, behind the ``sample`` and ``batch`` parts of a pipeline.
        has_parts: Whether there are any.
        mixed: ``(B, C, H, W)``, as the model gets them.
        names: What the labels of the batch are called, and those of samples remembered from earlier batches.
        at_input: What the labels are behind the strategies at the input.
        mixture: What they are behind all strategies: what the loss is told.
        sites: Hidden layers, in the order of the forward pass.
        random_weights: Whether the features are those of a network that was not trained.
        idle: Whether nothing was mixed.
    """

    does: str
    originals: tuple[Tensor, ...]
    prepared: Tensor
    has_parts: bool
    mixed: Tensor
    names: tuple[str, ...]
    at_input: Mixture
    mixture: Mixture
    sites: tuple[Site, ...]
    random_weights: bool
    idle: bool


def take_step(
    tree: Tree,
    originals: Sequence[Tensor],
    prepared: Tensor,
    *,
    target: Tensor,
    classes: Sequence[str] | None,
    model: nn.Module,
    random_weights: bool,
    site: str | None,
    has_parts: bool,
    seed: int,
    progress: float,
) -> Step:
    """Draw one step, run the model with it, and record what is shown.

    Args:
        tree: What is mixed, and where.
        originals: Images as they came.
        prepared: As they go into the mixing.
        target: Labels.
        classes: What class indices stand for.
        model: Where hidden features come from.
        random_weights: Whether it was not trained.
        site: The hidden layer to look at; ``None`` for all that the tree acts in.
        has_parts: Whether a pipeline did something to the images before.
        seed: Of the step.
        progress: How far training is.

    Raises:
        FeatmixError: As :func:`~featmix.show.watching.watch` does.
    """
    tree = copy.deepcopy(tree)  # a step of training would be remembered by strategies that remember
    leaves = tree.leaves()
    looked_at = [leaf.site for leaf in leaves if leaf.site != INPUT] + ([] if site is None else [site])
    mix, acting, clean, seen = watch(model, tree, prepared, looked_at, target=target, seed=seed, progress=progress)
    course = _Course(acting.leaves(), [params.to("cpu") for params in mix.params.values()], list(seen.before), len(prepared))
    places = course.places()
    if site is not None:
        places = {place: call for place, call in places.items() if call[0] == site} or {site: (site, 0)}
    mixture = course.labels(len(seen.before))
    beyond = [] if mixture.beyond is None else names_of(mixture.beyond, len(mixture.beyond), classes, "show")
    return Step(
        does=repr(tree) if leaves else "nothing is mixed",
        originals=tuple(originals),
        prepared=prepared,
        has_parts=has_parts,
        mixed=prepared if seen.entered is None else seen.entered,
        names=(*names_of(target, len(prepared), classes, "show"), *beyond),
        at_input=course.labels(_AT_INPUT),
        mixture=mixture,
        sites=tuple(_site(place, call, course, clean, seen) for place, call in places.items()),
        random_weights=random_weights,
        idle=not any(bool(params.active.any()) for _, params in course.acting),
    )


def _site(place: str, call: Call, course: _Course, clean: Seen, seen: Seen) -> Site:
    moment = course.calls.index(call)
    here = [pair for pair in course.acting if course.when(pair[0]) == moment]
    x = seen.before[call]
    strategy = here[-1][0].strategy if here else None
    layout = resolve_layout(None, x.shape, "show") if strategy is None else strategy.layout_of(x.shape)
    prefix = 0 if strategy is None else strategy.axes.prefix_of(x.shape)
    norm = strategy.normalizer if isinstance(strategy, MomentStrategy) else None
    return Site(
        place=place,
        before=moment_maps(x if here else clean.before[call], layout, prefix, norm),
        after=moment_maps(seen.after[call], layout, prefix, norm),
        partner=_partner(here or [pair for pair in course.acting if course.when(pair[0]) < moment]),
        labels_before=course.labels(moment - 1) if here else Mixture.identity(len(x)),
        labels_after=course.labels(moment),
        acts=bool(here),
    )


class _Course:
    """The order in which strategies act in the forward pass: at the input first, then at the calls of sites that were seen."""

    def __init__(self, leaves: Sequence[At], drawn: Sequence[Params], calls: Sequence[Call], batch: int) -> None:
        self.calls, self.batch = calls, batch
        self.acting = sorted(zip(leaves, drawn, strict=True), key=lambda pair: self.when(pair[0]))

    def when(self, leaf: At) -> int:
        return _AT_INPUT if leaf.site == INPUT else self.calls.index((leaf.site, leaf.call or 0))

    def places(self) -> dict[str, Call]:
        return {leaf.place: (leaf.site, leaf.call or 0) for leaf, _ in self.acting if leaf.site != INPUT}

    def labels(self, until: int) -> Mixture:
        """The labels of all strategies up to a moment, composed in the order of the forward pass."""
        return composed(self.batch, [leaf.label_step(params) for leaf, params in self.acting if self.when(leaf) <= until])


def _partner(acting: Sequence[tuple[At, Params]]) -> Tensor | None:
    """The partners of the last strategy that has any, of those that mixed something if one did."""
    partnered = [params.tied() for leaf, params in acting if leaf.strategy.tags.partnered]
    mixed = [params for params in partnered if bool(params.active.any())]
    return (mixed or partnered)[-1].partner if partnered else None
