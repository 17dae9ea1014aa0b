"""Targets of every kind, blended by the shares of a mixture."""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.labels.diagnosis import counting

INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)


def blended(target: Tensor, index: Tensor, weight: Tensor, num_classes: int | None) -> Tensor:
    """Return soft targets: row ``i`` is the sum of ``weight[i, k] * target[index[i, k]]``, class indices as one-hot vectors.

    Args:
        target: See :meth:`featmix.Mixture.dense`.
        index: ``(B, K)`` int64 rows of ``target``.
        weight: ``(B, K)`` float32.
        num_classes: For class indices.

    Raises:
        FeatmixError: See :meth:`featmix.Mixture.dense`.
    """
    if num_classes is not None and (not isinstance(num_classes, Integral) or num_classes < 1):
        raise FeatmixError("Mixture.dense", "num_classes", expected="a positive whole number", got=repr(num_classes))
    integers = target.dtype in INTEGERS
    if target.ndim == 1 and integers and num_classes is not None:
        check_classes(target, num_classes)
        soft = torch.zeros(len(index), num_classes, dtype=torch.float32, device=target.device)
        return soft.scatter_add_(1, target.take(index).long(), weight)
    _check_vectors(target, num_classes, integers)
    wide = target if target.dtype == torch.float64 else target.float()
    shares = weight.to(wide.dtype).view(*weight.shape, *[1] * (target.ndim - 1))
    mixed = (wide[index] * shares).sum(1)
    return mixed if integers else mixed.to(target.dtype)


def check_classes(target: Tensor, num_classes: int) -> None:
    """Check class indices on the CPU; reading values off an accelerator would make the host wait.

    Raises:
        FeatmixError: If one is out of range.
    """
    if target.device.type != "cpu" or not len(target):
        return
    values = target.detach().numpy()
    low, high = int(values.min()), int(values.max())
    if not 0 <= low <= high < num_classes:
        expected, fix = f"class indices in [0, {num_classes})", counting(low, high, num_classes)
        raise FeatmixError("Mixture.dense", "target", expected=expected, got=f"{low} to {high}", fix=fix)


def _check_vectors(target: Tensor, num_classes: int | None, integers: bool) -> None:
    if target.ndim == 2 and target.shape[1] == 1 and integers and target.dtype != torch.bool:
        raise FeatmixError(
            "Mixture.dense",
            "target",
            expected="class indices (B,) or a floating target (B, 1)",
            got=f"{target.dtype} of shape {tuple(target.shape)}, which could be either",
            fix="Pass target.squeeze(1) for class indices, target.float() for one label that is on or off.",
        )
    vectors = target.ndim == 2 and num_classes in (None, target.shape[1])
    if not vectors and not (target.ndim == 1 and not integers and num_classes is None):
        fix = "Pass num_classes=... for class indices." if integers and target.ndim == 1 else ""
        if target.ndim == 1 and not integers:
            fix = "Class indices are integers: labels.long(). Values to be regressed go without num_classes."
        raise FeatmixError(
            "Mixture.dense",
            "target",
            expected="integer class indices (B,) with num_classes=, or targets (B, L), or floating targets (B,) without it",
            got=f"{target.dtype} of shape {tuple(target.shape)} with num_classes={num_classes}",
            fix=fix,
        )
