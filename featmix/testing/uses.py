"""What laws do with a strategy: copies of it, decisions with all that can be given, and whether two decisions are the same."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params
from featmix.testing.inputs import noise
from featmix.testing.law import Case, demand, same_bits, sample_shape, transformed
from featmix.testing.seen import seen


def twin(strategy: Strategy, **changes: Any) -> Strategy:
    """A copy of a strategy, in training mode, with other attributes: what it keeps between calls stays with it.

    Where it cannot be copied, which another law refuses, it is the strategy itself, unless attributes are to change.
    """
    try:
        made = copy.deepcopy(strategy)
    except Exception:
        if changes:
            raise
        return strategy
    for name, value in changes.items():
        setattr(made, name, value)
    return made.train()


def gated_apart(strategy: Strategy) -> Strategy:
    """A copy of a strategy that mixes half of the rows, each by itself."""
    return twin(strategy, p=0.5, per="sample")


def case_apart(strategy: Strategy, x: Tensor, seed: int) -> Case:
    """A case of :func:`gated_apart` of a strategy, that says so."""
    case = Case(gated_apart(strategy), x, seed)
    tell(x, seed, "gated_apart(subject)")
    return case


def tell(x: Tensor, seed: int, made: str, said: str = "") -> None:
    """Say that a law looks at the decision of another strategy, which this Python makes of ``subject``."""
    drawn = f"generator=torch.Generator().manual_seed({seed}){', ' if said else ''}{said}"
    seen(x, seed, f"used = {made}\nparams = used.make_params(x.shape, {drawn})")


def remade(strategy: Strategy, **changes: Any) -> Strategy | None:
    """The same strategy with other settings; ``None`` where its constructor does not take its settings, or not these."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a constructor that turns settings into tensors
            return type(strategy)(**{**strategy.settings(), **changes})
    except Exception:  # a constructor of somebody's own, which may do anything with a value that it does not know
        return None


def ordinary(strategy: Strategy, batch: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """An ordinary batch for a strategy, and its class indices."""
    return noise(batch, *sample_shape(strategy), seed=seed), labels_for(strategy, batch)


def sample_of(norm: Normalizer) -> tuple[int, ...]:
    """The shape of one ordinary sample for a normalizer, as for a strategy."""
    subject: Any = norm
    return sample_shape(subject)


def classes_of(strategy: Strategy) -> int:
    """How many classes labels are to be of."""
    return getattr(strategy.tags, "classes", None) or strategy.num_classes or 5


def labels_for(strategy: Strategy, batch: int) -> Tensor:
    """Class indices for a batch of this size, the same at every call."""
    return torch.randint(classes_of(strategy), (batch,), generator=Generator().manual_seed(batch))


def decides_by_labels(strategy: Strategy) -> bool:
    """Return whether a decision has to be given labels."""
    return bool(getattr(strategy.tags, "needs_target", False))


def decide_for(strategy: Strategy, shape: Sequence[int], seed: int, **given: Any) -> Params:
    """The decision of a seed, with labels for a strategy that decides by them."""
    if decides_by_labels(strategy):
        given = {"target": labels_for(strategy, shape[0]), **given}
    params: Params = strategy.make_params(shape, generator=Generator().manual_seed(seed), **given)
    return params


def decided(strategy: Strategy, x: Tensor, seed: int, *, made: str = "subject", said: str = "", **given: Any) -> Params:
    """The decision of a seed, with what is given besides.

    Args:
        strategy: Who decides.
        x: The features.
        seed: Of the decision.
        made: Python that makes the strategy of ``subject``.
        said: Python for what is given, as it would stand in a call: ``partner=torch.tensor([1, 0])``.
        given: Arguments of ``make_params``.
    """
    if made == "subject" and not said:
        seen(x, seed)
    else:
        tell(x, seed, made, said)
    return decide_for(strategy, x.shape, seed, **given)


def difference(one: Params, other: Params, *, besides: tuple[str, ...] = ()) -> str:
    """Return the name of the first field in which two decisions differ; empty where they are the same."""
    if type(one) is not type(other) and type(one).__qualname__ != type(other).__qualname__:
        return "kind"
    for field in dataclasses.fields(one):
        if field.init and field.name not in besides and not _same(getattr(one, field.name), getattr(other, field.name)):
            return field.name
    return ""


def demand_alike(one: Strategy, other: Strategy, what: str, *, seeds: int = 3) -> None:
    """Demand that two strategies decide and act the same with the same seeds, bit for bit."""
    for seed in range(seeds):
        x = noise(6, *sample_shape(one), seed=seed)
        case = Case(one, x, seed)
        params = decide_for(other, x.shape, seed)
        found = difference(case.params, params)
        demand(not found, f"{what} decides another {found}")
        demand(same_bits(case.transform(), transformed(other, x, params)), f"{what} acts otherwise")


def same_values(one: Any, other: Any) -> bool:
    """Return whether two settings are the same: tensors bit for bit, and what cannot be compared by what it prints."""
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return isinstance(one, Tensor) and isinstance(other, Tensor) and same_bits(one, other)
    try:
        return bool(one == other) or repr(one) == repr(other)
    except Exception:
        return repr(one) == repr(other)


def _same(one: Any, other: Any) -> bool:
    if hasattr(one, "matrix") and hasattr(other, "matrix"):
        scales = getattr(one, "scale", None), getattr(other, "scale", None)
        return same_bits(one.matrix(), other.matrix()) and same_values(*scales)
    return same_values(one, other)
