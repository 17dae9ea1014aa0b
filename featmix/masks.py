"""Padding: which positions of a batch are real."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.layouts import Layout

_WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def checked_mask(mask: Tensor, lay: Layout, shape: Sequence[int], subject: str) -> Tensor:
    """A mask as bool, if it fits features of this shape.

    Args:
        mask: ``(B, *positions)``, True or 1 where a position is real, as attention masks have it.
        lay: The layout of the features.
        shape: Their shape; of ``(B,)`` only the batch is compared.
        subject: Who asks, for messages.

    Raises:
        FeatmixError: If it is no mask, or does not fit.

    Example:
        >>> from featmix.layouts import layout
        >>> checked_mask(torch.tensor([[1, 1, 0]]), layout("bnc"), (1, 3, 8), "MoEx")
        tensor([[ True,  True, False]])
    """
    if not isinstance(mask, Tensor) or mask.dtype not in _WHOLE:
        got = str(mask.dtype) if isinstance(mask, Tensor) else type(mask).__name__
        raise FeatmixError(subject, "mask", expected="a bool tensor, True where a position is real", got=got)
    if not lay.positions:
        raise FeatmixError(
            subject,
            "mask",
            expected="features with positions",
            got=f"layout {lay.name!r}, which has none",
            fix="Leave the mask out, or name the layout that the features have.",
        )
    whole = (shape[0], *lay.spatial_shape(shape))
    if tuple(mask.shape) != whole:
        raise FeatmixError(
            subject,
            "mask",
            expected=f"shape {whole}: the batch and the positions",
            got=tuple(mask.shape),
            fix="A mask speaks of the positions of the tensor that is mixed.",
        )
    return mask.bool()
