"""Losses of a mixed batch: one call of the criterion where torch's own functions allow it, one for each column elsewhere."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from featmix.errors import FeatmixError
from featmix.labels.targets import INTEGERS

_MODULES: dict[type[nn.Module], tuple[Callable[..., Tensor], tuple[str, ...]]] = {
    nn.CrossEntropyLoss: (F.cross_entropy, ("weight", "ignore_index", "label_smoothing")),
    nn.BCEWithLogitsLoss: (F.binary_cross_entropy_with_logits, ("weight", "pos_weight")),
    nn.BCELoss: (F.binary_cross_entropy, ("weight",)),
    nn.MSELoss: (F.mse_loss, ()),
    nn.L1Loss: (F.l1_loss, ()),
    nn.SmoothL1Loss: (F.smooth_l1_loss, ("beta",)),
    nn.HuberLoss: (F.huber_loss, ("delta",)),
}

_reductions: WeakKeyDictionary[Callable[..., Any], str | None] = WeakKeyDictionary()


class Known(NamedTuple):
    """One of torch's own criteria: its function, and the keyword arguments besides ``reduction``."""

    function: Callable[..., Tensor]
    settings: dict[str, Any]
    reduction: str


def mixed_losses(
    criterion: Callable[..., Tensor], output: Tensor, target: Tensor, index: Tensor, weight: Tensor
) -> tuple[Tensor, str]:
    """Return the loss of each row, and the reduction that the criterion asks for.

    Args:
        criterion: See :meth:`featmix.Mixture.loss`.
        output: ``(B, ...)``.
        target: Targets, of the batch and those beyond it.
        index: ``(B, K)`` rows of ``target``.
        weight: ``(B, K)`` shares.

    Returns:
        ``(B, ...)`` losses, the columns already added up by their shares; and ``mean``, ``sum``, ``batchmean`` or ``none``.

    Raises:
        FeatmixError: If the criterion returns no loss a sample.
    """
    known = recognised(criterion)
    if known is not None:
        found = _in_one_call(known, output, target, index, weight)
        if found is not None:
            return found, known.reduction
    each, reduction = _unreduced(criterion)
    total: Tensor | None = None
    for k in range(index.shape[1]):
        part = _checked(each(output, target[index[:, k]]), len(index))
        weighted = part * _beside(weight[:, k], part)
        total = weighted if total is None else total + weighted
    if total is None:
        raise FeatmixError("Mixture.loss", "index", expected="at least one column", got=tuple(index.shape))
    return total, reduction


def recognised(criterion: Callable[..., Any]) -> Known | None:
    """Return what is known of a criterion of torch's, given as function, ``functools.partial`` or module; else ``None``.

    Example:
        >>> recognised(nn.CrossEntropyLoss(label_smoothing=0.1)).settings["label_smoothing"]
        0.1
    """
    module = _MODULES.get(type(criterion))  # type: ignore[arg-type]
    if module is not None:
        function, names = module
        return Known(function, {name: getattr(criterion, name) for name in names}, str(getattr(criterion, "reduction", "mean")))
    function, settings = criterion, {}
    if isinstance(criterion, partial) and not criterion.args:
        function, settings = criterion.func, dict(criterion.keywords)
    if not any(function is own for own, _ in _MODULES.values()) or {"size_average", "reduce"} & set(settings):
        return None
    return Known(function, settings, settings.pop("reduction", "mean"))


def _in_one_call(known: Known, output: Tensor, target: Tensor, index: Tensor, weight: Tensor) -> Tensor | None:
    """Return the losses ``(B, ...)`` of all columns from one call, or ``None`` where shapes do not allow it."""
    call = partial(known.function, **known.settings, reduction="none")
    if known.function is F.cross_entropy:
        if output.ndim < 2:
            return None
        if target.dtype not in INTEGERS:  # linear in the target
            return call(output, (target[index] * weight.to(target.dtype).view(*weight.shape, *[1] * (target.ndim - 1))).sum(1))
        if target.ndim == 1 and _counts_everything(target, known.settings.get("ignore_index", -100)):
            wide = output.dtype if output.dtype == torch.float64 else torch.float32  # shares are not rounded to half types
            soft = torch.zeros_like(output, dtype=wide, memory_format=torch.contiguous_format)
            return call(output, soft.scatter_add_(1, target[index].long(), weight.to(wide)))
        columns = target[index].movedim(1, -1)  # columns become one more axis of positions
        if columns.ndim != output.ndim:
            return None
        losses: Tensor = call(output.unsqueeze(-1).expand(*output.shape, index.shape[1]), columns)
        return (losses * weight.to(losses.dtype).view(len(weight), *[1] * (losses.ndim - 2), -1)).sum(-1)
    fixed = [value for value in known.settings.values() if isinstance(value, Tensor)]
    if output.shape[1:] != target.shape[1:] or any(value.ndim >= output.ndim for value in fixed):
        return None
    losses = call(output.unsqueeze(1).expand(len(output), index.shape[1], *output.shape[1:]), target[index])
    return (losses * weight.to(losses.dtype).view(*weight.shape, *[1] * (losses.ndim - 2))).sum(1)


def _counts_everything(target: Tensor, ignore_index: int) -> bool:
    """Return True if no class index is ignored; where they lie on an accelerator nobody looks, and it is False."""
    return target.device.type == "cpu" and not (target.numpy() == ignore_index).any()


def _unreduced(criterion: Callable[..., Any]) -> tuple[Callable[..., Any], str]:
    """Return the criterion as one that gives a loss a sample, and the reduction that it asked for."""
    if isinstance(criterion, nn.Module):
        reduction = getattr(criterion, "reduction", "none")
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


def _beside(shares: Tensor, losses: Tensor) -> Tensor:
    return shares.to(losses.dtype).view(-1, *[1] * (losses.ndim - 1))
