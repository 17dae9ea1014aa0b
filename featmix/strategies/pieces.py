"""What the rows of a mixed batch are put together of: what boxes and masks of instances go by."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Piece:
    """One of the samples that each row is put together of: which, where it is seen, and where its positions have gone.

    What was at ``place`` along an axis, counted from the edge of the map, is at ``scale * place + shift``.

    Args:
        rows: ``(B,)`` int64, which sample it is.
        seen: ``(B, *positions)`` bool, where it is seen; ``None`` for everywhere.
        weight: ``(B,)`` its share where it is seen; ``None`` for 1.
        scale: ``(B, d)`` for each of ``d`` position axes; ``None`` for 1.
        shift: ``(B, d)``; ``None`` for 0.
    """

    rows: Tensor
    seen: Tensor | None = None
    weight: Tensor | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None
