"""Where a data set of a pipeline is in training: what a resumed run goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Generator, Tensor

from featmix.checks import whole
from featmix.errors import FeatmixError

_WHO = "Pipeline.load_state_dict"


@dataclass(frozen=True)
class Position:
    """Where one data set, and the loader over it, is.

    Args:
        taken: Items that were asked for without a loader of the pipeline, in the main process.
        epoch: The epoch that is going on, or comes next.
        position: Batches of it that the loader has given.
        drawn: The number that the epoch was given by torch's default generator, where the pipeline has no seed.
        order: A checksum of the indices of these batches; ``None`` for those of another rank.
        generators: States, at the epoch's beginning, of generators that the user gave.
    """

    taken: int = 0
    epoch: int = 0
    position: int = 0
    drawn: int | None = None
    order: int | None = 0
    generators: tuple[Tensor, ...] = ()

    @property
    def begun(self) -> bool:
        """Whether the epoch is going on."""
        return self.position > 0 or self.drawn is not None or bool(self.generators)

    def as_state(self) -> dict[str, Any]:
        """Plain numbers and tensors."""
        return {**{field.name: getattr(self, field.name) for field in fields(self)}, "generators": list(self.generators)}

    @classmethod
    def of(cls, state: Any, name: str) -> Position:
        """What :meth:`as_state` gave, checked.

        Args:
            state: From a file, perhaps.
            name: Of the entry.

        Raises:
            FeatmixError: If it is no such state.
        """
        entries = fields_of(state, {field.name for field in fields(cls)}, name)
        numbers = {key: whole(_WHO, f"{name}.{key}", entries[key]) for key in ("taken", "epoch", "position", "order")}
        drawn = entries["drawn"]
        if drawn is not None:
            drawn = whole(_WHO, f"{name}.drawn", drawn)
        states = entries["generators"]
        if not isinstance(states, list | tuple):
            raise FeatmixError(_WHO, f"{name}.generators", expected="a list of states", got=type(states).__name__)
        return cls(**numbers, drawn=drawn, generators=tuple(_checked(bits, name) for bits in states))


def fields_of(state: Any, names: set[str], name: str) -> dict[str, Any]:
    """The entries of a state, which has exactly these.

    Args:
        state: From a file, perhaps.
        names: Which they are.
        name: Of the state, for messages.

    Raises:
        FeatmixError: If it has others, or is no mapping.
    """
    if not isinstance(state, Mapping) or set(state) != names:
        got = ", ".join(sorted(map(str, state))) if isinstance(state, Mapping) else type(state).__name__
        raise FeatmixError(_WHO, name, expected=", ".join(sorted(names)), got=got)
    return dict(state)


def _checked(bits: Any, name: str) -> Tensor:
    try:
        Generator().set_state(bits.cpu())
    except (AttributeError, RuntimeError, TypeError) as error:
        got = f"{type(bits).__name__}: {error}"
        raise FeatmixError(_WHO, f"{name}.generators", expected="a generator's state", got=got) from error
    copied: Tensor = bits.cpu().clone()
    return copied.to(torch.uint8)
