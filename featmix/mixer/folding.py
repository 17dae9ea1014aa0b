"""A trial of features with several rows for each sample: whether the rows of a sample lie one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from featmix.errors import FeatmixError
from featmix.mixer.containers import paths, put
from featmix.mixer.given import Wanted, batch_of
from featmix.mixer.outputs import selected
from featmix.mixer.sites import find, unwrap
from featmix.mixer.tree import At

_SEEN = 1e-4  # of the largest value: less is rounding


def check_folding(
    root: nn.Module, leaves: Iterable[At], example: Any, wanted: Wanted, call: Callable[[nn.Module, Any], None]
) -> None:
    """Check of each site with ``groups``, by changing the first sample of an example, that its rows come first.

    Args:
        root: The model, in eval mode.
        leaves: Strategies at sites.
        example: What the model is called with.
        wanted: Which part of that the batch is.
        call: Calls the model with an example.

    Raises:
        FeatmixError: If other rows change, or none, or the example has no second sample.
    """
    folded = [leaf for leaf in leaves if leaf.groups > 1]
    if not folded:
        return
    x = batch_of(example, wanted, who="attach", mixed=False)
    if len(x) < 2:
        fix = "With one sample nothing tells which rows are its."
        raise FeatmixError("attach", "example", expected="two samples or more, for groups", got=f"{len(x)}", fix=fix)
    changed = x.clone()
    changed[0] = torch.randn_like(x[0]) if x.is_floating_point() else x[1]
    other = put(example, {path: changed for path, tensor in paths(example) if tensor is x})
    before, after = (_features(root, folded, given, len(x), call) for given in (example, other))
    for leaf in folded:
        if leaf.place in before and leaf.place in after:
            _check_rows(leaf, before[leaf.place], after[leaf.place])


def _features(
    root: nn.Module, folded: list[At], example: Any, rows: int, call: Callable[[nn.Module, Any], None]
) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    handles: list[RemovableHandle] = []

    def note(leaf: At) -> Callable[[nn.Module, Any, Any], None]:
        calls: list[None] = []

        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if len(calls) == (leaf.call or 0):
                seen[leaf.place] = selected(leaf, output, rows * leaf.groups)[0][1].detach().clone()
            calls.append(None)

        return hook

    try:
        handles += [find(unwrap(root), leaf.site).register_forward_hook(note(leaf)) for leaf in folded]
        call(root, example)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _check_rows(leaf: At, before: Tensor, after: Tensor) -> None:
    apart = (after.double() - before.double()).abs().flatten(1).amax(1)
    moved = (apart > _SEEN * before.abs().max().clamp(min=1e-30)).nonzero().flatten().tolist()
    if not moved or max(moved) >= leaf.groups:
        raise FeatmixError(
            "attach",
            leaf.place,
            expected=f"the {leaf.groups} rows of a sample one after the other",
            got=f"rows {moved} that follow the first sample",
            fix="Fold samples first: x.flatten(0, 1) of (B, T, ...), not of (T, B, ...) or of views one after the other.",
        )
