"""The mixer: draws decisions for a model, and knows what each makes of the labels."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self

from torch import Generator, Tensor, nn

from featmix.errors import FeatmixError, nearest
from featmix.labels.composing import composed, followable
from featmix.labels.mixture import Mixture
from featmix.mixer.across import Company, Together
from featmix.mixer.automatic import RECENT, AlsoGiven, Automatic, DrawPreHook, checked_auto
from featmix.mixer.dry_run import dry_run
from featmix.mixer.given import Given, Wanted, batch_of
from featmix.mixer.hooked import Mark, hooks_of
from featmix.mixer.hooks import ModelPostHook, ModelPreHook, SiteHook
from featmix.mixer.mix import Mix
from featmix.mixer.notices import Notices
from featmix.mixer.outputs import check_places
from featmix.mixer.printed import mixer_in_words
from featmix.mixer.reading import Reading
from featmix.mixer.repeating import Repeating
from featmix.mixer.sites import find, runnable, unwrap
from featmix.mixer.state import Resuming, checked_generator, checked_seed
from featmix.mixer.switch import Decision, Switch
from featmix.mixer.tree import INPUT, At, Request, Tree
from featmix.sampling.draws import Stream, borrowed, stream
from featmix.schedule import checked_progress
from featmix.seeding import rank
from featmix.strategies.border import Chosen, Partners, check_rows, own_partners, own_rows
from featmix.strategies.memory import kept_unmixed
from featmix.strategies.params import Params, decisions_to
from featmix.support.arguments import helpful
from featmix.support.compiling import never_traced

LABELS = dict.fromkeys(("label", "labels", "targets", "y"), "Write mixer.draw(images, target=labels).")  # for draw's target=


class Mixer(Automatic, Repeating, Resuming, Together):
    """Strategies attached to a model; made by :func:`attach`."""

    def __init__(
        self,
        model: nn.Module,
        tree: Tree,
        *,
        generator: Generator | None,
        seed: int | None,
        input: str | int | None = None,
        auto: bool | AlsoGiven = False,
    ) -> None:
        self.tree = tree
        self._auto = checked_auto(auto)
        self._recent: deque[Mix] = deque(maxlen=RECENT)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._root, self._runnable = unwrap(model), runnable(model)
        self._wanted = Wanted.of(self._root, input)
        self._reading = Reading(self._root, tree)
        self._switch = Switch(Notices(self._reading.tree))
        self._leaves = _keyed(self._reading.tree.leaves())
        self._company = Company(self._reading.tree)
        self._places = {key: leaf.place for key, leaf in self._leaves.items()}
        _check_that_inputs_stay(self._leaves.values())
        # Keys in the order in which labels compose: the input first, the rest as listed until an example says otherwise.
        self._order = sorted(self._leaves, key=lambda key: self._leaves[key].site != INPUT)
        self._generator = checked_generator(generator)
        self._seed = checked_seed(seed, generator)
        self._draws = 0 if generator is None else None  # since the generator was made from seed and rank
        self._sent_by: int | None = None  # the rank that this mixer was copied from, until it attaches
        self._progress = 0.0
        self._hook()

    @property
    def acting(self) -> Tree:
        """The tree as it acts in this model: strategies without a layout have the one that the model tells."""
        return self._reading.tree

    @property
    def progress(self) -> float:
        """How far training is, ``step / total`` in [0, 1]: the argument of settings that are schedules."""
        return self._progress

    @progress.setter
    def progress(self, value: float) -> None:
        self._progress = checked_progress("Mixer", value)
        self._switch.notices.progress_was_set()

    @never_traced
    @helpful("Mixer.draw", LABELS, write="mixer.draw(images, target=labels)")
    def draw(
        self,
        images: Any,
        target: Tensor | None = None,
        domain: Tensor | None = None,
        mask: Tensor | Mapping[str, Tensor] | None = None,
        *,
        partner: Partners | None = None,
        rows: Chosen | None = None,
    ) -> Mix:
        """Decide for the next training forward, and arm it, once. In eval mode nothing is decided and labels stay.

        Args:
            images: The batch that goes into the model next; at the input this tensor is mixed. In a container it is the entry
                that ``attach(..., input=...)`` names, else the one called ``images``, ``pixel_values``, ``input_values`` or
                ``inputs_embeds``, else the only floating tensor beside labels.
            target: Its labels, for strategies that look at them.
            domain: ``(B,)`` domain labels, for ``partner="crossdomain"``.
            mask: ``(B, *positions)`` bool, False where there is padding, at every site; or ``{site: mask}`` where sites
                differ in resolution, or some have no padding.
            partner: ``(B,)`` int64, the partners for all strategies that have any, in place of drawn ones: row ``i`` takes from
                row ``partner[i]``.
            rows: ``(B,)`` bool, False for rows that no strategy may mix: they come out bit for bit, with their own labels.
                Other rows may take from them; to prevent that, give ``partner`` too.

        Raises:
            FeatmixError: If no forward has used the last decision yet, or a strategy cannot decide.
        """
        x = self._drawn_for(images)
        if not self._switch.handles:
            self._attach_to_copy()
        own, only = own_partners("Mixer.draw", len(x), partner), own_rows("Mixer.draw", len(x), rows)
        given = {"target": target, "domain": domain, "mask": mask, "partner": own, "rows": only}
        if not self._root.training:
            return self._resting(x, given)
        if self._switch.next is not None:
            raise FeatmixError(
                "Mixer.draw",
                expected="a training forward after each draw",
                got="a second draw",
                fix="Call the model in training mode, or mixer.discard() to drop the decision. If you did call it, what you "
                "called is not what you attached to, but a copy of it, or it ran under no_grad: such a forward takes a "
                "decision only inside `with mixer.teaching(mix):`.",
            )
        if link := self._link():
            meeting = self._meet(link, x, given)
            if meeting.sits_out:
                return self._resting(x, given)
            drawn = self._drawn_among(meeting, x, given)
            steps = self._company.label_steps(drawn, self._order, self._leaves, meeting)
        else:
            with borrowed(self._seeded()) as random:
                drawn = dict(zip(self._leaves, self._reading.tree.draw(self._request(x, random, given)), strict=True))
            steps = [self._leaves[key].label_step(drawn[key]) for key in self._order]
        mixture = composed(len(x), steps)
        if self._draws is not None:
            self._draws += 1
        self._decided(drawn)
        idle = frozenset(key for key, p in drawn.items() if not p.acts())
        if not followable(steps):
            self._switch.notices.boxes_that_cannot_be_followed(
                [step.place for step in steps if step is not None and step.spatial]
            )
        labelled = tuple(key for key in self._order if key not in idle and self._leaves[key].strategy.tags.mixes_labels)
        kept = kept_unmixed(drawn, self._order, labelled)
        *there, mixture = decisions_to([self._leaves[key].for_features(p) for key, p in kept.items()], x.device, mixture)
        params = dict(zip(drawn, there, strict=True))
        decision = Decision(params, idle, labelled, self._places, Given.of(x, self._wanted))
        decision.notices = self._switch.notices
        self._switch.next = decision
        self._switch.notices.drawn(decision.record, self._shapes_with(x), mixes_labels=bool(labelled))
        strategies = {key: self._leaves[key].strategy for key in self._order}
        mix = Mix(params, mixture, strategies, decision=decision, switch=self._switch)
        decision.record.mix = weakref.ref(mix)
        self._recent.appendleft(mix)
        return mix

    def _decided(self, drawn: dict[str, Params]) -> None:
        """Look at a decision while it is on the host; for subclasses."""

    def _resting(self, x: Tensor, given: dict[str, Any]) -> Mix:
        """Return a decision that leaves all as it is, and arms nothing."""
        request = replace(
            self._request(x, stream(Generator().manual_seed(0)), given), training=False
        )  # not the mixer's own stream
        leaves = self._leaves.values()
        still = [leaf.for_features(p.idle()) for leaf, p in zip(leaves, self._reading.tree.draw(request), strict=True)]
        params = dict(zip(self._leaves, decisions_to(still, x.device), strict=True))
        return Mix(params, Mixture.identity(len(x), x.device), {})

    @never_traced
    def draw_for_call(self, hook: DrawPreHook, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Draw for a call of the model that begins; of ``auto=True``."""
        self.discard()
        arguments = hook.arguments(args, kwargs)
        given = hook.given_for(arguments)
        if given is None:
            return
        try:
            self.draw(args[0] if len(args) == 1 and not kwargs else arguments, **given)
        except FeatmixError as error:
            more = "With auto=, a function of the model's arguments gives the rest: auto=lambda arguments: {'target': ...}."
            if hook.given is None and "when drawing" in error.fix:
                raise FeatmixError(
                    error.subject, error.argument, expected=error.expected, got=error.got, fix=f"{error.fix} {more}"
                ) from error
            raise
        hook.drawn = self._switch.next

    def discard(self) -> None:
        """Drop a decision that no forward has used."""
        self._switch.next = None

    def learn_shapes(self, example: Any) -> None:
        """Run the model once on an example, in eval mode and without gradient, to learn each site's shape and their order.

        Args:
            example: A batch as the model takes it: a tensor, a tuple of arguments or a dict of keyword arguments.
        """
        armed, self._switch.next = self._switch.next, None
        try:
            learned = dry_run(self._runnable, self._root, self._leaves, example, self._wanted, self._reading)
        finally:
            self._switch.next = armed
        self.shapes = learned.shapes
        self._order.sort(key=lambda key: learned.when.get(key, -1))

    def remove(self) -> None:
        """Take every hook off: the model is what it was."""
        self._switch.release()
        self._sent_by = None

    def __repr__(self) -> str:
        with suppress(Exception):  # of one that is half made
            said = [f"seed {self._seed}"] if self._draws is not None else ["a generator of your own"]
            said += [] if self._draws is None else [f"{self._draws} draw{'s' * (self._draws != 1)}"]
            said += [f"progress {self._progress:g}"] if self._progress else []
            said += [] if self._switch.handles else ["removed"]
            said += ["a decision waits for its forward"] if self._switch.next is not None else []
            return mixer_in_words(self._root, self.tree, self.shapes, said)
        return object.__repr__(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def __getstate__(self) -> dict[str, Any]:
        """Of a copy: its model carries no hooks, so it attaches to that when it first draws."""
        sent_by = rank() if self._switch.handles else self._sent_by
        return {**vars(self), "_recent": deque(maxlen=RECENT), "_switch": None, "_runnable": self._root, "_sent_by": sent_by}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _switch=Switch(Notices(state["tree"])))

    def _attach_to_copy(self) -> None:
        if self._sent_by is None:
            raise FeatmixError("Mixer.draw", expected="an attached mixer", got="one that was removed", fix="Attach again.")
        self._hook()
        if self._generator is not None and self._sent_by != rank():
            self._continue_another()
        self._sent_by = None

    def _hook(self) -> None:
        if next(hooks_of(self._root), None) is not None:
            raise FeatmixError(
                "attach",
                "model",
                expected="a model that nothing is attached to",
                got="one with a mixer, on itself or on a part of it",
                fix="Remove that one first, with mixer.remove() or featmix.detach(model), or compose both in one tree: the "
                "labels of two mixers would not compose.",
            )
        by_site: dict[str, dict[str, At]] = {}
        for key, leaf in self._leaves.items():
            by_site.setdefault(leaf.site, {})[key] = leaf
        at_input = by_site.pop(INPUT, {})
        modules = {site: find(self._root, site) for site in by_site}  # all names are checked before any hook is put on
        check_places(self._leaves.values(), modules)
        register = self._switch.handles.append
        if self._auto is not False:
            also = None if self._auto is True else self._auto
            drawing = DrawPreHook(self, self._switch, self._wanted, also)
            register(self._root.register_forward_pre_hook(drawing, with_kwargs=True))
        register(self._root.register_forward_pre_hook(ModelPreHook(self._switch, at_input), with_kwargs=True))
        for site, module in modules.items():
            register(module.register_forward_hook(SiteHook(self._switch, site, by_site[site])))
        register(self._root.register_forward_hook(ModelPostHook(self._switch), always_call=True))
        for module in (self._root, *modules.values()):
            register(Mark(module))

    def _request(self, x: Tensor, random: Stream, given: dict[str, Any]) -> Request:
        check_rows("Mixer.draw", len(x), target=given["target"], domain=given["domain"])
        if isinstance(given["mask"], Mapping):
            sites = {leaf.site for leaf in self._leaves.values()}
            for site in given["mask"]:
                if site not in sites:
                    raise FeatmixError(
                        "Mixer.draw",
                        "mask",
                        expected="masks of the tree's sites",
                        got=repr(site),
                        fix=nearest(str(site), sites),
                    )
        if given["partner"] is not None:
            _check_that_partners_serve(self._leaves.values(), given["partner"])
        return Request(len(x), random, self._shapes_with(x), progress=self._progress, training=self._root.training, **given)

    def _shapes_with(self, x: Tensor) -> dict[str, tuple[int, ...]]:
        return {**self.shapes, INPUT: tuple(x.shape[1:])}

    def _drawn_for(self, images: Any) -> Tensor:
        mixed = any(leaf.site == INPUT for leaf in self._leaves.values())
        return batch_of(images, self._wanted, who="Mixer.draw", mixed=mixed)


def _keyed(leaves: tuple[At, ...]) -> dict[str, At]:
    keyed: dict[str, At] = {}
    for leaf in leaves:
        again = sum(other.site == leaf.site for other in keyed.values())
        keyed[f"{leaf.site}#{again + 1}" if again else leaf.site] = leaf
    return keyed


def _check_that_partners_serve(leaves: Iterable[At], partner: Tensor) -> None:
    for leaf in leaves:
        leaf.strategy.check_partners("Mixer.draw", partner)
    if not any(leaf.strategy.tags.partnered for leaf in leaves):
        expected = "None, for a tree whose strategies have no partners"
        raise FeatmixError("Mixer.draw", "partner", expected=expected, got="partners")


def _check_that_inputs_stay(leaves: Iterable[At]) -> None:
    for leaf in leaves:
        if leaf.strategy.inplace:
            raise FeatmixError(
                "attach",
                repr(leaf.site),
                expected="a strategy that leaves its input as it is",
                got=f"{type(leaf.strategy).__name__} with inplace=True",
                fix="Backward may need what a layer gave, and checkpointing runs it twice. In place, mix before the model: "
                "images, targets = strategy(images, targets).",
            )
