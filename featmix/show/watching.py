"""A forward pass observed: a decision applied by the same hooks as in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.utils.hooks import RemovableHandle

from featmix.errors import FeatmixError
from featmix.mixer.containers import child_at, first_tensor
from featmix.mixer.mix import Mix
from featmix.mixer.mixer import Mixer
from featmix.mixer.outputs import way_to
from featmix.mixer.sites import find, unwrap
from featmix.mixer.tree import At, Tree
from featmix.seeding import seeded

Call = tuple[str, int]  # a site, and which call of it in one forward


@dataclass
class Seen:
    """The tensors seen in one forward pass.

    Args:
        before: What each call of a site returned, in the order of the forward pass.
        after: The same behind the strategies there.
        entered: What went into the model, behind the strategies at the input.
    """

    before: dict[Call, Tensor] = field(default_factory=dict)
    after: dict[Call, Tensor] = field(default_factory=dict)
    entered: Tensor | None = None


def watch(
    model: nn.Module, tree: Tree, images: Tensor, sites: Sequence[str], *, target: Tensor, seed: int, progress: float
) -> tuple[Mix, Tree, Seen, Seen]:
    """One step: drawn, applied, and seen at some sites.

    The model runs twice, without gradient and with its layers in eval mode, and is left as it was.

    Args:
        model: The model.
        tree: What is mixed, and where.
        images: ``(B, C, H, W)``.
        sites: Where to look.
        target: Labels, for strategies that look at them.
        seed: Of the step.
        progress: How far training is.

    Returns:
        The decision, the tree as it acts in the model, a forward in which nothing was mixed, and the one that the decision was
        applied in.

    Raises:
        FeatmixError: As :func:`featmix.attach` and :meth:`featmix.Mixer.draw` do, and where a site is not called.
    """
    root = unwrap(model)
    place = next(root.parameters(), images).device
    x, handles, now = images.to(place), list[RemovableHandle](), [Seen()]
    with torch.no_grad(), seeded(seed), _as_it_was(root):
        try:
            modules = {site: find(root, site) for site in dict.fromkeys(sites)}
            leaves = {leaf.site: leaf for leaf in reversed(tree.leaves())}  # the first at a site says which output is shown
            notes = {site: (module, leaves.get(site)) for site, module in modules.items()}
            handles += [
                module.register_forward_hook(_note(site, leaf, now, "before")) for site, (module, leaf) in notes.items()
            ]
            with Mixer(root, tree, generator=Generator().manual_seed(seed), seed=None) as mixer:
                handles += [
                    module.register_forward_hook(_note(site, leaf, now, "after")) for site, (module, leaf) in notes.items()
                ]
                handles.append(root.register_forward_pre_hook(_enter(now), with_kwargs=True))
                mixer.learn_shapes(x)
                clean, now[0] = now[0], Seen()
                root.eval()
                root.training = True  # of the model alone: a decision is taken, and no layer drops or averages anything
                mixer.progress = progress
                mix = mixer.draw(x, target=target)
                with mixer.teaching(mix):
                    root(x)
                acting = mixer.acting
        finally:
            for handle in handles:
                handle.remove()
    for site in modules:
        if (site, 0) not in clean.before:
            raise FeatmixError("show", "site", expected="a module that the forward pass calls", got=f"no call of {site!r}")
    return mix, acting, clean, now[0]


def _note(site: str, leaf: At | None, now: Sequence[Seen], when: str) -> Callable[[nn.Module, Any, Any], None]:
    def hook(_: nn.Module, __: Any, output: Any) -> None:
        shown = output if leaf is None else child_at(output, way_to(leaf, output))
        x, seen = first_tensor(shown), getattr(now[0], when)
        if x is not None:  # a copy, because the next layer may work in place
            seen[site, sum(site == other for other, _ in seen)] = x.detach().clone().cpu()

    return hook


def _enter(now: Sequence[Seen]) -> Callable[[nn.Module, Any, Any], None]:
    def hook(_: nn.Module, args: Any, kwargs: Any) -> None:
        x = first_tensor((args, kwargs))
        now[0].entered = None if x is None else x.detach().clone().cpu()

    return hook


@contextmanager
def _as_it_was(root: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in root.modules()}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
