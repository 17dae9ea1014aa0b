"""Masks: which positions of a batch are real, and which lie in a box."""

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


def inside(box: Tensor, sizes: Sequence[int]) -> Tensor:
    """The positions in a box, ``(B, *sizes)`` bool.

    Args:
        box: ``(B, d, 2)`` int64, first position inside and first past the box, for each of ``d`` position axes.
        sizes: The sizes of these axes.

    Example:
        >>> inside(torch.tensor([[[1, 3]]]), [4])
        tensor([[False,  True,  True, False]])
    """
    within = torch.ones((len(box), *[1] * len(sizes)), dtype=torch.bool, device=box.device)
    for k, size in enumerate(sizes):
        place = torch.arange(size, device=box.device)
        along = (place >= box[:, k, :1]) & (place < box[:, k, 1:])
        within = within & along.view(len(box), *(size if axis == k else 1 for axis in range(len(sizes))))
    return within
