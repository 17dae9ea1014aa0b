"""The position of a pipeline's data set in training, from which a resumed run continues."""

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
    """The position of one data set and its loader.

    Args:
        taken: Number of items read without a loader of the pipeline, in the main process.
        epoch: Number of the current or next epoch.
        position: Number of batches of it that the loader has returned.
        drawn: Seed of the epoch from torch's default generator, if the pipeline has no seed.
        order: A checksum of the indices of these batches; ``None`` for those of another rank.
        generators: States of the user's generators at the beginning of the epoch.
    """

    taken: int = 0
    epoch: int = 0
    position: int = 0
    drawn: int | None = None
    order: int | None = 0
    generators: tuple[Tensor, ...] = ()

    @property
    def begun(self) -> bool:
        """Whether the epoch has begun."""
        return self.position > 0 or self.drawn is not None or bool(self.generators)

    def as_state(self) -> dict[str, Any]:
        """Return the position as plain numbers and tensors."""
        return {**{field.name: getattr(self, field.name) for field in fields(self)}, "generators": list(self.generators)}

    @classmethod
    def of(cls, state: Any, name: str) -> Position:
        """Check a state of :meth:`as_state` and read it.

        Args:
            state: The state, which may come from a file.
            name: Name of the entry, for messages.

        Raises:
            FeatmixError: If it is not such a state.
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
    """Return the entries of a state, after a check that it has exactly these names.

    Args:
        state: The state, which may come from a file.
        names: Names of the entries.
        name: Name of the state, for messages.

    Raises:
        FeatmixError: If it has other entries, or is no mapping.
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
