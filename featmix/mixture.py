"""What the labels become: a sparse row-stochastic matrix over the batch."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from featmix.errors import FeatmixError

_OFF = 1e-3  # how far from 1 a row of shares may add up to, after many compositions in float32
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)


@dataclass(frozen=True, eq=False)
class Mixture:
    """Row ``i`` of a mixed batch is made of rows ``index[i]`` of the batch, by the shares ``weight[i]``.

    Args:
        index: ``(B, K)`` int64, rows of the batch.
        weight: ``(B, K)`` float32, each row adds up to 1.

    Example:
        >>> mx = Mixture.pair(torch.tensor([1, 0]), torch.tensor([0.9, 0.6]))
        >>> mx.dense(torch.tensor([0, 2]), num_classes=3)
        tensor([[0.9000, 0.0000, 0.1000],
                [0.4000, 0.0000, 0.6000]])
    """

    index: Tensor
    weight: Tensor

    def __post_init__(self) -> None:
        if torch.compiler.is_compiling():
            return
        index, weight = self.index, self.weight
        fits = index.ndim == 2 and index.shape == weight.shape and index.dtype == torch.int64 and weight.dtype == torch.float32
        if not fits:
            expected = "index (B, K) int64 and weight (B, K) float32"
            got = f"{index.dtype} {tuple(index.shape)} and {weight.dtype} {tuple(weight.shape)}"
            raise FeatmixError("Mixture", "weight", expected=expected, got=got)
        if index.device.type != "cpu" or not index.numel():  # reading values off an accelerator would make it wait
            return
        if not 0 <= int(index.min()) <= int(index.max()) < len(index):
            raise FeatmixError("Mixture", "index", expected=f"rows of a batch of {len(index)}", got=index.tolist())
        if not bool(((weight >= 0).all() & ((weight.sum(1) - 1).abs() < _OFF)).all()):
            raise FeatmixError(
                "Mixture", "weight", expected="shares from 0 up that add up to 1 in each row", got=weight.tolist()
            )

    @staticmethod
    def identity(batch: int, device: torch.device | str | None = None) -> Mixture:
        """The mixture that leaves ``batch`` rows as they are."""
        return Mixture(
            torch.arange(batch, device=device).unsqueeze(1), torch.ones(batch, 1, dtype=torch.float32, device=device)
        )

    @staticmethod
    def pair(partner: Tensor, lam: Tensor) -> Mixture:
        """Row ``i`` keeps the share ``lam[i]`` of itself and takes the rest from ``partner[i]``; both ``(B,)``."""
        own = lam.float()
        rows = torch.arange(len(partner), device=partner.device)
        return Mixture(torch.stack([rows, partner], dim=1), torch.stack([own, 1 - own], dim=1))

    def __len__(self) -> int:
        return len(self.index)

    def to(self, device: torch.device | str) -> Mixture:
        """The same mixture on another device."""
        return Mixture(self.index.to(device), self.weight.to(device))

    def then(self, other: Mixture) -> Mixture:
        """The mixture of applying ``other`` after this one: ``W_other @ W_self``. Not commutative.

        Raises:
            FeatmixError: If the two are for batches of different size.

        Example:
            >>> swap = Mixture.pair(torch.tensor([1, 0]), torch.tensor([0.0, 1.0]))
            >>> blend = Mixture.pair(torch.tensor([1, 0]), torch.tensor([0.75, 0.75]))
            >>> swap.then(blend).matrix()
            tensor([[0., 1.],
                    [0., 1.]])
        """
        if not isinstance(other, Mixture) or len(self) != len(other):
            got = f"{len(other)} rows" if isinstance(other, Mixture) else type(other).__name__
            raise FeatmixError("Mixture.then", "other", expected=f"a mixture of {len(self)} rows", got=got)
        index = self.index[other.index].flatten(1)
        weight = (self.weight[other.index] * other.weight.unsqueeze(-1)).flatten(1)
        composed = Mixture(index, weight)
        if index.shape[1] <= max(len(self), 1):
            return composed
        rows = Mixture.identity(len(self), index.device).index.T.expand(len(self), -1)
        return Mixture(rows, composed.matrix())

    def matrix(self) -> Tensor:
        """The dense ``(B, B)`` matrix: entry ``[i, j]`` is the share of row ``j`` in row ``i``."""
        zeros = self.weight.new_zeros(len(self), len(self))
        return zeros.scatter_add_(1, self.index, self.weight)

    def dense(self, target: Tensor, num_classes: int | None = None) -> Tensor:
        """Soft targets.

        Args:
            target: Class indices ``(B,)`` of an integer dtype; one-hot, soft or multi-label targets ``(B, L)`` of any dtype
                (integers become float32); regression targets ``(B,)`` or ``(B, D)`` of a floating dtype.
            num_classes: Needed for class indices; for ``(B, L)`` targets it is checked.

        Returns:
            ``(B, num_classes)`` or the shape of ``target``; float32 for integer targets, otherwise their own dtype.

        Raises:
            FeatmixError: If the batch does not fit, class indices come without ``num_classes`` or outside it, or the shape
                is none of the above.

        Example:
            >>> mx = Mixture.pair(torch.tensor([1, 0]), torch.tensor([0.75, 0.75]))
            >>> mx.dense(torch.tensor([0.0, 4.0]))
            tensor([1., 3.])
        """
        vectors = self._as_vectors(target, num_classes)
        if self.index.device != target.device:
            return self.to(target.device).dense(target, num_classes)
        wide = vectors if vectors.dtype == torch.float64 else vectors.float()
        weight = self.weight.to(wide.dtype).view(*self.weight.shape, *[1] * (vectors.ndim - 1))
        return (wide[self.index] * weight).sum(1).to(vectors.dtype)

    def loss(self, criterion: Callable[..., Tensor], output: Tensor, target: Tensor) -> Tensor:
        """``sum_k weight_k * criterion(output, target[index_k])``, averaged over the batch: a scalar.

        A mean is over samples. Class weights therefore scale the loss, where torch divides their sum out again, and a
        sample with ``ignore_index`` counts as a loss of 0.

        Args:
            criterion: A torch loss function, or a loss module of any reduction (its ``mean``, ``sum`` or ``batchmean`` is
                applied to the weighted losses), or anything that returns a loss for each sample.
            output: Model output, ``(B, ...)``.
            target: Targets, ``(B, ...)``, whatever ``criterion`` takes.

        Raises:
            FeatmixError: If the batch does not fit or is empty, or ``criterion`` returns no loss a sample.

        Example:
            >>> mx = Mixture.pair(torch.tensor([1, 0]), torch.tensor([0.9, 0.9]))
            >>> mx.loss(F.cross_entropy, torch.zeros(2, 4), torch.tensor([0, 3]))
            tensor(1.3863)
        """
        self._check_batch("loss", output=output, target=target)
        if len(self) == 0:
            raise FeatmixError("Mixture.loss", "output", expected="at least one row", got="an empty batch", fix="Skip it.")
        if not callable(criterion):
            raise FeatmixError("Mixture.loss", "criterion", expected="a loss function or module", got=repr(criterion))
        if self.index.device != target.device:
            return self.to(target.device).loss(criterion, output, target)
        each, reduction = _per_sample(criterion)
        total: Tensor | None = None
        for k in range(self.index.shape[1]):
            part = each(output, target[self.index[:, k]])
            if not isinstance(part, Tensor) or part.ndim == 0 or part.shape[0] != len(self):
                raise FeatmixError(
                    "Mixture.loss",
                    "criterion",
                    expected=f"a loss for each of the {len(self)} samples",
                    got=f"shape {tuple(part.shape)}" if isinstance(part, Tensor) else type(part).__name__,
                    fix="Pass it with reduction='none'.",
                )
            weighted = part * self.weight[:, k].to(part.dtype).view(-1, *[1] * (part.ndim - 1))
            total = weighted if total is None else total + weighted
        if total is None:
            raise FeatmixError("Mixture.loss", "index", expected="at least one column", got=tuple(self.index.shape))
        if reduction == "sum":
            return total.sum()
        return total.sum() / len(self) if reduction == "batchmean" else total.mean()

    def accuracy(self, output: Tensor, target: Tensor) -> Tensor:
        """Weighted top-1: the share of each row's label weight that lies on the predicted class, averaged; a scalar.

        Args:
            output: Scores, ``(B, L)``.
            target: Class indices ``(B,)``, or one-hot or soft targets ``(B, L)``, of which the largest entry counts.

        Raises:
            FeatmixError: If the batch does not fit or is empty, or ``output`` are no scores.
        """
        self._check_batch("accuracy", output=output, target=target)
        if output.ndim != 2 or len(self) == 0:
            raise FeatmixError(
                "Mixture.accuracy", "output", expected="scores (B, L) of at least one row", got=tuple(output.shape)
            )
        if target.ndim > 2:
            raise FeatmixError("Mixture.accuracy", "target", expected="targets (B,) or (B, L)", got=tuple(target.shape))
        if self.index.device != target.device:
            return self.to(target.device).accuracy(output, target)
        classes = target.argmax(1) if target.ndim > 1 else target
        hit = output.argmax(1, keepdim=True) == classes[self.index]
        return (hit * self.weight).sum(1).mean()

    def _as_vectors(self, target: Tensor, num_classes: int | None) -> Tensor:
        self._check_batch("dense", target=target)
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

    def _check_batch(self, method: str, **tensors: Tensor) -> None:
        for name, value in tensors.items():
            if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != len(self):
                got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise FeatmixError(f"Mixture.{method}", name, expected=f"a tensor of {len(self)} rows", got=got)


def _per_sample(criterion: Callable[..., Any]) -> tuple[Callable[..., Tensor], str]:
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
