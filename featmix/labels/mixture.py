"""Labels after mixing: a sparse row-stochastic matrix over the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.labels.criteria import mixed_loss, recognised
from featmix.labels.diagnosis import check_criterion, how_to_tensor, why_it_failed
from featmix.labels.scores import weighted_accuracy
from featmix.labels.sharing import OnHost
from featmix.labels.targets import blended
from featmix.support.packing import sent

_OFF = 1e-3  # how far from 1 a row of shares may add up to, after many compositions in float32


@dataclass(frozen=True, eq=False)
class Mixture:
    """Row ``i`` of a mixed batch is made of rows ``index[i]`` of the batch, by the shares ``weight[i]``.

    There are two extensions. Labels from outside the batch, such as those of remembered samples, are in ``beyond``: index
    ``B + k`` means its row ``k``. And a row may count more than once in the loss: ``scale`` (2 for PatchUp, whose loss has more
    terms).

    Args:
        index: ``(B, K)`` int64, rows of the batch, or ``B + k`` for row ``k`` of ``beyond``.
        weight: ``(B, K)`` float32, each row adds up to 1.
        beyond: ``(M, ...)`` more targets, of the same kind as those of the batch, or ``None``.
        scale: ``(B,)`` float32, a factor for the loss of each row; ``None`` is 1. Soft targets do not include it.

    Example:
        >>> mx = Mixture.pair(torch.tensor([1, 0]), torch.tensor([0.9, 0.6]))
        >>> mx.dense(torch.tensor([0, 2]), num_classes=3)
        tensor([[0.9000, 0.0000, 0.1000],
                [0.4000, 0.0000, 0.6000]])
    """

    index: Tensor
    weight: Tensor
    beyond: Tensor | None = None
    scale: Tensor | None = None
    _origin: Mixture | None = field(default=None, init=False, repr=False)
    _untouched: bool = field(default=False, init=False, repr=False)  # made as the identity

    def __post_init__(self) -> None:
        """Check what a user constructs; what the library makes itself goes by :func:`made`."""
        if torch.compiler.is_compiling():
            return
        index, weight = self.index, self.weight
        fits = index.ndim == 2 and index.shape == weight.shape and index.dtype == torch.int64 and weight.dtype == torch.float32
        if not fits:
            expected = "index (B, K) int64 and weight (B, K) float32"
            got = f"{index.dtype} {tuple(index.shape)} and {weight.dtype} {tuple(weight.shape)}"
            raise FeatmixError("Mixture", "weight", expected=expected, got=got)
        if self.scale is not None and (self.scale.shape != weight.shape[:1] or self.scale.dtype != torch.float32):
            got = f"{self.scale.dtype} {tuple(self.scale.shape)}"
            raise FeatmixError("Mixture", "scale", expected=f"float32 ({len(index)},)", got=got)
        if index.device.type != "cpu" or not index.numel():  # reading values off an accelerator would make it wait
            return
        if not 0 <= int(index.min()) <= int(index.max()) < self._known:
            raise FeatmixError("Mixture", "index", expected=f"rows of a batch of {self._known}", got=index.tolist())
        if not bool(((weight >= 0).all() & ((weight.sum(1) - 1).abs() < _OFF)).all()):
            raise FeatmixError(
                "Mixture", "weight", expected="shares from 0 up that add up to 1 in each row", got=weight.tolist()
            )

    @staticmethod
    def identity(batch: int, device: torch.device | str | None = None) -> Mixture:
        """Return the mixture that leaves ``batch`` rows as they are."""
        rows = torch.arange(batch, device=device).unsqueeze(1)
        mixture = made(rows, torch.ones(batch, 1, dtype=torch.float32, device=device))
        vars(mixture)["_untouched"] = True
        if rows.device.type != "cpu" and not torch.compiler.is_compiling():
            vars(mixture)["_origin"] = Mixture.identity(batch, "cpu")
        return mixture

    @staticmethod
    def pair(partner: Tensor, lam: Tensor) -> Mixture:
        """Return the mixture in which row ``i`` keeps ``lam[i]`` and takes the rest from ``partner[i]``; both ``(B,)``."""
        own = lam.float()
        rows = torch.arange(len(partner), device=partner.device)
        return Mixture(torch.stack([rows, partner], dim=1), torch.stack([own, 1 - own], dim=1))

    def __len__(self) -> int:
        return self.index.shape[0]

    @property
    def own_weight(self) -> Tensor:
        """The weight of each row's own label, ``(B,)``: λ after all that was mixed; 1 where a row keeps its label.

        Example:
            >>> Mixture.pair(torch.tensor([1, 0]), torch.tensor([0.75, 1.0])).own_weight
            tensor([0.7500, 1.0000])
        """
        rows = torch.arange(len(self), device=self.index.device).unsqueeze(1)
        return torch.where(self.index == rows, self.weight, 0).sum(1)

    @property
    def _known(self) -> int:
        """How many targets there are: the batch's, and those beyond it."""
        return self.index.shape[0] + (0 if self.beyond is None else len(self.beyond))

    def to(self, device: torch.device | str) -> Mixture:
        """Return the same mixture on another device."""
        return self if self.index.device == torch.device(device) else self.rebuilt(sent(self.tensors(), device))

    def tensors(self) -> list[Tensor]:
        """Return the tensors that it consists of, for :meth:`rebuilt`."""
        return [t for t in (self.index, self.weight, self.beyond, self.scale) if t is not None]

    def rebuilt(self, tensors: list[Tensor]) -> Mixture:
        """Return the same mixture made of these tensors, in the order of :meth:`tensors`."""
        index, weight, *rest = tensors
        beyond = None if self.beyond is None else rest.pop(0)
        mixture = made(index, weight, beyond, rest.pop(0) if rest else None)
        vars(mixture).update(_origin=self._there(), _untouched=self._untouched)
        return mixture

    def _there(self) -> Mixture | None:
        """Return this mixture on the host, or the one on the host that it was sent from."""
        return self if self.index.device.type == "cpu" else self._origin

    def _on_host(self) -> OnHost | None:
        """Return the tensors as arrays, where the host knows what is in them: nothing is read off an accelerator."""
        origin = None if torch.compiler.is_compiling() else self._there()
        if origin is None or origin.weight.requires_grad:
            return None
        return OnHost(origin.index.numpy(), origin.weight.numpy(), None if origin.scale is None else origin.scale.numpy())

    def then(self, other: Mixture) -> Mixture:
        """Return the mixture of applying ``other`` after this one: ``W_other @ W_self``. Not commutative.

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
        sources, shares = self._sources(0 if other.beyond is None else len(other.beyond))
        index, weight = _chained(sources, shares, other.index, other.weight)
        composed = made(index, weight, _joined(self.beyond, other.beyond), _product(self.scale, other.scale))
        here, there = self._there(), other._there()
        if index.device.type != "cpu" and here is not None and there is not None:
            vars(composed)["_origin"] = here.then(there)
        if index.shape[1] <= max(composed._known, 1):
            return composed
        rows = torch.arange(composed._known, device=index.device).expand(len(self), -1)
        return made(rows, composed.matrix(), composed.beyond, composed.scale)

    def matrix(self) -> Tensor:
        """Return all shares ``(B, B + M)``: ``[i, j]`` is the share of row ``j`` in row ``i``; M rows are beyond the batch."""
        zeros = self.weight.new_zeros(len(self), self._known)
        return zeros.scatter_add_(1, self.index, self.weight)

    def dense(self, target: Tensor, num_classes: int | None = None) -> Tensor:
        """Return soft targets.

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
        self._check_batch("dense", target=target)
        if self.index.device != target.device:
            return self.to(target.device).dense(target, num_classes)
        return blended(self._with_beyond("dense", target), self.index, self.weight, num_classes)

    def loss(self, criterion: Callable[..., Tensor], output: Tensor, target: Tensor) -> Tensor:
        """Return ``sum_k weight_k * criterion(output, target[index_k])``, reduced as the criterion asks.

        *Where no label is mixed*, in eval mode or where ``p`` left the batch alone, it is ``criterion(output, target)`` itself.

        *A mean is torch's own.* Over class indices torch divides by what these count: their class weights, and nothing for
        ``ignore_index``. Here they count by their shares,

        ``sum_i sum_k weight_ik * w[y_k] * l(output_i, y_k) / sum_i sum_k weight_ik * w[y_k]``, with ``y_k = target[index_ik]``,

        which is torch's mean where nothing is mixed. Soft targets of cross entropy are divided by their number, as torch does:
        under class weights ``F.cross_entropy(output, mx.dense(target, L), weight=w)`` is the same sum divided by ``B``. All
        other means are over losses.

        *A criterion that only gives a mean* (or another single number) is exact where all rows share their weights, as with one
        strength for the batch: ``sum_k weight_k * criterion(output, target[index[:, k]])``. Else it is refused. So is the mean
        of a criterion derived from torch's, with a ``forward`` of its own, under class weights or with ignored targets: what it
        divides by is not known.

        Args:
            criterion: A torch loss function, or a loss module of any reduction (its ``mean``, ``sum`` or ``batchmean`` is
                applied to the weighted losses; ``none`` gives them as they are), or anything that returns a loss for each
                sample, which is averaged, or one number.
            output: Model output, ``(B, ...)``.
            target: Targets, ``(B, ...)``, whatever ``criterion`` takes.

        Returns:
            A scalar; with ``reduction="none"`` the mixed losses, ``(B, ...)``.

        Raises:
            FeatmixError: If the batch does not fit or is empty, or ``criterion`` returns one number and rows do not share
                their weights, or no loss at all.

        Example:
            >>> mx = Mixture.pair(torch.tensor([1, 0]), torch.tensor([0.9, 0.9]))
            >>> mx.loss(torch.nn.functional.cross_entropy, torch.zeros(2, 4), torch.tensor([0, 3]))
            tensor(1.3863)
        """
        check_criterion(criterion)
        self._check_batch("loss", output=output, target=target)
        if len(self) == 0:
            raise FeatmixError("Mixture.loss", "output", expected="at least one row", got="an empty batch", fix="Skip it.")
        if self.index.device != target.device:
            return self.to(target.device).loss(criterion, output, target)
        if torch.compiler.is_compiling():
            return self._loss(criterion, output, target)
        try:
            return self._loss(criterion, output, target)
        except Exception as error:
            known = recognised(criterion)
            ignored = None if known is None else known.settings.get("ignore_index", -100)
            why = why_it_failed(error, known and known.function, output, target, ignored)
            if why is None:
                raise
            raise why from error

    def _loss(self, criterion: Callable[..., Tensor], output: Tensor, target: Tensor) -> Tensor:
        known, index, weight, scale = self._with_beyond("loss", target), self.index, self.weight, self.scale
        return mixed_loss(
            criterion, output, known, index, weight, scale=scale, on_host=self._on_host, untouched=self._untouched
        )

    def accuracy(self, output: Tensor, target: Tensor, *, top_k: int = 1, threshold: float | None = None) -> Tensor:
        """Return the share of each row's label weight that is predicted, averaged; a scalar.

        Args:
            output: Scores ``(B, L)``; or one score a row, ``(B,)`` or ``(B, 1)``, for two classes.
            target: Class indices ``(B,)``, or one-hot or soft targets ``(B, L)``, whose largest entry is the class. With
                ``threshold``: labels that are on or off, of the shape of ``output`` (for two classes also ``(B,)``); soft
                labels are on above 0.5.
            top_k: A class counts as predicted if it is among so many of the largest scores.
            threshold: A label counts as predicted if its score is above it: 0 for logits, 0.5 for probabilities. Needed if
                rows have one score or several labels; each label then counts by itself.

        Raises:
            FeatmixError: If the batch does not fit or is empty, ``output`` has no scores, or a threshold is needed. Rows
                with several labels are refused on the CPU; on an accelerator, where values are not read, the result is NaN.

        Example:
            >>> mx = Mixture.pair(torch.tensor([1, 0]), torch.tensor([0.75, 0.75]))
            >>> mx.accuracy(torch.tensor([[2.0, 1.0], [3.0, 0.0]]), torch.tensor([0, 1]))
            tensor(0.5000)
            >>> mx.accuracy(torch.tensor([2.0, -1.0]), torch.tensor([1, 0]), threshold=0.0)
            tensor(0.7500)
        """
        self._check_batch("accuracy", output=output, target=target)
        if self.index.device != target.device:
            return self.to(target.device).accuracy(output, target, top_k=top_k, threshold=threshold)
        target = self._with_beyond("accuracy", target)
        return weighted_accuracy(output, target, self.index, self.weight, top_k=top_k, threshold=threshold)

    def _sources(self, more: int) -> tuple[Tensor, Tensor]:
        """Return index and weight of this mixture, and of ``more`` rows beyond the batch that it does not touch."""
        if not more:
            return self.index, self.weight
        rows = self._known + torch.arange(more, device=self.index.device).unsqueeze(1)
        untouched = torch.zeros(more, self.weight.shape[1], device=self.weight.device)
        untouched[:, 0] = 1
        return torch.cat([self.index, rows.expand(-1, self.index.shape[1])]), torch.cat([self.weight, untouched])

    def _with_beyond(self, method: str, target: Tensor) -> Tensor:
        if self.beyond is None:
            return target
        if self.beyond.shape[1:] != target.shape[1:] or self.beyond.dtype != target.dtype:
            raise FeatmixError(
                f"Mixture.{method}",
                "target",
                expected=f"targets like those beyond the batch: {self.beyond.dtype}, rows of {tuple(self.beyond.shape[1:])}",
                got=f"{target.dtype} {tuple(target.shape)}",
                fix="Pass the targets that draw was given.",
            )
        return torch.cat([target, self.beyond.to(target.device)])

    def _check_batch(self, method: str, **tensors: Tensor) -> None:
        for name, value in tensors.items():
            if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != len(self):
                got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                fix = how_to_tensor(name, value)
                raise FeatmixError(f"Mixture.{method}", name, expected=f"a tensor of {len(self)} rows", got=got, fix=fix)


def made(index: Tensor, weight: Tensor, beyond: Tensor | None = None, scale: Tensor | None = None) -> Mixture:
    """Return a mixture whose parts are right by construction: nothing is checked."""
    mixture = object.__new__(Mixture)
    vars(mixture).update(index=index, weight=weight, beyond=beyond, scale=scale, _origin=None, _untouched=False)
    return mixture


def _chained(sources: Tensor, shares: Tensor, rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``sources[rows]`` and ``shares[rows] * weights``, flat; on the host with NumPy, which is faster on so little."""
    if rows.device.type != "cpu" or shares.requires_grad or weights.requires_grad:
        return sources[rows].flatten(1), (shares[rows] * weights.unsqueeze(-1)).flatten(1)
    taken, share = rows.numpy(), weights.numpy()
    index = sources.numpy().take(taken, axis=0)
    weight = shares.numpy().take(taken, axis=0) * share[:, :, None]
    return torch.from_numpy(index.reshape(len(taken), -1)), torch.from_numpy(weight.reshape(len(taken), -1))


def _joined(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return second if first is None else first if second is None else torch.cat([first, second])


def _product(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return second if first is None else first if second is None else first * second
