"""Moments of samples seen before, with their labels, so that small batches have partners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from featmix.errors import FeatmixError
from featmix.labels.mixture import Mixture
from featmix.normalizers.moments import Moments
from featmix.sampling.draws import Stream, uniform
from featmix.strategies.params import Params


@dataclass(frozen=True, eq=False)
class MemoryParams(Params):
    """A decision that takes moments from a memory.

    Args:
        partner: See :class:`~featmix.strategies.params.Params`.
        active: See :class:`~featmix.strategies.params.Params`.
        lam: See :class:`~featmix.strategies.params.Params`.
        mixture: With the remembered labels beyond the batch.
        remembered: ``(B,)`` bool, which rows take from the memory; the others take from their partner.
        mean: ``(B, ...)`` the remembered mean of each row.
        std: ``(B, ...)`` the remembered standard deviation of each row.
        slots: ``(B,)`` int64, where this batch's own moments are to be kept.
        label: ``(B, ...)`` this batch's own labels, to be kept with them.
    """

    remembered: Tensor
    mean: Tensor
    std: Tensor
    slots: Tensor
    label: Tensor

    @classmethod
    def after(
        cls, params: Params, mixture: Mixture, found: Tensor, moments: Moments, slots: Tensor, target: Tensor
    ) -> MemoryParams:
        """Return a decision that takes from a memory where it found something, and as ``params`` says elsewhere."""
        given = (params.partner, params.active, params.lam, mixture, found, moments.mean, moments.std, slots, target)
        remembering = cls(*given, mask=params.mask)
        vars(remembering).update(is_tied=params.is_tied, rests=params.rests)
        return remembering

    def moments_instead_of(self, partner: Moments) -> Moments:
        """Return the remembered moments where there are any, the partner's elsewhere."""
        gate = self.remembered.view(-1, *[1] * (partner.mean.ndim - 1))
        mean, std = self.mean.to(partner.mean.dtype), self.std.to(partner.std.dtype)
        return Moments(torch.where(gate, mean, partner.mean), torch.where(gate, std, partner.std))


def of_memory(params: Params) -> MemoryParams | None:
    """Return a decision that takes from a memory as what it is; ``None`` for other decisions."""
    return params if isinstance(params, MemoryParams) else None


class Memory(nn.Module):
    """A ring of the last ``size`` samples: moments and labels, without gradient.

    Moments and labels of a slot are written together, by the forward pass that computes them; a decision that no forward
    takes leaves no trace.

    Args:
        size: Samples that are remembered.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self._next = 0
        self._kept: dict[str, Tensor] = {}

    def recall(self, count: int, random: Stream) -> tuple[Tensor, Moments, Tensor] | None:
        """Return ``count`` draws, uniform, with replacement: which rows got one ``(count,)``, their moments and labels.

        ``None`` where nothing is remembered yet.
        """
        if not self._kept:
            return None
        written = self._kept["written"].cpu()[: self.size].nonzero().squeeze(1)
        if not len(written):
            return None
        rows = written[torch.from_numpy((uniform(random, count) * len(written)).astype(np.int64))].to(self._kept["mean"].device)
        found = {name: values.index_select(0, rows) for name, values in self._kept.items()}
        return torch.ones(count, dtype=torch.bool), Moments(found["mean"], found["std"]), found["label"]

    def claim(self, moments: Sequence[int], dtype: torch.dtype, label: Tensor) -> Tensor:
        """Return slots for one batch ``(B,)``, the oldest ones; the first rows of a batch larger than the memory get none.

        Args:
            moments: Shape of one sample's moments.
            dtype: Of the moments.
            label: ``(B, ...)`` the batch's labels.

        Raises:
            FeatmixError: If moments or labels are of another shape or dtype than those remembered.
        """
        like = {
            "mean": torch.empty(0, *moments, dtype=dtype, device=label.device),
            "std": torch.empty(0, *moments, dtype=dtype, device=label.device),
            "label": label[:0],
            "written": torch.empty(0, dtype=torch.bool, device=label.device),
        }
        if not self._kept:  # one slot more than asked for takes what is not to be kept
            self._kept = {name: t.new_zeros(self.size + 1, *t.shape[1:]) for name, t in like.items()}
        for name, t in like.items():
            kept = self._kept[name]
            if kept.shape[1:] != t.shape[1:] or kept.dtype != t.dtype:
                raise FeatmixError(
                    "memory",
                    name,
                    expected=f"what is remembered, {kept.dtype} {tuple(kept.shape[1:])}",
                    got=f"{t.dtype} {tuple(t.shape[1:])}",
                    fix="One strategy remembers for one site and one kind of label: make another for another.",
                )
        batch = len(label)
        slots = (self._next + torch.arange(batch)) % self.size
        slots[: max(batch - self.size, 0)] = self.size
        self._next = (self._next + batch) % self.size
        return slots

    def keep(self, own: Moments, params: MemoryParams) -> None:
        """Write this batch's moments and labels into the slots of its decision."""
        values = {"mean": own.mean, "std": own.std, "label": params.label, "written": torch.ones_like(params.slots).bool()}
        for name, value in values.items():
            kept = self._kept[name]
            kept.index_copy_(0, params.slots.to(kept.device), value.detach().to(kept.device, kept.dtype))

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination[f"{prefix}next"] = torch.tensor(self._next)
        destination.update({f"{prefix}{name}": values.clone() for name, values in self._kept.items()})

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *_: Any) -> None:
        names = [name for name in state_dict if name.startswith(prefix)]
        self.restore({name.removeprefix(prefix): state_dict[name] for name in names})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what another memory of this size did.

        Raises:
            FeatmixError: If it is the state of no memory, or of one of another size.
        """
        tensors = {name: value for name, value in state.items() if name != "next"}
        fits = not tensors or (
            set(tensors) == {"mean", "std", "label", "written"}
            and all(isinstance(t, Tensor) and t.ndim and len(t) == self.size + 1 for t in tensors.values())
        )
        position = state.get("next")
        placed = isinstance(position, Tensor) and position.numel() == 1 and 0 <= int(position) < self.size
        if not fits or not placed:
            raise FeatmixError("memory", "state", expected=f"the state of a memory of {self.size}", got=sorted(state))
        self._next, self._kept = int(state["next"]), {name: value.clone() for name, value in tensors.items()}
