"""One forward of an example, before training: which sites it comes past, when, and the shape of the features there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from featmix.errors import FeatmixError
from featmix.mixer.folding import check_folding
from featmix.mixer.given import Wanted, batch_of
from featmix.mixer.outputs import shape_met
from featmix.mixer.reading import Reading
from featmix.mixer.sites import find
from featmix.mixer.tree import INPUT, At
from featmix.support.compiling import uncompiled


@dataclass(frozen=True)
class Learned:
    """What a dry run tells of hidden sites.

    Args:
        shapes: Of one sample, by place.
        when: The turn of each leaf in the forward pass, by key.
    """

    shapes: dict[str, tuple[int, ...]]
    when: dict[str, int]


def dry_run(
    model: nn.Module, root: nn.Module, leaves: Mapping[str, At], example: Any, wanted: Wanted, reading: Reading
) -> Learned:
    """Run a model once, in eval mode and without gradient, and look at its sites.

    Args:
        model: What runs it in this process.
        root: The same without wrappers, in which the sites have their names.
        leaves: Strategies at sites, by key.
        example: A batch as the model takes it: a tensor, a tuple of arguments or a dict of keyword arguments.
        wanted: Which of the arguments the batch is.
        reading: Compares the axes that strategies go by with what the layers say.

    Raises:
        FeatmixError: If the forward does not come past a site, or features there are not what their strategy takes.
    """
    if isinstance(example, tuple) and example and all(isinstance(size, int) for size in example):
        fix = f"Write example=torch.zeros{tuple(example)}."
        raise FeatmixError("attach", "example", expected="a batch as the model takes it", got=repr(example), fix=fix)
    try:
        batch = batch_of(example, wanted, who="attach", mixed=False)
    except FeatmixError:
        batch = None
    hidden = {key: leaf for key, leaf in leaves.items() if leaf.site != INPUT}
    seen: dict[str, list[tuple[int, dict[str, tuple[int, ...]]]]] = {}  # of each site, when it was called, and shapes there
    noting = _noting(hidden.values(), seen, None if batch is None else len(batch))
    handles = [find(root, site).register_forward_hook(noting(site)) for site in dict.fromkeys(x.site for x in hidden.values())]
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad(), torch.random.fork_rng(), uncompiled():
            model.eval()
            with reading.checked(batch):
                _call(model, example)
            check_folding(model, leaves.values(), example, wanted, _call)
    finally:
        if torch.is_autocast_cache_enabled():
            torch.clear_autocast_cache()  # weights that were cast without gradient are not to be used in training
        for module, mode in modes.items():
            module.training = mode
        for handle in handles:
            handle.remove()
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
    return Learned(
        {leaf.place: met[key][1][leaf.place] for key, leaf in hidden.items()}, {key: turn for key, (turn, _) in met.items()}
    )


def _noting(
    leaves: Collection[At], seen: dict[str, list[tuple[int, dict[str, tuple[int, ...]]]]], rows: int | None
) -> Callable[[str], Callable[[nn.Module, Any, Any], None]]:
    def at(site: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            here = [leaf for leaf in leaves if leaf.site == site]
            meant = [leaf for leaf in here if (leaf.call or 0) == len(seen.get(site, ()))]
            met = {leaf.place: shape_met(leaf, output, None if rows is None else rows * leaf.groups) for leaf in meant}
            shapes = {place: shape for place, shape in met.items() if shape is not None}
            if shapes or not meant:
                seen.setdefault(site, []).append((sum(map(len, seen.values())), shapes))

        return hook

    return at


def _call(model: nn.Module, example: Any) -> None:
    if isinstance(example, Mapping):
        model(**example)
    elif isinstance(example, tuple):
        model(*example)
    else:
        model(example)
