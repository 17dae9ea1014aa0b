"""Laws of side effects: a step touches nothing but what it returns, and keeps nothing of the batch."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F  # noqa: N812

from featmix.labels.mixture import Mixture
from featmix.layouts import layout
from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy
from featmix.testing.dense_laws import says_where
from featmix.testing.inputs import noise
from featmix.testing.law import Case, demand, law, layout_name, same_bits, transformed
from featmix.testing.padding_laws import takes_masks
from featmix.testing.seen import seen
from featmix.testing.surroundings import Surroundings, unusual_surroundings
from featmix.testing.uses import case_apart, classes_of, decide_for, decides_by_labels, ordinary, sample_of, twin

TOUCHED = "A seed set to be reproducible, or a flag set to be fast: for the whole process, and for good."


@law("strategy", cause=TOUCHED, drawn=False)
def surroundings(strategy: Strategy) -> None:
    """Deciding, acting, backward, labels and ``strategy(x, y)`` leave generators, threads, dtypes and flags as they are.

    Looked at: the global generators of torch, NumPy and Python, though each draw is given a generator; torch's threads, default
    dtype and device, deterministic algorithms, grad mode, autocast, anomalies, denormals, cuDNN's flags; NumPy's handling of
    errors, and the environment. No tolerance. Seeds and threads begin with values that nobody sets; all is put back.
    """
    x, y = ordinary(strategy)
    used, case = twin(strategy), Case(strategy, x, 1)
    with unusual_surroundings() as before:
        case.draw()
        _same_as(before, "a decision")
        leaf = x.clone().requires_grad_()
        mixed = case.transform(leaf)
        _same_as(before, "transform")
        torch.autograd.backward(mixed.float().square().sum())
        _same_as(before, "backward")
        case.params.mixture.dense(y, classes_of(strategy))
        case.params.mixture.loss(F.cross_entropy, torch.zeros(len(x), classes_of(strategy)), y)
        _same_as(before, "its labels")
        used(x.clone(), y, num_classes=classes_of(strategy), generator=Generator().manual_seed(1))
        _same_as(before, "strategy(x, y)")
        with torch.no_grad():
            silent = Surroundings()
            case.transform()
            _same_as(silent, "transform without gradients")


@law("strategy", cause="requires_grad_() on what came in or goes out, or a backward pass inside.", drawn=False)
def requires_grad(strategy: Strategy) -> None:
    """Features without ``requires_grad`` stay without, and so do their results; under ``no_grad`` all results do.

    No tolerance. A strategy that learns is exempt where its own parameters ask for one.
    """
    learns = any(parameter.requires_grad for parameter in strategy.parameters())
    x, y = ordinary(strategy)
    case = Case(strategy, x, 2)
    plain = x.clone()
    mixed = strategy.transform(plain, case.params)
    demand(not plain.requires_grad and plain.grad is None, "features that asked for no gradient ask for one")
    demand(learns or not mixed.requires_grad, "the result of features that ask for no gradient asks for one")
    drawn = [*case.params.per_row().values(), *_labels_of(case.params.mixture)]
    demand(learns or not any(tensor.requires_grad for tensor in drawn), "a decision asks for a gradient")
    leaf = x.clone().requires_grad_()
    with torch.no_grad():
        demand(not case.transform(leaf).requires_grad, "under no_grad a result asks for a gradient")
    case.transform(leaf)
    demand(leaf.grad is None, "features have a gradient before anybody went backward")
    _, soft = twin(strategy)(x.clone(), y, num_classes=classes_of(strategy), generator=Generator().manual_seed(2))
    demand(learns or not soft.requires_grad, "soft labels ask for a gradient")


@law(
    "strategy",
    cause="The last batch, result or label is kept as an attribute, in a closure, in a cache or in the graph.",
    drawn=False,
)
def lets_go(strategy: Strategy) -> None:
    """Features, results and labels of a step, and their graph, are freed once nothing else holds them.

    What a memory keeps are copies: the memory of the batch itself is asked for. No tolerance.
    """
    x, y = ordinary(strategy)
    used = twin(strategy)
    seen(x, 3)
    for step in (_transformed_once, _called_once):
        alive = step(used, x, y)
        _demand_gone(alive)


@law(
    "strategy",
    cause="An in-place operation on what was passed in: labels, masks, partners, or the decision itself.",
    drawn=False,
)
def arguments_untouched(strategy: Strategy) -> None:
    """Labels, masks, domains, rows and partners that are passed in stay as they were, and so does a decision that is used.

    Features are looked at too where the strategy is called; they may change with ``inplace=True``. No tolerance: bits.
    """
    x, classes = ordinary(strategy)
    number = classes_of(strategy)
    for seed, y in enumerate(
        [classes] if decides_by_labels(strategy) else _targets(classes, number, strategy.num_classes is None)
    ):
        case = case_apart(strategy, x, seed)  # a copy for each: one strategy remembers one kind of label
        used = case.strategy
        decision = [*case.params.per_row().items(), *(("label shares", t) for t in _labels_of(case.params.mixture))]
        with _watching({f"the decision's {name}": tensor for name, tensor in decision}):
            torch.autograd.backward(case.transform(x.clone().requires_grad_()).float().sum())
        with _watching({"labels": y, **{f"the decision's {name}": tensor for name, tensor in decision}}):
            case.params.mixture.dense(y, number if y.ndim == 1 and not y.is_floating_point() else None)
            if y.ndim == 1 or y.is_floating_point():  # torch has no loss for one-hot integers
                case.params.mixture.loss(_criterion(y), _scores(y, number), y)
        given = {"target": y, "partner": torch.arange(len(x)).roll(1), "rows": torch.arange(len(x)) % 3 != 1}
        given["domain"] = torch.arange(len(x)) % 2
        if takes_masks(used) and not used.remembers:
            sizes = layout(layout_name(used)).spatial_shape(x.shape)
            given["mask"] = (
                torch.arange(len(x)).view(-1, *[1] * len(sizes)).expand(-1, *sizes) % 3 != 2
            )  # one without a position
        watched = {"features": x.clone(), **given}
        with _watching({what: tensor for what, tensor in watched.items() if what != "features" or not used.inplace}):
            settings = {**given, "generator": Generator().manual_seed(seed)}
            settings["partner"] = given["partner"] if used.tags.partnered and not used.remembers else None
            target = settings.pop("target")
            count = number if y.ndim == 1 and not y.is_floating_point() else None
            used(watched["features"], target, num_classes=count, **settings)
    _maps_untouched(strategy, x)


@law("normalizer", cause=TOUCHED, drawn=False)
def normalizer_side_effects(norm: Normalizer) -> None:
    """Moments, normalize, denormalize and backward do not change generators, threads or flags, and keep no features.

    As the laws of the same kind for strategies; one that learns may give results that ask for a gradient. No tolerance.
    """
    x = noise(3, *sample_of(norm), seed=4)
    seen(x)
    with unusual_surroundings() as before:
        alive = _restored_once(norm, x, before)
    _demand_gone(alive)


def _same_as(before: Surroundings, what: str) -> None:
    changed = before.changed()
    demand(not changed, f"{what} changed {' and '.join(changed)}")


def _transformed_once(strategy: Strategy, x: Tensor, y: Tensor) -> dict[str, StorageWeakRef]:
    leaf = x.clone().requires_grad_()
    params = decide_for(strategy, leaf.shape, 3)
    mixed = transformed(strategy, leaf, params) if strategy.inplace else strategy.transform(leaf, params)
    torch.autograd.backward(mixed.float().sum())
    return _storages({"features": leaf, "the result": mixed})


def _called_once(strategy: Strategy, x: Tensor, y: Tensor) -> dict[str, StorageWeakRef]:
    batch, labels = x.clone(), y.clone() if decides_by_labels(strategy) else F.one_hot(y, classes_of(strategy)).float()
    count = classes_of(strategy) if labels.ndim == 1 else None
    mixed, soft = strategy(batch, labels, num_classes=count, generator=Generator().manual_seed(3))
    return _storages({"features": batch, "labels": labels, "the result": mixed, "soft labels": soft})


def _restored_once(norm: Normalizer, x: Tensor, before: Surroundings) -> dict[str, StorageWeakRef]:
    plain = x.clone()
    xh, m = norm.normalize(plain)
    restored = norm.denormalize(xh, m)
    asking = [
        what for what, t in {"the input": plain, "the result": xh, "what is restored": restored}.items() if t.requires_grad
    ]
    demand(not asking or _learns(norm), f"{' and '.join(asking)} asks for a gradient that nobody asked for")
    leaf = x.clone().requires_grad_()
    again, moments = norm.normalize(leaf)
    _same_as(before, "normalize")
    torch.autograd.backward(norm.denormalize(again, moments).float().square().sum())
    _same_as(before, "denormalize, or backward,")
    return _storages({"features": leaf, "normalized features": again})


def _learns(holder: Any, depth: int = 3) -> bool:
    """Return whether an object holds a module with parameters that ask for a gradient."""
    if isinstance(holder, nn.Module):
        return any(parameter.requires_grad for parameter in holder.parameters())
    return depth > 0 and any(_learns(held, depth - 1) for held in getattr(holder, "__dict__", {}).values())


def _demand_gone(alive: dict[str, StorageWeakRef]) -> None:
    def left() -> list[str]:
        return [what for what, storage in alive.items() if not storage.expired()]  # type: ignore[no-untyped-call]

    if left():
        gc.collect()  # what refers to itself
    kept = left()
    demand(not kept, f"{' and '.join(kept)} of a step that is over: kept alive")


def _storages(tensors: dict[str, Tensor]) -> dict[str, StorageWeakRef]:
    found: dict[str, Any] = {what: tensor.untyped_storage() for what, tensor in tensors.items()}
    return {what: StorageWeakRef(storage) for what, storage in found.items()}  # type: ignore[no-untyped-call]


@contextmanager
def _watching(tensors: dict[str, Tensor]) -> Iterator[None]:
    """Demand that tensors are the same afterwards."""
    before = {what: tensor.clone() for what, tensor in tensors.items()}
    yield
    changed = [what for what, tensor in tensors.items() if not same_bits(tensor, before[what])]
    demand(not changed, f"{' and '.join(changed)} changed")


def _targets(classes: Tensor, count: int, numbers: bool) -> list[Tensor]:
    one_hot = F.one_hot(classes, count)
    kinds = [classes, one_hot.float(), 0.9 * one_hot.float() + 0.1 / count, one_hot.to(torch.int32)]
    return [*kinds, classes.float() / 4] if numbers else kinds


def _criterion(y: Tensor) -> Callable[..., Tensor]:
    return F.mse_loss if y.ndim == 1 and y.is_floating_point() else F.cross_entropy


def _scores(y: Tensor, classes: int) -> Tensor:
    return torch.zeros(len(y)) if y.ndim == 1 and y.is_floating_point() else torch.zeros(len(y), classes)


def _labels_of(mixture: Mixture) -> list[Tensor]:
    return [value for value in vars(mixture).values() if isinstance(value, Tensor)]


def _maps_untouched(strategy: Strategy, x: Tensor) -> None:
    if not says_where(strategy):
        return
    case = Case(strategy, x, 6)
    share: Any = strategy.partner_share(case.params, strategy.layout_of(x.shape).spatial_shape(x.shape))  # type: ignore[operator]
    if share.shape[1] > 1:
        return  # refused, which another law demands
    sizes = strategy.layout_of(x.shape).spatial_shape(x.shape)
    maps = torch.arange(len(x)).view(-1, *[1] * len(sizes)).repeat(1, *sizes)
    maps = maps if share.dtype == torch.bool else maps.double().unsqueeze(1)
    with _watching({"the label map": maps}):
        strategy.dense_targets(maps, case.params)
