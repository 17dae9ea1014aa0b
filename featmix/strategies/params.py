"""One step's decision, as tensors."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.labels.devices import moved
from featmix.labels.mixture import Mixture


def of_the_batch() -> Any:
    """A field whose tensor belongs to the whole batch, and has no axis for its rows: a mask that all rows share."""
    return field(metadata={"rows": False})


@dataclass(frozen=True, eq=False)
class Params:
    """Every random decision of one step, as tensors. Strategies add fields by subclassing.

    Axis 0 of every tensor is the batch, except where a field is made with :func:`of_the_batch`.

    Args:
        partner: ``(B,)`` int64; row ``i`` takes from row ``partner[i]``.
        active: ``(B,)`` bool; rows that are not active come out bit for bit as they went in.
        lam: ``(B,)`` float32, the sample's own share; 1 where a row is not active; ``None`` where none is drawn.
        mixture: What the labels become.
        mask: ``(B, *positions)`` bool, False where there is padding; ``None`` where all positions are real.
    """

    partner: Tensor
    active: Tensor
    lam: Tensor | None
    mixture: Mixture
    mask: Tensor | None = field(default=None, kw_only=True)

    def to(self, device: torch.device | str) -> Self:
        """The same decision on another device."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        there: dict[str, Any] = {k: moved(v, device) for k, v in fields.items() if isinstance(v, Tensor)}
        return dataclasses.replace(self, **there, mixture=self.mixture.to(device))

    def idle(self) -> Self:
        """The same decision with no row active. Every tensor keeps its shape, so that a compiled step stays one graph."""
        index = self.mixture.index
        rows = torch.arange(len(index), device=index.device).view(-1, 1).expand_as(index)
        weight = torch.zeros_like(self.mixture.weight)
        weight[:, 0] = 1
        return dataclasses.replace(
            self,
            active=torch.zeros_like(self.active),
            lam=None if self.lam is None else torch.ones_like(self.lam),
            mixture=Mixture(rows, weight),
        )

    def tied(self) -> Self:
        """The same decision, idle rows their own partners: a NaN in another row reaches neither them nor their gradient."""
        rows = torch.arange(len(self.partner), device=self.partner.device)
        return dataclasses.replace(self, partner=torch.where(self.active, self.partner, rows))

    def per_row(self) -> dict[str, Tensor]:
        """The tensors with one entry a row, by name."""
        named = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata.get("rows", True)}
        return {name: value for name, value in named.items() if isinstance(value, Tensor)}

    def own_share(self) -> Tensor:
        """``lam``, ``(B,)``, of a decision that drew one."""
        if self.lam is None:
            raise FeatmixError("Params", "lam", expected="a strength", got="None", fix="This strategy draws none.")
        return self.lam

    def strength(self, like: Tensor) -> Tensor:
        """``lam`` as ``(B, 1, ...)``, in the dtype and number of axes of ``like``: rows never broadcast along another axis."""
        return self.own_share().to(like.dtype).view(-1, *[1] * (like.ndim - 1))

    def shares(self) -> list[float]:
        """``lam`` as plain numbers, for oracles."""
        return [float(lam) for lam in self.own_share()]


_P = TypeVar("_P", bound=Params)


def decided_for(subject: str, params: Params, kind: type[_P], sizes: tuple[int, ...], what: str) -> _P:
    """A decision that has places, if it is one of this kind for positions of these sizes.

    Args:
        subject: Who acts by it, for messages.
        params: The decision; what has places has ``sizes``.
        kind: The class that it has to be of.
        sizes: The sizes of the position axes of what is mixed.
        what: What was drawn, for messages: ``a box``.

    Raises:
        FeatmixError: If it is of another strategy, or for another resolution.
    """
    if not isinstance(params, kind) or vars(params)["sizes"] != sizes:
        raise FeatmixError(
            subject,
            "params",
            expected=f"{what} drawn for positions {sizes}",
            got=str(getattr(params, "sizes", type(params).__name__)),
            fix="Draw with the shape of the tensor that is mixed, so that the label weight is the share replaced.",
        )
    return params
