"""The decision of one step, as a training loop sees it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from featmix.labels.mixture import Mixture
from featmix.mixer.maps import mapped
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params


class Mix:
    """One step's decision: params by site, and what the labels become.

    Attributes:
        params: The decision at each site; a second strategy at the same site stands under ``site#2``.
        mixture: The labels of all sites composed, in the order of the forward pass.
    """

    def __init__(
        self, params: dict[str, Params], mixture: Mixture, strategies: dict[str, Strategy], applied: Callable[[bool], None]
    ) -> None:
        self.params, self.mixture, self._strategies, self._applied = params, mixture, strategies, applied

    def loss(
        self, criterion: Callable[..., Tensor], output: Tensor, target: Tensor, *, label_map: bool | None = None
    ) -> Tensor:
        """See :meth:`Mixture.loss`; checks that the decision reached the model.

        A label map, ``(B, *positions)`` or ``(B, L, *positions)`` for an output with positions, goes the way of the features
        where boxes or masks mixed them, as :meth:`dense_targets` says, and the criterion gets the map that comes out, with
        what is ignored. Strategies whose shares have no place, after them or alone, weigh it as any target.

        Args:
            criterion: See :meth:`Mixture.loss`.
            output: Model output, ``(B, ...)``.
            target: Targets or label maps, not mixed.
            label_map: Whether ``target`` is a map of the features' positions; ``None`` goes by shapes, and refuses what could
                be either.

        Raises:
            FeatmixError: If no training forward has taken the decision, a site did not fire, or a label map cannot follow.
        """
        self._applied(True)
        acting = [
            (s, self.params[key]) for key, s in self._strategies.items() if s.tags.mixes_labels and self.params[key].acts()
        ]
        mixture, target = mapped(acting, output, target, label_map) or (self.mixture, target)
        return mixture.loss(criterion, output, target)

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
            FeatmixError: If a strategy mixes labels without saying where, the map does not fit, or a forward that has taken
                the decision did not come past all sites.
        """
        self._applied(False)
        for key, strategy in self._strategies.items():
            target_map = strategy.dense_targets(target_map, self.params[key])
        return target_map
