"""timm's criteria for mixed labels: the same losses as with soft targets, for any decision."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from featmix.errors import FeatmixError
from featmix.mixer.mixer import Mixer

Loss = Callable[[Tensor, Tensor], Tensor]


def mixed_by(mixer: Mixer, criterion: Callable[..., Tensor]) -> Loss:
    """Return the loss ``(output, target) -> number`` of an attached model's outputs; plain in eval mode.

    ``BinaryCrossEntropy`` with a threshold gets the mixed targets, and makes them hard, as it does behind timm's own Mixup.
    All others are averaged by the shares of the labels: :meth:`featmix.Mixture.loss`.

    Args:
        mixer: What draws for the model.
        criterion: One of timm's or torch's, or any that :meth:`featmix.Mixture.loss` takes.

    Raises:
        FeatmixError: If it is a ``JsdCrossEntropy``, which compares rows of one image with each other.
    """
    kind = _timm_name(criterion)
    if kind == "JsdCrossEntropy":
        raise FeatmixError(
            "FeatMix",
            "criterion",
            expected="a criterion that looks at each row by itself",
            got="JsdCrossEntropy, which compares the views of an image, each of which would have another partner",
            fix="Leave out --jsd-loss, or --featmix.",
        )
    if kind == "BinaryCrossEntropy" and vars(criterion)["target_threshold"] is not None:
        _check_that_rows_count_once(mixer)
        return partial(_hardened, mixer, criterion)
    return partial(mixer.loss, _of_rows(criterion, kind))


def _of_rows(criterion: Callable[..., Tensor], kind: str) -> Callable[..., Tensor]:
    """Return a criterion that gives the loss of each row, where timm's own gives only one number."""
    if kind == "SoftTargetCrossEntropy":
        return _soft_cross_entropy
    if kind == "LabelSmoothingCrossEntropy":
        return partial(F.cross_entropy, label_smoothing=vars(criterion)["smoothing"])
    if kind == "BinaryCrossEntropy" and vars(criterion)["sum_classes"]:
        each = copy.copy(criterion)
        vars(each)["sum_classes"] = False
        return lambda output, target: each(output, target).sum(-1)
    return criterion


def _soft_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    return torch.sum(-target * F.log_softmax(output, dim=-1), dim=-1)


def _hardened(mixer: Mixer, criterion: Any, output: Tensor, target: Tensor) -> Tensor:
    """Return the loss of mixed targets, which the criterion compares with its threshold."""
    if target.shape != output.shape:
        off = criterion.smoothing / output.shape[-1]
        on = 1 - criterion.smoothing + off
        wide = torch.promote_types(output.dtype, torch.float32)  # shares are not rounded to half types
        soft = torch.full(output.shape, off, dtype=wide, device=output.device)
        target = soft.scatter_(1, target.long().view(-1, 1), on)
    loss: Tensor = criterion(output, mixer.loss(_targets, output, target))
    return loss


def _check_that_rows_count_once(mixer: Mixer) -> None:
    weighing = [leaf.strategy for leaf in mixer.tree.leaves() if getattr(leaf.strategy, "loss_weight", 1) != 1]
    if weighing:
        raise FeatmixError(
            "FeatMix",
            "criterion",
            expected="no threshold, for a strategy that weighs the loss of mixed rows",
            got=f"BinaryCrossEntropy with target_threshold, and {type(weighing[0]).__name__}",
            fix="Leave out --bce-target-thresh.",
        )


def _targets(output: Tensor, target: Tensor, reduction: str = "none") -> Tensor:
    """A criterion whose loss is the target itself: its result is the mixed targets."""
    return target


def _timm_name(criterion: object) -> str:
    """Return the name of one of timm's own criteria, empty for others and for subclasses."""
    timm: Any = sys.modules.get("timm.loss")
    name = type(criterion).__name__
    return name if timm is not None and getattr(timm, name, None) is type(criterion) else ""
