"""Accuracy on mixed labels: by the largest scores, or label by label above a threshold."""

from __future__ import annotations

from numbers import Integral, Real

import torch
from torch import Tensor

from featmix.errors import FeatmixError

_OFF = 1e-2  # how far from 1 a row of soft targets may add up to, in half precision too


def weighted_accuracy(
    output: Tensor, target: Tensor, index: Tensor, weight: Tensor, *, top_k: int, threshold: float | None
) -> Tensor:
    """Return the share of label weight that is predicted, averaged; see :meth:`featmix.Mixture.accuracy`.

    Args:
        output: Scores of the batch.
        target: Targets, of the batch and those beyond it.
        index: ``(B, K)`` rows of ``target``.
        weight: ``(B, K)`` shares.
        top_k: How many of the largest scores count.
        threshold: From which score on a label is predicted.

    Raises:
        FeatmixError: See :meth:`featmix.Mixture.accuracy`.
    """
    if output.ndim not in (1, 2) or not output.numel():
        got = tuple(output.shape)
        raise FeatmixError("Mixture.accuracy", "output", expected="scores (B, L) of at least one row", got=got)
    single = output.ndim == 1 or output.shape[1] == 1
    if threshold is None:
        if single:
            raise _asked("one score a row, of which none is the largest", output)
        return _by_rank(output, target, index, weight, top_k)
    if top_k != 1:
        raise FeatmixError("Mixture.accuracy", "top_k", expected="1 beside a threshold", got=repr(top_k))
    if not isinstance(threshold, Real):
        raise FeatmixError("Mixture.accuracy", "threshold", expected="a number", got=repr(threshold))
    scores = output.reshape(len(output), -1)
    labels = target.reshape(len(target), -1)
    if scores.shape[1:] != labels.shape[1:]:
        raise FeatmixError(
            "Mixture.accuracy",
            "target",
            expected=f"labels that are on or off for scores {tuple(output.shape)}",
            got=f"shape {tuple(target.shape)}",
            fix="Class indices are judged by the largest score: leave threshold out.",
        )
    on = labels if labels.dtype == torch.bool else labels > 0.5
    hit = (scores > threshold).unsqueeze(1) == on[index]
    return (hit.to(weight.dtype).mean(2) * weight).sum(1).mean()


def _by_rank(output: Tensor, target: Tensor, index: Tensor, weight: Tensor, top_k: int) -> Tensor:
    if not isinstance(top_k, Integral) or isinstance(top_k, bool) or not 1 <= top_k <= output.shape[1]:
        expected = f"a whole number from 1 to {output.shape[1]}, the classes"
        raise FeatmixError("Mixture.accuracy", "top_k", expected=expected, got=repr(top_k))
    if target.ndim > 2 or (target.ndim == 2 and target.shape[1] != output.shape[1]):
        expected = f"targets (B,) or (B, {output.shape[1]})"
        raise FeatmixError("Mixture.accuracy", "target", expected=expected, got=tuple(target.shape))
    if target.dtype == torch.bool and target.ndim > 1:
        target = target.byte()  # which has an argmax
    classes = target.argmax(1) if target.ndim > 1 else target
    wanted = classes[index].unsqueeze(-1)
    best = output.argmax(1, keepdim=True) if top_k == 1 else output.topk(int(top_k), dim=1).indices
    share = ((best.unsqueeze(1) == wanted).any(2) * weight).sum(1).mean()
    if target.ndim == 1:
        return share
    several = ((target.sum(1, dtype=torch.float32) - 1).abs() > _OFF).any()
    if target.device.type != "cpu":
        return torch.where(several, torch.nan, share)
    if bool(several):
        raise _asked("rows with several labels or none, which one class cannot answer", target)
    return share


def _asked(got: str, value: Tensor) -> FeatmixError:
    return FeatmixError(
        "Mixture.accuracy",
        "threshold",
        expected="a threshold that says which scores count as a label that is on",
        got=f"None, and {got}: shape {tuple(value.shape)}",
        fix="Pass threshold=0.0 for logits, threshold=0.5 for probabilities.",
    )
