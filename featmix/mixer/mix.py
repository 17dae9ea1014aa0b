"""The decision of one step, as a training loop sees it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from featmix.labels.mixture import Mixture
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params


class Mix:
    """One step's decision: params by site, and what the labels become.

    Attributes:
        params: The decision at each site; a second strategy at the same site stands under ``site#2``.
        mixture: The labels of all sites composed, in the order of the forward pass.
    """

    def __init__(
        self, params: dict[str, Params], mixture: Mixture, strategies: dict[str, Strategy], applied: Callable[[], None]
    ) -> None:
        self.params, self.mixture, self._strategies, self._applied = params, mixture, strategies, applied

    def loss(self, criterion: Callable[..., Tensor], output: Tensor, target: Tensor) -> Tensor:
        """See :meth:`Mixture.loss`; checks that the decision reached the model.

        Raises:
            FeatmixError: If no training forward has taken the decision, or a site did not fire.
        """
        self._applied()
        return self.mixture.loss(criterion, output, target)

    def accuracy(self, output: Tensor, target: Tensor, *, top_k: int = 1, threshold: float | None = None) -> Tensor:
        """See :meth:`Mixture.accuracy`."""
        return self.mixture.accuracy(output, target, top_k=top_k, threshold=threshold)

    def dense(self, target: Tensor, num_classes: int | None = None) -> Tensor:
        """See :meth:`Mixture.dense`."""
        return self.mixture.dense(target, num_classes)

    def dense_targets(self, target_map: Tensor) -> Tensor:
        """Return label maps for this step, for segmentation: boxes and masks of all sites, in the order of the forward pass.

        Args:
            target_map: Class indices ``(B, *positions)``, or ``(B, K, *positions)``; see :meth:`Strategy.dense_targets`.

        Raises:
            FeatmixError: If a strategy mixes labels without saying where, or the map does not fit.
        """
        for key, strategy in self._strategies.items():
            target_map = strategy.dense_targets(target_map, self.params[key])
        return target_map
