"""Targets and criteria as :class:`featmix.Mixture` needs them."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from featmix.errors import FeatmixError

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)


def as_vectors(target: Tensor, num_classes: int | None) -> Tensor:
    """Targets of any kind as vectors that can be blended: class indices become one-hot, float32.

    Raises:
        FeatmixError: See :meth:`featmix.Mixture.dense`.
    """
    integers = target.dtype in _INTEGERS
    if num_classes is not None and (not isinstance(num_classes, Integral) or num_classes < 1):
        raise FeatmixError("Mixture.dense", "num_classes", expected="a positive whole number", got=repr(num_classes))
    if target.ndim == 2 and target.shape[1] == 1 and target.dtype in _INTEGERS[:-1]:
        raise FeatmixError(
            "Mixture.dense",
            "target",
            expected="class indices (B,) or a floating target (B, 1)",
            got=f"{target.dtype} of shape {tuple(target.shape)}, which could be either",
            fix="Pass target.squeeze(1) for class indices, target.float() for one label that is on or off.",
        )
    if target.ndim == 2 and num_classes in (None, target.shape[1]):
        return target.float() if integers else target
    if target.ndim == 1 and not integers and num_classes is None:
        return target
    if target.ndim == 1 and integers and num_classes is not None:
        # Only on the CPU: reading values off an accelerator would make it wait.
        if target.device.type == "cpu" and len(target) and not 0 <= int(target.min()) <= int(target.max()) < num_classes:
            raise FeatmixError(
                "Mixture.dense",
                "target",
                expected=f"class indices in [0, {num_classes})",
                got=f"{int(target.min())} to {int(target.max())}",
            )
        return F.one_hot(target.long(), num_classes).float()
    raise FeatmixError(
        "Mixture.dense",
        "target",
        expected="integer class indices (B,) with num_classes=, or targets (B, L), or floating targets (B,) without it",
        got=f"{target.dtype} of shape {tuple(target.shape)} with num_classes={num_classes}",
        fix="Pass num_classes=... for class indices." if integers and target.ndim == 1 else "",
    )


def per_sample(criterion: Callable[..., Any]) -> tuple[Callable[..., Tensor], str]:
    """``criterion`` as one that returns a loss a sample, and the reduction that it asked for."""
    if isinstance(criterion, nn.Module):
        reduction = getattr(criterion, "reduction", "none")
        if reduction != "none":
            criterion = copy.copy(criterion)  # shallow: the caller's module keeps its own reduction
            vars(criterion)["reduction"] = "none"
        return criterion, str(reduction)
    try:
        parameter = inspect.signature(criterion).parameters.get("reduction")
    except (TypeError, ValueError):  # builtins without a signature
        parameter = None
    if parameter is None:
        return criterion, "mean"
    asked = parameter.default if isinstance(parameter.default, str) else "mean"
    return lambda output, target: criterion(output, target, reduction="none"), asked
