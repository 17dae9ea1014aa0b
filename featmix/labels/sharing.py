"""What the host knows of a mixture without asking the device: whether it moves labels, and whether rows share weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ALIKE = 1e-6  # shares that were computed by different roads in float32


@dataclass(frozen=True, eq=False)
class OnHost:
    """The tensors of a mixture as arrays; what lies on an accelerator keeps those that it was sent from.

    Args:
        index: ``(B, K)`` rows.
        weight: ``(B, K)`` shares.
        scale: ``(B,)`` what rows count in the loss; ``None`` is 1.
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float32]
    scale: NDArray[np.float32] | None

    def own(self) -> NDArray[np.bool_]:
        """Return which entries are the row itself, ``(B, K)``."""
        own: NDArray[np.bool_] = self.index == np.arange(len(self.index))[:, None]
        return own


def is_identity(mixture: OnHost) -> bool:
    """Return True if every row keeps its label, and counts once.

    Example:
        >>> rows, partners = np.arange(2), np.array([1, 0])
        >>> is_identity(OnHost(np.stack([rows, partners], 1), np.array([[1, 0], [1, 0]], dtype=np.float32), None))
        True
    """
    stays = bool((mixture.own() | (mixture.weight == 0)).all())
    return stays and (mixture.scale is None or bool((mixture.scale == 1).all()))


def shared_weights(mixture: OnHost) -> list[float] | None:
    """Return the weights of the columns where all rows share them, else ``None``.

    A row that takes from nobody else shares any weights: its columns are all of itself.

    Example:
        >>> index, weight = np.array([[0, 1], [1, 0], [2, 2]]), np.array([[0.75, 0.25], [0.75, 0.25], [1, 0]], dtype=np.float32)
        >>> shared_weights(OnHost(index, weight, None))
        [0.75, 0.25]
    """
    mixed = mixture.weight[~mixture.own().all(1)]
    if not len(mixed):
        mixed = mixture.weight[:1]
    return None if (np.ptp(mixed, axis=0) > _ALIKE).any() else [float(share) for share in mixed[0]]


def shared_scale(mixture: OnHost) -> float | None:
    """Return how often each row counts in the loss where all count alike, else ``None``."""
    if mixture.scale is None:
        return 1.0
    return float(mixture.scale[0]) if (mixture.scale == mixture.scale[0]).all() else None
