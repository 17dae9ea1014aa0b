"""Base of the strategies that move style by noise, as much as the moments of the batch lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import TypeVar

from featmix.across.wires import Gathering
from featmix.errors import FeatmixError
from featmix.normalizers.moments import Moments
from featmix.strategies.across import arrived
from featmix.strategies.moments import MomentStrategy
from featmix.strategies.params import Params


@dataclass(frozen=True, eq=False)
class NoiseParams(Params):
    """A decision to move style by noise.

    Args:
        partner: Each row itself.
        active: See :class:`~featmix.strategies.params.Params`.
        lam: See :class:`~featmix.strategies.params.Params`.
        mixture: The identity.
        mean_noise: ``(B, ...)`` float32, for the means.
        std_noise: ``(B, ...)`` float32, for the standard deviations.
        elements: ``(B,)`` int64, how many elements of one mean lie at one position.
    """

    mean_noise: Tensor
    std_noise: Tensor
    elements: Tensor


N = TypeVar("N", bound=NoiseParams, default=Any)


class StyleNoise(MomentStrategy[N]):
    """A moment strategy whose new moments are its own and noise, in units of the batch.

    No partner takes part. A batch of one has no spread, and passes through, and so does the only row of a batch that is not
    all padding. A row without moments of its own (one real element) passes through too, and does not count in the spread of
    the others; nor does one whose moments are not finite, so that one NaN does not spoil the batch.
    """

    @property
    def needs_shape(self) -> bool:
        """Noise is drawn for each moment, so that their number has to be known."""
        return True

    @property
    def takes_masks(self) -> bool:
        """Where moments are taken over positions; elsewhere padding would be part of the batch's spread."""
        return super().takes_masks and self.normalizer.over_positions

    def can_mix(self, mask: Tensor, partner: Tensor, shape: Sequence[int]) -> Tensor:
        """Return rows that have moments apart from their content, where there are two such rows at least."""
        enough = super().can_mix(mask, partner, shape)
        return enough & (enough.sum() > 1)

    def passes_through(self, shape: Sequence[int]) -> bool:
        """Return True where there is no spread over the batch, or no moments apart from the content."""
        return shape[0] < 2 or super().passes_through(shape)

    def elements_of(self, shape: Sequence[int]) -> NDArray[np.int64]:
        """Return ``elements_a_position`` for each row, as it stands in decisions."""
        return np.full(shape[0], self.elements_a_position(shape), dtype=np.int64)

    def check_noise(self, params: NoiseParams, shape: Sequence[int]) -> None:
        """Check that noise is of this shape: less noise would broadcast, and be shared unseen.

        Raises:
            FeatmixError: If it was drawn for other features.
        """
        if params.mean_noise.shape != tuple(shape):
            raise FeatmixError(
                self._who,
                "params",
                expected=f"noise of shape {tuple(shape)}",
                got=f"noise of shape {tuple(params.mean_noise.shape)}",
                fix="Draw with the shape of the tensor that is mixed.",
            )

    def _new_across(self, own: Moments, away: Gathering, params: N) -> Moments:
        """Return the new moments: those of all ranks' rows stand in for the partner's."""
        return self.new_moments(own, arrived(away), params)

    def counted_of_all(self, moments: Moments, present: Tensor, params: NoiseParams) -> Tensor:
        """Return which rows of all ranks have moments, finite ones, as :meth:`counted` does.

        Args:
            moments: Of the rows that all ranks send.
            present: Which of these there are.
            params: The decision.
        """
        return self.counted(moments, params) & present.flatten().view(-1, *[1] * (moments.mean.ndim - 1))

    def counted(self, own: Moments, params: NoiseParams) -> Tensor:
        """Return which rows have moments, finite ones: ``(B, 1, ...)`` bool, of as many axes as the moments."""
        nothing = own.mean.detach() * 0 + own.std.detach() * 0  # NaN where one of them is not finite
        rows = nothing.flatten(1).sum(1) == 0
        if params.mask is not None:
            rows = rows & (params.mask.flatten(1).sum(1) * params.elements > 1)
        return rows.view(len(rows), *[1] * (own.mean.ndim - 1))


def side_by_side(means: Tensor, stds: Tensor) -> Tensor:
    """Return both in one tensor ``(B, 2, ...)``, so that what is done to both is done once."""
    return torch.stack([means, stds], dim=1)


def centred(values: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``(values - mean over the batch, how many rows count)``: the first ``(B, ...)``, 0 where a row does not count.

    Example:
        >>> centred(torch.tensor([[1.0], [3.0], [9.0]]), torch.tensor([[True], [True], [False]]))[0].tolist()
        [[-1.0], [1.0], [0.0]]
    """
    n = counted.sum(0, keepdim=True)
    mean = torch.where(counted, values, 0).sum(0, keepdim=True) / n.clamp(min=1)
    return torch.where(counted, values - mean, 0), n
