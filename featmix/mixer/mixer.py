"""The mixer: draws for a model, and tells the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import torch
from torch import Generator, Tensor, nn
from torch.utils.hooks import RemovableHandle

from featmix.errors import FeatmixError, nearest
from featmix.labels.composing import composed
from featmix.labels.mixture import Mixture
from featmix.mixer.containers import first_tensor
from featmix.mixer.hooks import ModelPostHook, ModelPreHook, SiteHook
from featmix.mixer.mix import Mix
from featmix.mixer.reading import Reading
from featmix.mixer.sites import find, unwrap
from featmix.mixer.switch import Decision, Switch
from featmix.mixer.tree import INPUT, At, Request, Tree
from featmix.sampling.draws import Stream, borrowed, stream
from featmix.schedule import checked_progress
from featmix.seeding import derived, rank
from featmix.strategies.border import check_rows
from featmix.strategies.params import decisions_to
from featmix.support.compiling import never_traced


class Mixer:
    """Strategies attached to a model; made by :func:`attach`."""

    def __init__(self, model: nn.Module, tree: Tree, *, generator: Generator | None, seed: int | None) -> None:
        self.tree = tree
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._root = unwrap(model)
        self._switch = Switch()
        self._reading = Reading(self._root, tree)
        self._leaves = _keyed(self._reading.tree.leaves())
        self._places = {key: leaf.place for key, leaf in self._leaves.items()}
        _check_that_inputs_stay(self._leaves.values())
        # Keys in the order in which labels compose: the input first, the rest as listed until an example says otherwise.
        self._order = sorted(self._leaves, key=lambda key: self._leaves[key].site != INPUT)
        self._generator = _checked_generator(generator)
        self._seed = _checked_seed(seed, generator)
        self._handles: list[RemovableHandle] = []
        self._progress = 0.0
        self._hook()

    @property
    def acting(self) -> Tree:
        """The tree as it acts in this model: strategies that name no axes are told those that the model says it has."""
        return self._reading.tree

    @property
    def progress(self) -> float:
        """How far training is, ``step / total`` in [0, 1]: what settings that are schedules go by."""
        return self._progress

    @progress.setter
    def progress(self, value: float) -> None:
        self._progress = checked_progress("Mixer", value)

    @never_traced
    def draw(
        self,
        images: Any,
        target: Tensor | None = None,
        domain: Tensor | None = None,
        mask: Tensor | Mapping[str, Tensor] | None = None,
    ) -> Mix:
        """Decide for the next training forward, and arm it, once. In eval mode nothing is decided and labels stay.

        Args:
            images: The batch that goes into the model next; of a container, the first tensor counts.
            target: Its labels, for strategies that look at them.
            domain: ``(B,)`` domain labels, for ``partner="crossdomain"``.
            mask: ``(B, *positions)`` bool, False where there is padding, at every site; or ``{site: mask}`` where sites
                differ in resolution, or some have no padding.

        Raises:
            FeatmixError: If the last decision has not been taken by a forward yet, or a strategy cannot decide.
        """
        x = first_tensor(images)
        if x is None or x.ndim == 0:
            raise FeatmixError("Mixer.draw", "images", expected="a batch", got=type(images).__name__)
        if not self._handles:
            raise FeatmixError("Mixer.draw", expected="an attached mixer", got="one that was removed", fix="Attach again.")
        if not self._root.training:
            request = self._request(x, target, domain, mask, stream(Generator().manual_seed(0)))  # not from the mixer's own
            resting = decisions_to([p.idle() for p in self._reading.tree.draw(request)], x.device)
            params = dict(zip(self._leaves, resting, strict=True))
            return Mix(params, Mixture.identity(len(x), x.device), {}, _nothing)
        if self._switch.next is not None:
            raise FeatmixError(
                "Mixer.draw",
                expected="a training forward after each draw",
                got="a second draw",
                fix="Call the model in training mode, or mixer.discard() to drop the decision. If you did call it: it was "
                "compiled and run before attach, or what you called is not what you attached to.",
            )
        with borrowed(self._seeded()) as random:
            request = self._request(x, target, domain, mask, random)
            drawn = dict(zip(self._leaves, self._reading.tree.draw(request), strict=True))
        idle = frozenset(key for key, p in drawn.items() if not p.acts())
        mixture = composed(len(x), (self._leaves[key].label_step(drawn[key]) for key in self._order))
        *there, mixture = decisions_to(list(drawn.values()), x.device, mixture)
        params = dict(zip(drawn, there, strict=True))
        labelled = tuple(key for key in self._order if key not in idle and self._leaves[key].strategy.tags.mixes_labels)
        decision = Decision(params, idle, labelled, self._places, tuple(x.shape[1:]))
        self._switch.next = decision
        strategies = {key: self._leaves[key].strategy for key in self._order}
        return Mix(params, mixture, strategies, lambda: self._check_applied(decision))

    def discard(self) -> None:
        """Drop a decision that no forward has taken."""
        self._switch.next = None

    def learn_shapes(self, example: Any) -> None:
        """Run the model once on an example, in eval mode and without gradient, to learn each site's shape and their order.

        Args:
            example: A batch as the model takes it: a tensor, a tuple of arguments or a dict of keyword arguments.
        """
        seen: dict[str, list[tuple[int, tuple[int, ...]]]] = {}  # of each site, when it was called and what it returned

        def note(site: str) -> Callable[[nn.Module, Any, Any], None]:
            def hook(_: nn.Module, __: Any, output: Any) -> None:
                x = first_tensor(output)
                if x is not None:
                    seen.setdefault(site, []).append((sum(map(len, seen.values())), tuple(x.shape[1:])))

            return hook

        sites = dict.fromkeys(leaf.site for leaf in self._leaves.values() if leaf.site != INPUT)
        handles = [find(self._root, site).register_forward_hook(note(site)) for site in sites]
        modes = {module: module.training for module in self._root.modules()}
        armed, self._switch.next = self._switch.next, None
        try:
            with torch.no_grad(), torch.random.fork_rng(), self._reading.checked(example):
                self._root.eval()
                _call(self._root, example)
        finally:
            self._switch.next = armed
            for module, mode in modes.items():
                module.training = mode
            for handle in handles:
                handle.remove()
        hidden = {key: leaf for key, leaf in self._leaves.items() if leaf.site != INPUT}
        silent = [leaf.place for leaf in hidden.values() if len(seen.get(leaf.site, ())) <= (leaf.call or 0)]
        if silent:
            raise FeatmixError(
                "attach",
                ", ".join(silent),
                expected="a module that the forward pass calls and that returns a tensor",
                got="no call of it in a forward of the example",
                fix="It may be bypassed or called by .forward().",
            )
        met = {key: seen[leaf.site][leaf.call or 0] for key, leaf in hidden.items()}
        self.shapes = {leaf.place: met[key][1] for key, leaf in hidden.items()}
        self._order.sort(key=lambda key: met[key][0] if key in met else -1)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to continue exactly: plain numbers and tensors."""
        return {
            "seed": self._seed,
            "rank": rank(),
            "progress": self._progress,
            "strategies": {key: leaf.strategy.state_dict() for key, leaf in self._leaves.items()},
            "generator": self._seeded().get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state, to continue where :meth:`state_dict` was taken.

        Raises:
            FeatmixError: If it is no such state.
        """
        known = isinstance(state, Mapping) and set(state) == set(self.state_dict())
        if not known or not isinstance(state["generator"], Tensor) or set(state["strategies"]) != set(self._leaves):
            got = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
            raise FeatmixError(
                "Mixer.load_state_dict", "state", expected="seed, rank, progress, strategies and generator", got=got
            )
        self._seed, self.progress = _checked_seed(state["seed"], None), state["progress"]
        for key, leaf in self._leaves.items():
            leaf.strategy.load_state_dict(state["strategies"][key])
        bits = state["generator"].cpu()
        try:
            self._seeded().set_state(bits)
        except (RuntimeError, TypeError) as error:
            raise FeatmixError("Mixer.load_state_dict", "generator", expected="a generator's state", got=str(error)) from error
        if state["rank"] != rank():  # one rank's checkpoint loaded by all: each goes on in a stream of its own
            self._seeded().manual_seed(derived(self._seed, rank(), *bits[:4096].view(torch.int32).abs().tolist()))

    def remove(self) -> None:
        """Take every hook off: the model is what it was."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._switch.next = self._switch.current = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _hook(self) -> None:
        hooks = [h for m in self._root.modules() for h in (*m._forward_pre_hooks.values(), *m._forward_hooks.values())]
        if any(isinstance(hook, ModelPreHook | SiteHook) for hook in hooks):
            raise FeatmixError(
                "attach",
                "model",
                expected="a model that nothing is attached to",
                got="one with a mixer, on itself or on a part of it",
                fix="Remove that one first, or compose both in one tree: the labels of two mixers would not compose.",
            )
        by_site: dict[str, dict[str, At]] = {}
        for key, leaf in self._leaves.items():
            by_site.setdefault(leaf.site, {})[key] = leaf
        at_input = by_site.pop(INPUT, {})
        modules = {site: find(self._root, site) for site in by_site}  # all names are checked before any hook is put on
        register = self._handles.append
        register(self._root.register_forward_pre_hook(ModelPreHook(self._switch, at_input), with_kwargs=True))
        for site, module in modules.items():
            register(module.register_forward_hook(SiteHook(self._switch, site, by_site[site])))
        register(self._root.register_forward_hook(ModelPostHook(self._switch), always_call=True))

    def _request(
        self,
        x: Tensor,
        target: Tensor | None,
        domain: Tensor | None,
        mask: Tensor | Mapping[str, Tensor] | None,
        random: Stream,
    ) -> Request:
        check_rows("Mixer.draw", len(x), target=target, domain=domain)
        if isinstance(mask, Mapping):
            sites = {leaf.site for leaf in self._leaves.values()}
            for site in mask:
                if site not in sites:
                    raise FeatmixError(
                        "Mixer.draw",
                        "mask",
                        expected="masks of the tree's sites",
                        got=repr(site),
                        fix=nearest(str(site), sites),
                    )
        return Request(
            len(x),
            random,
            {**self.shapes, INPUT: tuple(x.shape[1:])},
            target,
            domain,
            mask=mask,
            progress=self._progress,
            training=self._root.training,
        )

    def _seeded(self) -> Generator:
        """Return the mixer's own generator, made at the first use: by then a process group, if any, has ranks."""
        if self._generator is None:
            self._generator = Generator().manual_seed(derived(self._seed, rank()))
        return self._generator

    def _check_applied(self, decision: Decision) -> None:
        if self._switch.next is decision:
            raise FeatmixError(
                "Mix.loss",
                expected="a training forward of the attached model between draw and loss",
                got="none",
                fix="If you did call it: it was compiled and run before attach, or is in eval mode.",
            )
        self._switch.check_fired(decision)


def _keyed(leaves: tuple[At, ...]) -> dict[str, At]:
    keyed: dict[str, At] = {}
    for leaf in leaves:
        again = sum(other.site == leaf.site for other in keyed.values())
        keyed[f"{leaf.site}#{again + 1}" if again else leaf.site] = leaf
    return keyed


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


def _call(model: nn.Module, example: Any) -> None:
    if isinstance(example, Mapping):
        model(**example)
    elif isinstance(example, tuple):
        model(*example)
    else:
        model(example)


def _checked_seed(seed: int | None, generator: Generator | None) -> int:
    if seed is None:
        return 0 if generator is not None else int(torch.randint(2**31, ()))
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise FeatmixError("attach", "seed", expected="a whole number from 0 up", got=repr(seed))
    return seed


def _checked_generator(generator: Generator | None) -> Generator | None:
    if generator is not None and not isinstance(generator, Generator):
        raise FeatmixError("attach", "generator", expected="a torch.Generator", got=repr(generator))
    return generator


def _nothing() -> None:
    return None
