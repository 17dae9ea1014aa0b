"""Losses of a mixed batch: one call of the criterion where torch's own functions allow it, one for each column elsewhere."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from featmix.errors import FeatmixError
from featmix.labels.diagnosis import misshapen
from featmix.labels.reducing import beside, class_counts, reduced
from featmix.labels.sharing import OnHost, is_identity, shared_scale, shared_weights
from featmix.labels.targets import INTEGERS

_MODULES: dict[type[nn.Module], tuple[Callable[..., Tensor], tuple[str, ...]]] = {
    nn.CrossEntropyLoss: (F.cross_entropy, ("weight", "ignore_index", "label_smoothing")),
    nn.NLLLoss: (F.nll_loss, ("weight", "ignore_index")),
    nn.BCEWithLogitsLoss: (F.binary_cross_entropy_with_logits, ("weight", "pos_weight")),
    nn.BCELoss: (F.binary_cross_entropy, ("weight",)),
    nn.MSELoss: (F.mse_loss, ()),
    nn.L1Loss: (F.l1_loss, ()),
    nn.SmoothL1Loss: (F.smooth_l1_loss, ("beta",)),
    nn.HuberLoss: (F.huber_loss, ("delta",)),
}

_OF_CLASSES = (F.cross_entropy, F.nll_loss)  # a mean over class indices divides by what these count together

_reductions: WeakKeyDictionary[Callable[..., Any], str | None] = WeakKeyDictionary()


class Known(NamedTuple):
    """One of torch's own criteria: its function, and the keyword arguments besides ``reduction``."""

    function: Callable[..., Tensor]
    settings: dict[str, Any]
    reduction: str


def mixed_loss(
    criterion: Callable[..., Tensor],
    output: Tensor,
    target: Tensor,
    index: Tensor,
    weight: Tensor,
    *,
    scale: Tensor | None = None,
    on_host: Callable[[], OnHost | None],
    untouched: bool = False,
) -> Tensor:
    """Return the loss of a mixed batch, reduced as the criterion asks.

    Args:
        criterion: See :meth:`featmix.Mixture.loss`.
        output: ``(B, ...)``.
        target: Targets, of the batch and those beyond it.
        index: ``(B, K)`` rows of ``target``.
        weight: ``(B, K)`` shares.
        scale: ``(B,)`` what each row's loss is multiplied with.
        on_host: Returns index, weight and scale as arrays, where the host knows them.
        untouched: Whether no label is mixed, for certain: it is the criterion itself then.

    Raises:
        FeatmixError: If the criterion returns one number and rows do not share their weights, or no loss at all.
    """
    known = recognised(criterion)
    if _are_indices(known, output, target) and target.dtype != torch.int64:
        target = target.long()
    if known is not None and known.function not in _OF_CLASSES and output.shape[1:] != target.shape[1:]:
        raise misshapen(False, output, target)  # torch would spread the one over the other, with a warning or without
    if untouched:
        return _unmixed(criterion, output, target)
    found = None if known is None else _in_one_call(known, output, target, index, weight)
    if known is not None and found is not None:
        return reduced(*found, known.reduction, scale)
    mixture = on_host()
    if mixture is not None and is_identity(mixture):
        return _unmixed(criterion, output, target)
    each, reduction = unreduced(criterion)
    if reduction == "mean" and known is None:  # whose divisor is its own: its class weights, or what it ignores
        if mixture is not None and shared_weights(mixture) is not None and shared_scale(mixture) is not None:
            each = criterion
        else:
            _check_mean_is_plain(criterion, output, target)
    parts = (each(output, target[column]) for column in index.T)
    first = next(parts, None)
    if isinstance(first, Tensor) and first.ndim == 0:
        return _sum_of_means(first, parts, len(output), mixture)
    total = _shared(first, weight[:, 0], len(index))
    for k, part in enumerate(parts, start=1):
        total = total + _shared(part, weight[:, k], len(index))
    return reduced(total, None, reduction, scale)


def recognised(criterion: Callable[..., Any]) -> Known | None:
    """Return what is known of a criterion of torch's, given as function, ``functools.partial`` or module; else ``None``.

    Example:
        >>> recognised(nn.CrossEntropyLoss(label_smoothing=0.1)).settings["label_smoothing"]
        0.1
    """
    module = _module(type(criterion))
    if module is not None:
        function, names = _MODULES[module]
        return Known(function, {name: getattr(criterion, name) for name in names}, str(getattr(criterion, "reduction", "mean")))
    function, settings = criterion, {}
    if isinstance(criterion, partial) and not criterion.args:
        function, settings = criterion.func, dict(criterion.keywords)
    if not any(function is own for own, _ in _MODULES.values()) or {"size_average", "reduce"} & set(settings):
        return None
    return Known(function, settings, settings.pop("reduction", "mean"))


def _module(cls: type[Any]) -> type[nn.Module] | None:
    """Return the class of torch's that calls of this class run; a subclass with a forward of its own is another criterion."""
    if cls in _MODULES:
        return cls
    return next((own for own in cls.__mro__ if own in _MODULES and cls.forward is own.forward), None)


def _are_indices(known: Known | None, output: Tensor, target: Tensor) -> bool:
    """Return True if the target of one of torch's own criteria is class indices, not shares of classes."""
    return known is not None and known.function in _OF_CLASSES and target.dtype in INTEGERS and target.ndim == output.ndim - 1


def _in_one_call(
    known: Known, output: Tensor, target: Tensor, index: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor | None] | None:
    """Return the losses ``(B, ...)`` of all columns from one call, and what their mean divides by.

    ``None`` where shapes do not allow it; a divisor of ``None`` is the number of losses.
    """
    call = partial(known.function, **known.settings, reduction="none")
    if known.function in _OF_CLASSES:
        if _are_indices(known, output, target):
            return _of_classes(known, output, target[index], weight)
        if known.function is not F.cross_entropy or output.ndim < 2:
            return None  # linear in the target
        return call(
            output, (target[index] * weight.to(target.dtype).view(*weight.shape, *[1] * (target.ndim - 1))).sum(1)
        ), None
    fixed = [value for value in known.settings.values() if isinstance(value, Tensor)]
    if output.shape[1:] != target.shape[1:] or any(value.ndim >= output.ndim for value in fixed):
        return None
    losses = call(output.unsqueeze(1).expand(len(output), index.shape[1], *output.shape[1:]), target[index])
    return (losses * weight.to(losses.dtype).view(*weight.shape, *[1] * (losses.ndim - 2))).sum(1), None


def _of_classes(known: Known, output: Tensor, columns: Tensor, weight: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return losses and divisor of class indices ``(B, K, ...)``."""
    call = partial(known.function, **known.settings, reduction="none")
    ignored, class_weight = known.settings.get("ignore_index", -100), known.settings.get("weight")
    everything = columns.ndim == 2 and _counts_everything(columns, ignored)
    if everything and known.function is F.cross_entropy:
        wide = output.dtype if output.dtype == torch.float64 else torch.float32  # shares are not rounded to half types
        soft = torch.zeros_like(output, dtype=wide, memory_format=torch.contiguous_format)
        losses = call(output, soft.scatter_add_(1, columns, weight.to(wide)))
        shares = weight
    else:  # columns become one more axis of positions
        columns, shares = columns.movedim(1, -1), weight.view(len(weight), *[1] * (output.ndim - 2), -1)
        each = call(output.unsqueeze(-1).expand(*output.shape, weight.shape[1]), columns)
        losses = (each * shares.to(each.dtype)).sum(-1)
    if known.reduction != "mean" or (everything and class_weight is None):
        return losses, None
    return losses, class_counts(columns, shares, ignored, class_weight, losses.dtype)


def _counts_everything(target: Tensor, ignore_index: int) -> bool:
    """Return True if no class index is ignored; where they lie on an accelerator nobody looks, and it is False."""
    return target.device.type == "cpu" and not (target.numpy() == ignore_index).any()


def _unmixed(criterion: Callable[..., Any], output: Tensor, target: Tensor) -> Tensor:
    """Return what the criterion itself says of labels that are not mixed, averaged unless it asks for losses of rows."""
    loss = criterion(output, target)
    if isinstance(loss, Tensor) and loss.ndim == 0:
        return loss
    return reduced(_checked(loss, len(output)), None, unreduced(criterion)[1], None)


def _sum_of_means(first: Tensor, rest: Iterable[Any], rows: int, mixture: OnHost | None) -> Tensor:
    """Return the loss by a criterion that gives one number for the batch: exact where all rows share their weights."""
    weights = None if mixture is None else shared_weights(mixture)
    scale = None if mixture is None else shared_scale(mixture)
    if weights is None or scale is None:
        why = "whose shares only the device knows" if mixture is None else "that do not share their weights"
        raise FeatmixError(
            "Mixture.loss",
            "criterion",
            expected=f"a loss for each of the {rows} samples",
            got=f"one number, shape (), for rows {why}",
            fix="Pass it with reduction='none', or let all rows share their weights: one strength for the batch "
            "(lam_per='batch').",
        )
    total = scale * weights[0] * first
    for share, mean in zip(weights[1:], rest, strict=True):
        total = total + scale * share * mean
    return total


def _check_mean_is_plain(criterion: Callable[..., Any], output: Tensor, target: Tensor) -> None:
    """Check that a mean over weighted losses divides by their number, as far as the host can tell.

    Raises:
        FeatmixError: For a criterion derived from torch's, with a forward of its own, that weighs classes or ignores targets.
    """
    if not isinstance(criterion, nn.CrossEntropyLoss | nn.NLLLoss) or target.ndim != output.ndim - 1:
        return
    ignores = not _counts_everything(target, criterion.ignore_index) and target.device.type == "cpu"
    if criterion.weight is None and not ignores:
        return
    raise FeatmixError(
        "Mixture.loss",
        "criterion",
        expected="a mean that divides by the number of losses, or rows that share their weights",
        got=f"{type(criterion).__name__} with {'ignored targets' if criterion.weight is None else 'class weights'}, whose "
        "forward is its own, for rows that do not share their weights",
        fix="Pass it with reduction='none' and average, or let all rows share their weights: lam_per='batch'.",
    )


def unreduced(criterion: Callable[..., Any]) -> tuple[Callable[..., Any], str]:
    """Return the criterion as one that gives a loss a sample, and the reduction that it asked for."""
    if isinstance(criterion, nn.Module):
        reduction = getattr(criterion, "reduction", None)
        if reduction is None:  # losses of rows, which are averaged, or one number
            return criterion, "mean"
        if reduction != "none":
            criterion = copy.copy(criterion)  # shallow: the caller's module keeps its own reduction
            vars(criterion)["reduction"] = "none"
        return criterion, str(reduction)
    asked = _asked(criterion)
    if asked is None:
        return criterion, "mean"
    return partial(criterion, reduction="none"), asked


def _asked(function: Callable[..., Any]) -> str | None:
    """Return the default of the argument ``reduction``, or ``None`` where there is none. Signatures are slow to read."""
    try:
        return _reductions[function]
    except (KeyError, TypeError):  # not seen before, or not hashable
        pass
    try:
        parameter = inspect.signature(function).parameters.get("reduction")
    except (TypeError, ValueError):  # builtins without a signature
        parameter = None
    found = None if parameter is None else parameter.default if isinstance(parameter.default, str) else "mean"
    with suppress(TypeError):  # some callables cannot be referred to weakly
        _reductions[function] = found
    return found


def _shared(part: object, share: Tensor, rows: int) -> Tensor:
    losses = _checked(part, rows)
    return losses * beside(share, losses)


def _checked(part: object, rows: int) -> Tensor:
    if not isinstance(part, Tensor) or part.ndim == 0 or part.shape[0] != rows:
        raise FeatmixError(
            "Mixture.loss",
            "criterion",
            expected=f"a loss for each of the {rows} samples",
            got=f"shape {tuple(part.shape)}" if isinstance(part, Tensor) else type(part).__name__,
            fix="Pass it with reduction='none'.",
        )
    return part
