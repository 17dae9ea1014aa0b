"""Inputs that every drawn law is tried on first: chosen by hand, so that a few examples find what many drawn ones would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from featmix.layouts import layout as layout_named
from featmix.testing.inputs import rows


@dataclass(frozen=True)
class Corner:
    """One input to choose by hand.

    Args:
        modes: Of its rows; see ``ROW_MODES``.
        channels: Groups of channels.
        sizes: Of the position axes, the last ones of these where there are fewer axes.
        magnitude: Of constants, spikes and offsets.
        seed: Of the noise and of the decision.
    """

    modes: Sequence[str]
    channels: int
    sizes: tuple[int, int, int]
    magnitude: float
    seed: int

    def made(
        self,
        layout: str,
        channel_multiple: int,
        dtype: torch.dtype,
        channels: int | None = None,
        shapes: Sequence[Sequence[int]] = (),
        prefix: int = 0,
    ) -> Tensor:
        """The input in a layout; with one number of channels, or of one of these shapes, where others are not taken."""
        if shapes:
            shape = list(shapes[self.seed % len(shapes)])
            return rows(self.modes, shape, seed=self.seed, magnitude=self.magnitude, dtype=dtype)
        lay = layout_named(layout)
        shape = list(self.sizes[-(lay.ndim - 2) :] if lay.ndim > 2 else ())
        if prefix:
            shape[0] += prefix
        shape.insert(lay.channel - 1, channels or channel_multiple * self.channels)
        return rows(self.modes, shape, seed=self.seed, magnitude=self.magnitude, dtype=dtype)


CORNERS = (
    Corner(["normal"] * 3, 2, (2, 3, 4), 1.0, 0),  # a cycle of three; no two axes alike
    Corner(["normal", "constant", "relu_ties", "spike", "tiny", "big"], 3, (2, 5, 4), 3.0, 1),  # one row of each mode
    Corner(["offset"] * 4, 2, (2, 4, 3), 3e3, 2),  # far from zero
    Corner(["normal"] * 2, 1, (1, 1, 1), 1.0, 3),  # groups of one element
    Corner(["normal", "offset", "big"], 4, (1, 9, 8), -1e3, 4),  # many positions
    Corner(["normal"], 2, (2, 2, 3), 1.0, 5),  # a single row
    Corner(["spike", "constant", "normal", "relu_ties", "offset"], 1, (3, 3, 6), -30.0, 6),  # one channel
    Corner(["tiny", "normal", "big", "constant"], 4, (1, 1, 1), 100.0, 7),  # one position
    Corner(["relu_ties"] * 3, 2, (2, 6, 5), 1.0, 8),  # ties in every row
    Corner(["big", "tiny", "spike"], 1, (2, 2, 7), 1e3, 9),  # scales far apart
    Corner([*["normal"] * 8, "offset"], 16, (2, 16, 17), 10.0, 10),  # many rows, channels and positions
    Corner(["offset", "normal", "constant", "offset"], 2, (2, 9, 9), 300.0, 11),
)
