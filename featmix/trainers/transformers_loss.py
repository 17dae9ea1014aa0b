"""Losses for the Hugging Face ``Trainer``: the criteria of its models, and means over accumulated batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from featmix.errors import FeatmixError
from featmix.labels.criteria import recognised, unreduced
from featmix.support.extras import imported

Criterion = Callable[..., Tensor]
IGNORED = -100  # the label that the Trainer does not count
WHO = "FeatMixCallback"


def logits_of(outputs: Any) -> Tensor:
    """Return the scores in the output of a model that was given no labels.

    Args:
        outputs: A ``ModelOutput``, a tuple whose first entry they are, or the tensor itself.

    Raises:
        FeatmixError: If there are none, or the first entry is a loss.
    """
    found = outputs
    if isinstance(outputs, Mapping):
        found = outputs.get("logits")
    elif isinstance(outputs, tuple | list) and outputs:
        found = outputs[0]
    if isinstance(found, Tensor) and found.ndim:
        return found
    got = f"the entries {', '.join(map(str, outputs))}" if isinstance(outputs, Mapping) else type(found).__name__
    fix = "Where they are elsewhere, let compute_loss_func be a function that finds them and calls mixing.loss(scores, ...)."
    raise FeatmixError(WHO, "outputs", expected="scores called logits", got=got, fix=fix)


def own_criterion(model: Any, labels: Tensor, smoothing: float) -> Criterion:
    """Return the criterion that a model for classification or regression would use itself, and write it into its configuration.

    It goes by ``config.problem_type``, and where that is not set by the number and the dtype of labels, as the models do. They
    write down what they found, which pipelines for inference read: so it is written here too, for a model that is given no
    labels does not get to it.

    Args:
        model: What the Trainer trains.
        labels: Labels of a batch.
        smoothing: ``TrainingArguments.label_smoothing_factor``.

    Raises:
        FeatmixError: If the model is of another kind, or labels cannot be smoothed.
    """
    losses = imported("transformers.loss.loss_utils", subject=WHO, install="featmix[transformers]")
    known = losses.LOSS_MAPPING.get(getattr(model, "loss_type", None))
    if known is not losses.ForSequenceClassificationLoss:
        expected = "a criterion, for a model that is not one for classification of whole samples"
        fix = "Pass FeatMixCallback(tree, criterion=torch.nn.functional.cross_entropy), or what fits this model."
        raise FeatmixError(WHO, "criterion", expected=expected, got=f"None for {type(model).__name__}", fix=fix)
    config = model.config
    if config.problem_type is None:
        classes = labels.dtype in (torch.int64, torch.int32)
        single = "single_label_classification" if classes else "multi_label_classification"
        config.problem_type = "regression" if config.num_labels == 1 else single
    if config.problem_type == "multi_label_classification":  # the Trainer has said that it smooths none of these
        return F.binary_cross_entropy_with_logits
    if config.problem_type == "regression":
        if smoothing:
            expected, fix = "0 for regression", "Set label_smoothing_factor=0."
            raise FeatmixError("TrainingArguments", "label_smoothing_factor", expected=expected, got=smoothing, fix=fix)
        return F.mse_loss
    return partial(F.cross_entropy, label_smoothing=smoothing) if smoothing else F.cross_entropy


def check_smoothing(criterion: Criterion, smoothing: float) -> None:
    """Check that the user's criterion has the label smoothing of the Trainer's arguments.

    Raises:
        FeatmixError: If it has not: the Trainer leaves it out where there is a ``compute_loss_func``.
    """
    known = recognised(criterion)
    if smoothing and (known is None or known.settings.get("label_smoothing") != smoothing):
        raise FeatmixError(
            "TrainingArguments",
            "label_smoothing_factor",
            expected="0 beside a criterion of your own",
            got=smoothing,
            fix=f"Say it to the criterion: criterion=functools.partial(F.cross_entropy, label_smoothing={smoothing}).",
        )


def check_counts(criterion: Criterion) -> None:
    """Check that the number of labels is enough to compute the mean of a criterion over an accumulated batch.

    Raises:
        FeatmixError: If it divides by something else, which the Trainer does not count.
    """
    known = recognised(criterion)
    if known is None or known.reduction != "mean" or known.function not in (F.cross_entropy, F.nll_loss):
        return
    told = {"weight": known.settings.get("weight"), "ignore_index": known.settings.get("ignore_index", IGNORED)}
    if told["weight"] is not None or told["ignore_index"] != IGNORED:
        which = "weight" if told["weight"] is not None else "ignore_index"
        raise FeatmixError(
            WHO,
            "criterion",
            expected="a mean over labels, where a batch comes in parts (accumulated, or of several ranks)",
            got=f"a mean over what labels count by {which}=, of which the Trainer knows no sum over all parts",
            fix=f"Pass the criterion with reduction='sum' and scale it yourself, or mark labels with {IGNORED}, or do without "
            "gradient_accumulation_steps and average_tokens_across_devices.",
        )


def over_parts(loss: Callable[[Criterion], Tensor], criterion: Criterion, target: Tensor, items: Tensor | float) -> Tensor:
    """Return the share of one part in the loss of an accumulated batch: all shares add up to the loss of the whole batch.

    Args:
        loss: Returns the mixed loss of the part by a criterion.
        criterion: Of any reduction. One that returns a single number is taken as a mean over labels.
        target: Labels of the part.
        items: How many labels all parts have together; each entry counts, but for those that are ignored.
    """
    each, reduction = unreduced(criterion)
    found = loss(each)
    if isinstance(items, Tensor):
        items = items.to(found.device)
    if not found.ndim:
        return found * target.numel() / items
    if reduction == "sum":
        return found.sum()
    entries = len(target) if reduction == "batchmean" else found.numel()  # by which the part's own mean would divide
    return found.sum() * target.numel() / (items * entries)
