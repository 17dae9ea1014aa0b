"""Why a criterion failed: what was wrong with the output, the target or the criterion, said before torch's own words.

It is asked after the failure, so that a step that goes well pays nothing for it, and nothing is read off a device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from featmix.errors import FeatmixError

_WHO = "Mixture.loss"


def check_criterion(criterion: object) -> None:
    """Check that something is a loss function or a loss module.

    Raises:
        FeatmixError: If it is not, with the line to write.

    Example:
        >>> import torch
        >>> check_criterion(torch.nn.MSELoss)
        Traceback (most recent call last):
        featmix.errors.FeatmixError: Mixture.loss: criterion: expected ..., got the class MSELoss. Write MSELoss().
    """
    if callable(criterion) and not isinstance(criterion, type):
        return
    expected, fix = "a loss function or a loss module", "The order is loss(criterion, output, target)."
    if isinstance(criterion, type):
        got, fix = f"the class {criterion.__name__}", f"Write {criterion.__name__}()."
    elif isinstance(criterion, Tensor):
        got = "a loss that was computed already" if criterion.ndim == 0 else f"a tensor of shape {tuple(criterion.shape)}"
    elif isinstance(criterion, str):
        got, fix = repr(criterion), f"For example torch.nn.functional.{criterion}."
        fix = fix if hasattr(F, criterion) else "For example torch.nn.functional.cross_entropy."
    else:
        got = repr(criterion)
    raise FeatmixError(_WHO, "criterion", expected=expected, got=got, fix=fix)


def how_to_tensor(argument: str, value: object) -> str:
    """Return how to make a tensor of something that is none.

    Example:
        >>> import torch
        >>> how_to_tensor("target", [0, 1]), how_to_tensor("output", {"logits": torch.ones(2, 3)})
        ('Write torch.tensor(target).', "Pass the tensor in it: output['logits'].")
    """
    if isinstance(value, Mapping):
        named = next((key for key in value if isinstance(value[key], Tensor)), None)
        return "" if named is None else f"Pass the tensor in it: {argument}[{named!r}]."
    if isinstance(value, list | tuple):
        tensors = [k for k, part in enumerate(value) if isinstance(part, Tensor) and part.ndim]
        return f"Pass the tensor in it: {argument}[{tensors[0]}]." if tensors else f"Write torch.tensor({argument})."
    if type(value).__module__.partition(".")[0] == "numpy":
        return f"Write torch.from_numpy({argument})."
    return ""


def why_it_failed(
    error: Exception, function: Callable[..., Any] | None, output: Tensor, target: Tensor, ignore_index: int | None
) -> FeatmixError | None:
    """Return what was wrong, in words; ``None`` where torch's own words stand.

    Args:
        error: What the criterion raised.
        function: Which of torch's own criteria it is; ``None`` for another.
        output: Of the model.
        target: Not mixed.
        ignore_index: The class index that counts nothing; ``None`` where there is none.
    """
    if isinstance(error, FeatmixError):
        return None
    if not output.is_floating_point() and (target.requires_grad or target.ndim > output.ndim):
        got = f"{output.dtype} {tuple(output.shape)}"
        fix = "The order is loss(criterion, output, target)."
        return FeatmixError(_WHO, "output", expected="what the model returned", got=got, fix=fix)
    if output.device != target.device and isinstance(error, RuntimeError):
        got, fix = f"{target.device}, and an output on {output.device}", "labels = labels.to(output.device)"
        return FeatmixError(_WHO, "target", expected="labels on the output's device", got=got, fix=f"Write {fix}.")
    of_classes = function in (F.cross_entropy, F.nll_loss)
    if of_classes and target.is_floating_point() and target.ndim == output.ndim - 1:
        return FeatmixError(
            _WHO,
            "target",
            expected=f"class indices {tuple(target.shape)} of an integer dtype, or shares {tuple(output.shape)}",
            got=f"{target.dtype} {tuple(target.shape)}",
            fix="Write labels.long().",
        )
    if of_classes and target.ndim == output.ndim - 1:
        return _out_of_range(output, target, ignore_index)
    if function is not None and target.shape != output.shape:
        return misshapen(of_classes, output, target)
    return None


def _out_of_range(output: Tensor, target: Tensor, ignore_index: int | None) -> FeatmixError | None:
    if target.device.type != "cpu" or not target.numel() or output.ndim < 2:
        return None
    kept = target[target != ignore_index] if ignore_index is not None else target
    if not kept.numel():
        return None
    low, high, classes = int(kept.min()), int(kept.max()), output.shape[1]
    if low >= 0 and high < classes:
        return None
    expected, fix = f"class indices in [0, {classes})", counting(low, high, classes)
    return FeatmixError(_WHO, "target", expected=expected, got=f"{low} to {high}", fix=fix)


def counting(low: int, high: int, classes: int) -> str:
    """Return what to do about class indices that are out of range.

    Example:
        >>> counting(1, 10, 10), counting(0, 10, 10)
        ('The labels count from 1: write labels - 1.', 'These labels need at least 11 classes.')
    """
    if low == 1 and high == classes:
        return "The labels count from 1: write labels - 1."
    if low < 0:
        return "A negative label is no class: leave these rows out, or pass a criterion with ignore_index=."
    return f"These labels need at least {high + 1} classes."


def misshapen(of_classes: bool, output: Tensor, target: Tensor) -> FeatmixError:
    """Return the refusal of a target whose shape does not go with the output's."""
    integers = not target.is_floating_point() and not target.is_complex()
    if of_classes:
        wanted = (output.shape[0], *output.shape[2:])
        fix = f"Write labels.view({', '.join(map(str, wanted))})." if target.numel() == _count(wanted) else ""
        expected = f"class indices {wanted}, or shares {tuple(output.shape)}"
    else:
        expected = f"a target of the output's shape, {tuple(output.shape)}"
        one_hot = integers and target.ndim == 1 and output.ndim == 2 and output.shape[1] > 1
        fix = f"Class indices as vectors: torch.nn.functional.one_hot(labels, {output.shape[1]}).float()." if one_hot else ""
        if target.numel() == output.numel():
            fix = "Write labels.view_as(output)" + (".float()." if integers else ".")
    return FeatmixError(_WHO, "target", expected=expected, got=f"{target.dtype} {tuple(target.shape)}", fix=fix)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
