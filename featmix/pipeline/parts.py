"""The samples that each image of a mixed batch consists of, and the visible part of their boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from featmix.strategies.pieces import Piece

_NO_LENGTH = 1e-6  # of a pixel: rounding


@dataclass(frozen=True, eq=False)
class Part:
    """The part of one sample in an image: its coordinate ``place`` along an axis moves to ``scale * place + shift``.

    Args:
        source: Row of the sample.
        seen: ``(H, W)`` bool, where the sample is visible; ``None`` for everywhere.
        weight: Weight of the sample where it is visible.
        scale: Scale along height and width.
        shift: Shift along height and width.
    """

    source: int
    seen: Tensor | None = None
    weight: float = 1.0
    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def stands(self) -> bool:
        """Whether the sample is neither moved nor scaled."""
        return self.scale == (1.0, 1.0) and self.shift == (0.0, 0.0)

    @property
    def whole(self) -> bool:
        """Whether the sample is unchanged: not moved, fully visible and with weight 1."""
        return self.stands and self.seen is None and self.weight == 1.0

    def boxes(self, table: Tensor) -> Tensor:
        """Return boxes ``(N, 4)`` as corners at their new place."""
        (tall, wide), (down, right) = self.scale, self.shift
        return table * table.new_tensor([wide, tall, wide, tall]) + table.new_tensor([right, down, right, down])

    def maps(self, maps: Tensor) -> Tensor:
        """Return maps ``(N, H, W)`` at their new place, 0 where the sample is not visible."""
        moved = maps if self.stands else _moved(maps, self.scale, self.shift)
        return moved if self.seen is None else torch.where(self.seen.to(moved.device), moved, torch.zeros_like(moved))


def parts_after(rows: int, steps: Iterable[tuple[Sequence[Piece], Tensor | None]]) -> list[list[Part]]:
    """Return the parts of each image after all decisions at one place.

    Args:
        rows: Number of images in the batch.
        steps: For each decision, in order: its pieces, and the factor of the loss of each row.
    """
    found = [[Part(row)] for row in range(rows)]
    for pieces, scale in steps:
        each = [_Rows.of(piece, rows) for piece in pieces]
        loss = [1.0] * rows if scale is None else scale.tolist()
        found = [
            [new for piece in each for part in found[piece.rows[row]] if (new := piece.of_part(part, row, loss[row]))]
            for row in range(rows)
        ]
    return found


def seen_of(boxes: Tensor, seen: Tensor | None, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Cut boxes to their visible part, and measure its area.

    Args:
        boxes: ``(N, 4)`` as corners, float64.
        seen: ``(H, W)`` bool; ``None`` for everywhere.
        size: Height and width of the image.

    Returns:
        The smallest boxes around the visible parts, ``(N, 4)``, undefined where nothing is visible; and the areas ``(N,)``,
        exact also for boxes that begin and end within pixels.

    Example:
        >>> seen = torch.tensor([[True, True, False, False]] * 2)
        >>> cut, area = seen_of(torch.tensor([[0.5, -1.0, 3.0, 1.0]]).double(), seen, (2, 4))
        >>> cut.tolist(), area.tolist()
        ([[0.5, 0.0, 2.0, 1.0]], [1.5])
    """
    high, wide = size
    limits = boxes.new_tensor([wide, high, wide, high])
    left, top, right, bottom = torch.minimum(boxes.clamp(min=0), limits).unbind(1)
    if seen is None:
        return torch.stack([left, top, right, bottom], 1), (right - left).clamp(min=0) * (bottom - top).clamp(min=0)
    rows, columns = _borders(seen), _borders(seen.T)
    cells = seen[rows[:-1]][:, columns[:-1]].double()  # whole blocks are seen or not: of a rectangle there are at most nine
    down, across = _overlaps(top, bottom, rows), _overlaps(left, right, columns)
    tall, long = down @ cells, across @ cells.T  # what is seen in each column of blocks, and in each row
    (first, last), (upper, lower) = _ends(tall, across, columns), _ends(long, down, rows)
    cut = [torch.maximum(left, first), torch.maximum(top, upper), torch.minimum(right, last), torch.minimum(bottom, lower)]
    return torch.stack(cut, 1), (tall * across).sum(1)


@dataclass(frozen=True, eq=False)
class _Rows:
    """A piece with its numbers in Python."""

    rows: list[int]
    seen: Tensor | None
    some: list[bool]
    weight: list[float]
    scale: list[tuple[float, float]]
    shift: list[tuple[float, float]]

    @classmethod
    def of(cls, piece: Piece, rows: int) -> _Rows:
        seen = piece.seen
        some = [True] * rows if seen is None else seen.flatten(1).any(1).tolist()
        weight = [1.0] * rows if piece.weight is None else piece.weight.tolist()
        scale = [(1.0, 1.0)] * rows if piece.scale is None else [(h, w) for h, w in piece.scale.tolist()]
        shift = [(0.0, 0.0)] * rows if piece.shift is None else [(float(h), float(w)) for h, w in piece.shift.tolist()]
        return cls(piece.rows.tolist(), seen, some, weight, scale, shift)

    def of_part(self, part: Part, row: int, loss: float) -> Part | None:
        """Return what remains of a part of the row that this piece takes from; ``None`` if nothing does."""
        weight = part.weight * self.weight[row]
        if not self.some[row] or weight <= 0:
            return None
        scale, shift, seen = self.scale[row], self.shift[row], part.seen
        if seen is not None and (scale, shift) != ((1.0, 1.0), (0.0, 0.0)):
            seen = _moved(seen[None], scale, shift)[0]
        if self.seen is not None and not bool(self.seen[row].all()):
            seen = self.seen[row] if seen is None else seen & self.seen[row]
        if seen is not None and not bool(seen.any()):
            return None
        (tall, wide), (down, right) = scale, shift
        return Part(
            part.source,
            seen,
            weight * loss,
            (part.scale[0] * tall, part.scale[1] * wide),
            (part.shift[0] * tall + down, part.shift[1] * wide + right),
        )


def _moved(maps: Tensor, scale: tuple[float, float], shift: tuple[float, float]) -> Tensor:
    """Move maps ``(N, H, W)`` with nearest-neighbor interpolation; 0 outside."""
    for axis, (factor, offset) in enumerate(zip(scale, shift, strict=True), start=1):
        size = maps.shape[axis]
        source = ((torch.arange(size).double() - offset) / factor + _NO_LENGTH).floor().long()
        held = ((source >= 0) & (source < size)).view(-1, *[1] * (2 - axis)).to(maps.device)
        taken = maps.index_select(axis, source.clamp(0, max(size - 1, 0)).to(maps.device))
        maps = torch.where(held, taken, torch.zeros_like(taken))
    return maps


def _borders(seen: Tensor) -> Tensor:
    """Return the indices of lines of a map that differ from the one before, and both ends: ``[0, ..., lines]``."""
    change = (seen[1:] != seen[:-1]).any(1).nonzero().flatten() + 1
    return torch.cat([change.new_zeros(1), change, change.new_full((1,), len(seen))])


def _overlaps(first: Tensor, past: Tensor, borders: Tensor) -> Tensor:
    """Return the length of each block between ``first`` and ``past``: ``(N, blocks)``."""
    return (torch.minimum(past[:, None], borders[1:]) - torch.maximum(first[:, None], borders[:-1])).clamp(min=0)


def _ends(lengths: Tensor, overlaps: Tensor, borders: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the last border of the blocks that are partly visible."""
    held = ((lengths > _NO_LENGTH) & (overlaps > _NO_LENGTH)).int()
    low, high = held.argmax(1), len(borders) - 1 - held.flip(1).argmax(1)
    return borders[low].double(), borders[high].double()
