"""Samples seen before, with their labels, so that small batches have partners: their moments, or their features."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featmix.errors import FeatmixError
from featmix.labels.mixture import made
from featmix.normalizers.moments import Moments
from featmix.sampling.draws import Stream, uniform
from featmix.strategies.params import Params
from featmix.strategies.restoring import check_fit, check_held

_KEPT_AS = torch.float32
_EXACT = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16)  # integers that float32 holds without loss


@dataclass(frozen=True, eq=False, kw_only=True)
class MemoryParams(Params):
    """A decision that takes from a memory. What it takes are the fields of its subclasses, ``(B, ...)`` each.

    Args:
        partner: See :class:`~featmix.strategies.params.Params`.
        active: See :class:`~featmix.strategies.params.Params`.
        lam: See :class:`~featmix.strategies.params.Params`.
        mixture: With the remembered labels beyond the batch.
        remembered: ``(B,)`` bool, which rows take from the memory; the others take from their partner.
        slots: ``(B,)`` int64, where this batch's own samples are to be kept.
        spare: The slot of samples that are not to be kept.
        label: ``(B, ...)`` this batch's own labels, to be kept with them.
    """

    remembered: Tensor
    slots: Tensor
    spare: int
    label: Tensor

    @classmethod
    def after(cls, params: Params, **more: Any) -> Self:
        """Return a decision that takes from a memory where it found something, and as ``params`` says elsewhere."""
        given = {f.name: getattr(params, f.name) for f in dataclasses.fields(params) if f.init}
        remembering = cls(**{**given, **more})
        vars(remembering).update(is_tied=params.is_tied, rests=params.rests)
        return remembering

    def gate(self, like: Tensor) -> Tensor:
        """Return which rows take from the memory, with as many axes as ``like``."""
        return self.remembered.view(-1, *[1] * (like.ndim - 1))


@dataclass(frozen=True, eq=False, kw_only=True)
class RecalledMoments(MemoryParams):
    """A decision that takes moments from a memory.

    Args:
        partner: See :class:`MemoryParams`, as for all fields but these.
        mean: ``(B, ...)`` the remembered mean of each row.
        std: ``(B, ...)`` the remembered standard deviation of each row.
    """

    mean: Tensor
    std: Tensor

    def moments_instead_of(self, partner: Moments) -> Moments:
        """Return the remembered moments where there are any, the partner's elsewhere."""
        gate = self.gate(partner.mean)
        mean, std = self.mean.to(partner.mean.dtype), self.std.to(partner.std.dtype)
        return Moments(torch.where(gate, mean, partner.mean), torch.where(gate, std, partner.std))


@dataclass(frozen=True, eq=False, kw_only=True)
class RecalledFeatures(MemoryParams):
    """A decision that takes features from a memory.

    Args:
        partner: See :class:`MemoryParams`, as for all fields but these.
        features: ``(B, ...)`` the remembered features of each row, without prefix tokens.
    """

    features: Tensor

    def features_instead_of(self, partner: Tensor) -> Tensor:
        """Return the remembered features where there are any, the partner's elsewhere."""
        return torch.where(self.gate(partner), self.features.to(partner.dtype), partner)


def recalled_moments(params: Params) -> RecalledMoments | None:
    """Return a decision that takes moments from a memory as what it is; ``None`` for other decisions."""
    return params if isinstance(params, RecalledMoments) else None


def recalled_features(params: Params) -> RecalledFeatures | None:
    """Return a decision that takes features from a memory as what it is; ``None`` for other decisions."""
    return params if isinstance(params, RecalledFeatures) else None


def lender_of(x: NDArray[np.float64], row: int, partner: int, params: Params) -> NDArray[np.float64]:
    """Return what a row takes from: a remembered sample, or its partner; for oracles."""
    recalled = recalled_features(params)
    remembers = recalled is not None and bool(recalled.remembered[row])
    found: NDArray[np.float64] = recalled.features[row].double().numpy() if recalled and remembers else x[partner]
    return found


class Memory(nn.Module):
    """A ring of the last ``size`` samples: what is to be lent of each, and its label, without gradient.

    All that a slot holds is written together, by the forward pass that computes it; a decision that no forward takes leaves
    no trace.

    Args:
        size: Samples that are remembered.
        lends: Names of what is kept of a sample, float32: ``("mean", "std")``.
    """

    def __init__(self, size: int, lends: Sequence[str]) -> None:
        super().__init__()
        self.size, self.lends = size, tuple(lends)
        self._next = 0
        self._kept: dict[str, Tensor] = {}

    def decided(
        self, kind: type[MemoryParams], params: Params, sample: Sequence[int], target: Tensor, random: Stream
    ) -> MemoryParams:
        """Return a decision that takes from the memory, and from partners as ``params`` says where nothing is remembered.

        Args:
            kind: Of decision; its fields are what the memory lends.
            params: From ``make_params``, with two labels a row: its own and its partner's.
            sample: The shape of what is lent of one sample.
            target: This batch's labels.
            random: The stream that the decision was drawn from.

        Raises:
            FeatmixError: If samples or labels are of another shape or dtype than those remembered.
        """
        batch = len(target)
        recalled = self.recall(batch, random)
        slots = self.claim(sample, target)
        if recalled is None:
            found = torch.zeros_like(params.active)
            lent, labels = {name: torch.ones(batch, *sample, device=target.device) for name in self.lends}, target.clone()
        else:
            found, lent, labels = params.active.clone(), *recalled
        rows = torch.arange(batch)
        index = torch.stack([rows, torch.where(found, batch + rows, params.partner)], dim=1)
        mixture = made(index, params.mixture.weight, labels.cpu(), params.mixture.scale)
        own = {"slots": slots, "spare": self.size, "label": target}
        return kind.after(params, mixture=mixture, remembered=found, **own, **lent)

    def recall(self, count: int, random: Stream) -> tuple[dict[str, Tensor], Tensor] | None:
        """Return ``count`` draws, uniform, with replacement: what is lent of each, and the labels.

        ``None`` where nothing is remembered yet.
        """
        if not self._kept:
            return None
        written = self._kept["written"].cpu()[: self.size].nonzero().squeeze(1)
        if not len(written):
            return None
        rows = written[torch.from_numpy((uniform(random, count) * len(written)).astype(np.int64))].to(
            self._kept["label"].device
        )
        found = {name: values.index_select(0, rows) for name, values in self._kept.items()}
        return {name: found[name] for name in self.lends}, found["label"]

    def claim(self, sample: Sequence[int], label: Tensor) -> Tensor:
        """Return slots for one batch ``(B,)``, the oldest ones; the first rows of a batch larger than the memory get none.

        Args:
            sample: Shape of what is lent of one sample.
            label: ``(B, ...)`` the batch's labels.

        Raises:
            FeatmixError: If samples or labels are of another shape or dtype than those remembered.
        """
        like = {name: torch.empty(0, *sample, dtype=_KEPT_AS, device=label.device) for name in self.lends}
        like |= {"label": label[:0], "written": torch.empty(0, dtype=torch.bool, device=label.device)}
        if not self._kept:  # one slot more than asked for takes what is not to be kept
            self._kept = {name: t.new_zeros(self.size + 1, *t.shape[1:]) for name, t in like.items()}
        for name, t in like.items():
            self._check(name, t)
        batch = len(label)
        slots = (self._next + torch.arange(batch)) % self.size
        slots[: max(batch - self.size, 0)] = self.size
        self._next = (self._next + batch) % self.size
        return slots

    def keep(self, lent: Mapping[str, Tensor], params: MemoryParams) -> None:
        """Write what is lent of this batch, and its labels, into the slots of its decision.

        Raises:
            FeatmixError: If it is of another shape than what was decided for, or float32 cannot hold it.
        """
        for name, value in lent.items():
            if not value.is_floating_point() and value.dtype not in _EXACT:
                fix = "What is remembered is kept in float32, which does not hold all of them: convert x."
                raise FeatmixError("memory", name, expected="floats, bytes or 16 bits", got=str(value.dtype), fix=fix)
            self._check(name, value[:0].to(_KEPT_AS))
        values = {**lent, "label": params.label, "written": torch.ones_like(params.slots).bool()}
        for name, value in values.items():
            kept = self._kept[name]
            kept.index_copy_(0, params.slots.to(kept.device), value.detach().to(kept.device, kept.dtype))

    def _check(self, name: str, t: Tensor) -> None:
        kept = self._kept[name]
        if kept.shape[1:] != t.shape[1:] or kept.dtype != t.dtype:
            raise FeatmixError(
                "memory",
                name,
                expected=f"what is remembered, {kept.dtype} {tuple(kept.shape[1:])}",
                got=f"{t.dtype} {tuple(t.shape[1:])}",
                fix="One strategy remembers for one site and one kind of label: make another for another.",
            )

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
        position = state.get("next")
        placed = isinstance(position, Tensor) and position.dtype == torch.int64 and position.shape == ()
        if (tensors and set(tensors) != {*self.lends, "label", "written"}) or not placed:
            raise FeatmixError("memory", "state", expected=f"the state of a memory of {self.size}", got=sorted(state))
        for name, value in (*tensors.items(), ("next", position)):
            self._check_restored(name, value)
        if tensors:
            check_fit(self.lends, tensors)
        self._next = int(state["next"])
        self._kept = {name: value.detach().clone() for name, value in tensors.items()}

    def _check_restored(self, name: str, t: Any) -> None:
        """Refuse an entry that this memory cannot have held, or that is of another kind than what it holds."""
        if not isinstance(t, Tensor):
            raise FeatmixError("memory", name, expected="a tensor", got=type(t).__name__)
        check_held("memory", name, t)
        if name == "next":
            if not 0 <= int(t) < self.size:
                raise FeatmixError("memory", name, expected=f"a slot of the state of a memory of {self.size}", got=int(t))
            return
        dtype = torch.bool if name == "written" else t.dtype if name == "label" else _KEPT_AS
        if t.dtype != dtype or t.dtype.is_complex or not t.ndim or len(t) != self.size + 1:
            expected = f"the state of a memory of {self.size}: {dtype} of {self.size + 1} rows"
            raise FeatmixError("memory", name, expected=expected, got=f"{t.dtype} {tuple(t.shape)}")
        if name in self._kept:
            self._check(name, t)


def check_can_remember(who: str, shape: Sequence[int], target: Tensor | None) -> Tensor:
    """Return the labels of a batch that is to be remembered.

    Raises:
        FeatmixError: If they, or the shape of its features, are not known.
    """
    if target is None or len(shape) == 1:
        raise FeatmixError(
            who,
            "memory",
            expected="the labels and the shape of the features, which are remembered",
            got="no target" if target is None else "the batch size alone",
            fix="Pass target= when drawing." if target is None else "Pass attach(..., example=images).",
        )
    return target


def kept_unmixed(drawn: Mapping[str, Params], order: Sequence[str], labelled: Collection[str]) -> dict[str, Params]:
    """Return the decisions of one step, after which memories keep only samples that no earlier decision gave other labels.

    A memory keeps a sample's own label: features that an earlier strategy mixed with a partner's would not go with it.

    Args:
        drawn: By the key of the leaf.
        order: Of the keys, in the forward pass.
        labelled: Keys of decisions that mix labels this time.
    """
    kept = dict(drawn)
    if not any(isinstance(params, MemoryParams) for params in drawn.values()):
        return kept
    mixed: Tensor | None = None
    for key in order:
        params = kept[key]
        if mixed is not None and isinstance(params, MemoryParams):
            kept[key] = params.replaced(slots=torch.where(mixed, params.spare, params.slots))
        if key in labelled:
            mixed = params.active if mixed is None else mixed | params.active
    return kept
