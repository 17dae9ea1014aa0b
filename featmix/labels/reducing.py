"""From the loss of each row to what a criterion's ``reduction`` asks for, by torch's own rules for means."""

from __future__ import annotations

import torch
from torch import Tensor


def reduced(losses: Tensor, counted: Tensor | None, reduction: str, scale: Tensor | None) -> Tensor:
    """Return losses reduced.

    Args:
        losses: ``(B, ...)``, columns added up already.
        counted: What a mean divides by; ``None`` is the number of losses.
        reduction: ``mean``, ``sum``, ``batchmean`` or ``none``.
        scale: ``(B,)`` what each row's loss is multiplied with; a mean does not divide by it.

    Example:
        >>> reduced(torch.tensor([1.0, 2.0]), torch.tensor(4.0), "mean", None)
        tensor(0.7500)
    """
    if scale is not None:
        losses = losses * beside(scale, losses)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "batchmean":
        return losses.sum() / len(losses)
    return losses.mean() if counted is None else losses.sum() / counted


def class_counts(target: Tensor, weight: Tensor, ignore_index: int, class_weight: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return the sum of what class indices count: their class weights by their shares, and nothing where they are ignored.

    Args:
        target: Class indices ``(B, ...)``.
        weight: Their shares, broadcastable to them.
        ignore_index: The class index that counts nothing.
        class_weight: ``(L,)``; ``None`` is 1 for each class.
        dtype: Of the losses.

    Example:
        >>> columns, shares = torch.tensor([[0, 1], [1, -100]]), torch.tensor([[0.75, 0.25], [0.5, 0.5]])
        >>> class_counts(columns, shares, -100, torch.tensor([1.0, 2.0]), torch.float32)
        tensor(2.2500)
    """
    ignored = target == ignore_index
    shares = weight.to(dtype).masked_fill(ignored, 0)
    if class_weight is not None:
        shares = shares * class_weight[target.masked_fill(ignored, 0)].to(dtype)
    return shares.sum()


def beside(values: Tensor, losses: Tensor) -> Tensor:
    """Return one value a row, ``(B,)``, in the dtype and number of axes of losses ``(B, ...)``."""
    return values.to(losses.dtype).view(-1, *[1] * (losses.ndim - 1))
