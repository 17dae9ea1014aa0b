"""States of strategies: tried on a copy first, so that a state that does not fit changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from featmix.errors import FeatmixError

_MOST_CLASSES = 2**24
_PASSED_OVER = (-1, -100)  # labels that losses leave out


def check_state(who: str, module: nn.Module, state: Mapping[str, Any], *, strict: bool = True) -> None:
    """Refuse a state that cannot be loaded into a module, which stays as it is.

    Args:
        who: Who refuses.
        module: A strategy.
        state: What its ``load_state_dict`` is given.
        strict: Whether all of its entries must be there, and no others.

    Raises:
        FeatmixError: If it cannot.
    """
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        got = type(state).__name__ if not isinstance(state, Mapping) else "entries without names"
        raise FeatmixError(who, "state", expected="tensors by name", got=got)
    for name, own in module.state_dict().items():
        given = state.get(name)
        if isinstance(own, Tensor) and isinstance(given, Tensor):
            check_held(who, name, given)
            if own.is_floating_point() != given.is_floating_point() or own.is_complex() != given.is_complex():
                raise FeatmixError(who, name, expected=str(own.dtype), got=str(given.dtype))
    trial = copy.deepcopy(module)
    try:
        nn.Module.load_state_dict(trial, state, strict=strict)
    except FeatmixError:
        raise
    except Exception as error:  # torch's RuntimeError, and whatever a strategy's own way to load finds wrong
        got = " ".join(f"{type(error).__name__}: {error}".split())
        raise FeatmixError(who, "state", expected="the state of such a strategy", got=got) from error


def check_held(who: str, name: str, t: Tensor) -> None:
    """Refuse a tensor that does not hold its numbers: one without memory of its own, or sparse.

    Raises:
        FeatmixError: If it is one.
    """
    plain = t.layout is torch.strided and t.device.type != "meta" and not t.is_quantized
    if not plain or t.untyped_storage().nbytes() < t.numel() * t.element_size():
        got = f"one that does not, {t.dtype} {tuple(t.shape)}"
        raise FeatmixError(who, name, expected="a tensor that holds its numbers", got=got)


def check_fit(lends: Sequence[str], tensors: Mapping[str, Tensor]) -> None:
    """Refuse entries of a memory that do not go together, and labels that are none.

    Args:
        lends: Names of what it keeps of a sample.
        tensors: Its entries.

    Raises:
        FeatmixError: If there are some.
    """
    shapes = {name: tuple(tensors[name].shape[1:]) for name in lends}
    if len(set(shapes.values())) > 1:
        raise FeatmixError("memory", "state", expected="one shape for all that is lent", got=shapes)
    if tensors["written"].ndim != 1:
        raise FeatmixError("memory", "written", expected="one truth value a slot", got=tuple(tensors["written"].shape))
    label, written = tensors["label"].cpu(), tensors["written"].cpu()
    if label.dtype.is_floating_point or label.dtype == torch.bool or label.ndim != 1:
        return
    classes = label[written].tolist()
    wrong = [c for c in classes if not (0 <= c < _MOST_CLASSES or c in _PASSED_OVER)]
    if wrong:
        raise FeatmixError("memory", "label", expected="class indices", got=str(wrong[0]))
