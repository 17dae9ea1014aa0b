"""One step's decision: what it is drawn from, and what it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import TypeVar

from featmix.across.link import Link
from featmix.errors import FeatmixError
from featmix.labels.mixture import Mixture, made
from featmix.sampling.draws import Flags, Rows, Stream, rows, takers
from featmix.support.packing import sent

Array: TypeAlias = NDArray[Any]


def of_the_batch() -> Any:
    """Return a dataclass field whose tensor has no axis for the rows of the batch: a mask that all rows share."""
    return field(metadata={"rows": False})


@dataclass(frozen=True, eq=False)
class Draw:
    """What a strategy decides with: partners and gates, drawn already, and a stream of random numbers.

    Args:
        partner: ``(B,)`` int64; a row that is not active is its own partner.
        active: ``(B,)`` bool, the rows that are mixed.
        random: Source of everything else that the strategy draws.
        mixes_labels: Whether the labels follow ``lam``.
    """

    partner: Rows
    active: Flags
    random: Stream
    mixes_labels: bool

    def __len__(self) -> int:
        return len(self.partner)

    def count(self, per: str) -> int:
        """Return how many numbers are drawn: one for the ``batch``, or one for each ``sample``."""
        return len(self.partner) if per == "sample" else min(len(self.partner), 1)

    def every(self, values: Array) -> Array:
        """Return a new array ``(B, ...)`` of values ``(B, ...)`` or ``(1, ...)``."""
        spread = np.empty((len(self.partner), *values.shape[1:]), dtype=values.dtype)
        spread[:] = values
        return spread

    def gated(self, values: Array, idle: float) -> Array:
        """Return values ``(B, ...)`` or ``(1, ...)`` for all rows, ``idle`` in those that are not active."""
        spread = self.every(values)
        spread[~self.active] = idle
        return spread


@dataclass(frozen=True, eq=False)
class Params:
    """Every random decision of one step, as tensors. Strategies add fields by subclassing.

    Axis 0 of every tensor is the batch, except where a field is made with :func:`of_the_batch`.

    Args:
        partner: ``(B,)`` int64; row ``i`` takes from row ``partner[i]``. Rows that are not active are their own partners. Rows
            past the batch are those of other ranks, in order, where ranks decided together.
        active: ``(B,)`` bool; rows that are not active come out bit for bit as they went in.
        lam: ``(B,)`` float32, the weight of the sample itself; 1 where a row is not active; ``None`` where none is drawn.
        mixture: What the labels become.
        mask: ``(B, *positions)`` bool, False where there is padding; ``None`` where all positions are real.

    Attributes:
        is_tied: True if rows that are not active are known to be their own partners.
        rests: True if no row is active, False if one is; ``None`` where that is not known without looking. Of a decision that
            ranks made together: no row on any of them.
        link: The ranks that made it together; ``None`` where this one decided for itself.
        lender: ``(B,)`` int64, where each row's partner stands among the rows that all ranks send; ``None`` alike.
        present: ``(ranks, room)`` bool, which of these rows there are; ``None`` alike.
        whole: What the labels of all ranks become, on the host; ``None`` alike.
    """

    partner: Tensor
    active: Tensor
    lam: Tensor | None
    mixture: Mixture
    mask: Tensor | None = field(default=None, kw_only=True)
    _taker: Tensor | None = field(default=None, init=False, repr=False)
    is_tied: bool = field(default=False, init=False, repr=False)
    rests: bool | None = field(default=None, init=False, repr=False)
    link: Link | None = field(default=None, init=False, repr=False)
    lender: Tensor | None = field(default=None, init=False, repr=False)
    present: Tensor | None = field(default=None, init=False, repr=False)
    whole: Mixture | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(
        cls,
        draw: Draw,
        lam: Array | float | None = None,
        *,
        mixture: Mixture | None = None,
        loss_weight: float = 1.0,
        own_term: float = 0.0,
        **own: Any,
    ) -> Self:
        """Return the decision of one draw. Gates are applied here, once: rows that are not active keep ``lam`` 1.

        Args:
            draw: Partners and gates.
            lam: ``(B,)``, ``(1,)`` or a number, the weight of the sample itself; ``None`` where the strategy has none.
            mixture: What the labels become, where it is not what ``lam`` says.
            loss_weight: What the loss of a row that is mixed is multiplied with.
            own_term: The part of that loss that is of the row's own label, whatever ``lam`` says.
            own: The fields of a subclass; arrays become tensors.

        Example:
            >>> draw = Draw(np.array([1, 0, 2]), np.array([True, True, False]), np.random.default_rng(0), mixes_labels=True)
            >>> params = Params.of(draw, 0.75)
            >>> params.lam, params.mixture.weight[0]
            (tensor([0.7500, 0.7500, 1.0000]), tensor([0.7500, 0.2500]))
        """
        kept = None if lam is None else draw.gated(np.asarray(lam, dtype=np.float32).reshape(-1), 1.0)
        if mixture is None:
            shared = kept if kept is None or not own_term else kept + (1 - kept) * np.float32(own_term)
            mixture = _mixture(draw, shared, loss_weight)
        tensors = {name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in own.items()}
        share = None if kept is None else torch.from_numpy(kept)
        params = cls(torch.from_numpy(draw.partner), torch.from_numpy(draw.active), share, mixture, **tensors)
        vars(params).update(is_tied=True, rests=not draw.active.any())
        return params

    def to(self, device: torch.device | str) -> Self:
        """Return the same decision on another device, sent in one copy."""
        moved: Self = decisions_to([self], device)[0]
        return moved

    def replaced(self, **changes: Any) -> Self:
        """Return the same decision with other fields than those of partners and gates: it stays tied, with its takers.

        Example:
            >>> params = Params(torch.tensor([1, 0]), torch.ones(2).bool(), None, Mixture.identity(2))
            >>> params.replaced(mask=torch.ones(2, 3).bool()).mask.shape
            torch.Size([2, 3])
        """
        changed = dataclasses.replace(self, **changes)
        vars(changed).update(is_tied=self.is_tied, _taker=self._taker, rests=self.rests, **self._abroad())
        return changed

    def idle(self) -> Self:
        """Return the same decision with no row active. Every tensor keeps its shape: a compiled step stays one graph."""
        still = torch.arange(len(self.partner), device=self.partner.device)
        index = still.view(-1, 1).expand_as(self.mixture.index)
        weight = torch.zeros_like(self.mixture.weight)
        weight[:, 0] = 1
        resting = dataclasses.replace(
            self,
            partner=still,
            active=torch.zeros_like(self.active),
            lam=None if self.lam is None else torch.ones_like(self.lam),
            mixture=made(index, weight),
        )
        vars(resting).update(is_tied=True, rests=True, **self._abroad())
        if self.link is not None and self.present is not None:
            vars(resting)["lender"] = still + self.link.rank * self.present.shape[1]
        return resting

    def repeated(self, times: int) -> Self:
        """Return the same decision for features that hold several rows of each sample, one sample after the other.

        Args:
            times: Rows of each sample; row ``t`` of a sample takes from row ``t`` of its partner.

        Example:
            >>> params = Params(torch.tensor([1, 0]), torch.ones(2).bool(), None, Mixture.identity(2))
            >>> params.repeated(3).partner
            tensor([3, 4, 5, 0, 1, 2])
        """
        among = torch.arange(times, device=self.partner.device).repeat(len(self.partner))
        changes: dict[str, Any] = {name: value.repeat_interleave(times, dim=0) for name, value in self.per_row().items()}
        changes["partner"] = changes["partner"] * times + among
        index, weight, *scale = (t.repeat_interleave(times, dim=0) for t in self.mixture.tensors())
        changes["mixture"] = made(index * times + among.unsqueeze(1), weight, None, *scale)
        spread = dataclasses.replace(self, **changes)
        vars(spread).update(is_tied=self.is_tied, rests=self.rests, **self._abroad())
        if self.lender is not None and self.present is not None:
            lender = self.lender.repeat_interleave(times) * times + among
            vars(spread).update(lender=lender, present=self.present.repeat_interleave(times, dim=1))
        return spread

    def tied(self) -> Self:
        """Return the same decision with rows that are not active as their own partners.

        A NaN in another row then reaches neither them nor their gradient.
        """
        if self.is_tied:
            return self
        still = torch.arange(len(self.partner), device=self.partner.device)
        tied = dataclasses.replace(self, partner=torch.where(self.active, self.partner, still))
        vars(tied).update(is_tied=True, **self._abroad())
        return tied

    @property
    def taker(self) -> Tensor | None:
        """The other row that took from each row, ``(B,)`` int64, -1 where there is none.

        ``None`` where two rows took from one, where ranks decided together, and on a device where the decision was not sent
        there as it was drawn: finding takers there would make the host wait.
        """
        if self._taker is None and self.is_tied and self.partner.device.type == "cpu" and self.link is None:
            found = takers(self.partner.numpy())
            vars(self)["_taker"] = None if found is None else torch.from_numpy(found)
        return self._taker

    def acts(self) -> bool:
        """Return True if a row is active; reads values where that is not known from the draw."""
        return bool(self.active.any()) if self.rests is None else not self.rests

    def _abroad(self) -> dict[str, Any]:
        """Return what else is known of a decision that ranks made together."""
        return {name: getattr(self, name) for name in ("link", "lender", "present", "whole")}

    def per_row(self) -> dict[str, Tensor]:
        """Return the tensors with one entry a row, by name."""
        named = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init and f.metadata.get("rows", True)}
        return {name: value for name, value in named.items() if isinstance(value, Tensor)}

    def own_share(self) -> Tensor:
        """Return ``lam``, ``(B,)``, of a decision that drew one."""
        if self.lam is None:
            raise FeatmixError("Params", "lam", expected="a strength", got="None", fix="This strategy draws none.")
        return self.lam

    def strength(self, like: Tensor) -> Tensor:
        """Return ``lam`` as ``(B, 1, ...)`` in the dtype and number of axes of ``like``: rows never broadcast along W."""
        return self.own_share().to(like.dtype).view(-1, *[1] * (like.ndim - 1))

    def shares(self) -> list[float]:
        """Return ``lam`` as plain numbers, for oracles."""
        return [float(lam) for lam in self.own_share()]


P = TypeVar("P", bound=Params, default=Any)
"""The kind of decision that a strategy takes."""


def decisions_to(
    decisions: Sequence[Any], device: torch.device | str, more: Mixture | None = None, *, takers: bool = True
) -> list[Any]:
    """Return decisions on another device, all sent in one copy.

    Args:
        decisions: Any :class:`Params`.
        device: Where the features are.
        more: One more mixture to send with them; it then stands last in the result.
        takers: Whether there will be a backward pass, which has a use for each row's taker.
    """
    wanted = torch.device(device)
    mixtures = [params.mixture for params in decisions] + ([] if more is None else [more])
    if all(m.index.device == wanted for m in mixtures) and all(p.partner.device == wanted for p in decisions):
        return [*decisions, *([] if more is None else [more])]
    for params in decisions if takers else ():
        params.taker  # noqa: B018 - found on the host, and sent with the rest
    named = [{n: v for n, v in vars(params).items() if isinstance(v, Tensor)} for params in decisions]
    flat = [t for fields in named for t in fields.values()] + [t for m in mixtures for t in m.tensors()]
    there = iter(sent(flat, wanted))
    fields_there = [{name: next(there) for name in fields} for fields in named]
    mixtures_there = [m.rebuilt([next(there) for _ in m.tensors()]) for m in mixtures]
    moved: list[Any] = []
    for params, fields, mixture in zip(decisions, fields_there, mixtures_there, strict=False):
        copy = object.__new__(type(params))
        vars(copy).update({**vars(params), **fields, "mixture": mixture})
        moved.append(copy)
    return [*moved, *mixtures_there[len(decisions) :]]


def decided_sizes(subject: str, drawn: tuple[int, ...], sizes: tuple[int, ...], what: str) -> None:
    """Check that a decision that has places was drawn for positions of these sizes.

    Args:
        subject: Who acts by it, for messages.
        drawn: The sizes that it was drawn for.
        sizes: The sizes of the position axes of what is mixed.
        what: What was drawn, for messages: ``a box``.

    Raises:
        FeatmixError: If it is for another resolution.
    """
    if drawn != sizes:
        raise FeatmixError(
            subject,
            "params",
            expected=f"{what} drawn for positions {sizes}",
            got=str(drawn),
            fix="Draw with the shape of the tensor that is mixed, so that the label weight is the share replaced.",
        )


def _mixture(draw: Draw, kept: NDArray[np.float32] | None, loss_weight: float) -> Mixture:
    n = len(draw)
    if kept is None or not draw.mixes_labels:
        return made(torch.from_numpy(np.arange(n)[:, None]), torch.from_numpy(np.ones((n, 1), dtype=np.float32)))
    index, weight = np.empty((n, 2), dtype=np.int64), np.empty((n, 2), dtype=np.float32)
    index[:, 0], index[:, 1] = rows(n), draw.partner
    weight[:, 0], weight[:, 1] = kept, 1 - kept
    scale = None
    if loss_weight != 1:
        scale = torch.from_numpy(np.where(draw.active, loss_weight, 1.0).astype(np.float32))
    mixture = made(torch.from_numpy(index), torch.from_numpy(weight), scale=scale)
    vars(mixture)["_untouched"] = not draw.active.any()
    return mixture
