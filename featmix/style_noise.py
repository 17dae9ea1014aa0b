"""What the strategies share that move style by noise: how much is drawn from how far the moments of the batch lie apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from featmix.moment_strategy import MomentStrategy
from featmix.moments import Moments
from featmix.params import Params


class StyleNoise(MomentStrategy):
    """A moment strategy whose new moments are its own and noise, in units of the batch.

    No partner takes part. A batch of one has no spread, and passes through; so does a sample with less than two real
    positions, which does not count in the spread of the others either.
    """

    @property
    def needs_shape(self) -> bool:
        """Noise is drawn for each moment, so that their number has to be known."""
        return True

    @property
    def takes_masks(self) -> bool:
        """Where moments are taken over positions; elsewhere padding would be part of the batch's spread."""
        return super().takes_masks and self.normalizer.over_positions

    def own_rows(self, shape: Sequence[int], active: Tensor) -> tuple[Tensor, Tensor]:
        """Partners, each row its own, and which rows are active: none where there is no spread."""
        alone = shape[0] < 2 or self.passes_through(shape)
        return torch.arange(shape[0], device=active.device), torch.zeros_like(active) if alone else active

    def counted(self, own: Moments, params: Params) -> Tensor:
        """Rows whose moments are moments of something, bool, ``(B, 1, ...)``."""
        rows = (len(own.mean), *[1] * (own.mean.ndim - 1))
        if params.mask is None:
            return torch.ones(rows, dtype=torch.bool, device=own.mean.device)
        return (params.mask.flatten(1).sum(1) > 1).view(rows)


def centred(values: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """``(values - mean over the batch, how many rows count)``: the first ``(B, ...)``, 0 where a row does not count.

    Example:
        >>> centred(torch.tensor([[1.0], [3.0], [9.0]]), torch.tensor([[True], [True], [False]]))[0].tolist()
        [[-1.0], [1.0], [0.0]]
    """
    n = counted.sum(0, keepdim=True)
    mean = torch.where(counted, values, 0).sum(0, keepdim=True) / n.clamp(min=1)
    return torch.where(counted, values - mean, 0), n
