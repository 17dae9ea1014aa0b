"""The decision of one step, as a training loop sees it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from featmix.labels.mixture import Mixture
from featmix.mixer.maps import mapped
from featmix.mixer.origin import check_output
from featmix.mixer.switch import Decision, Switch
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params


class Mix:
    """One step's decision: params by site, and what the labels become."""

    def __init__(
        self,
        params: dict[str, Params],
        mixture: Mixture,
        strategies: dict[str, Strategy],
        *,
        decision: Decision | None = None,
        switch: Switch | None = None,
    ) -> None:
        self._params, self._mixture, self._strategies = params, mixture, strategies
        self.decision, self._switch = decision, switch

    @property
    def params(self) -> dict[str, Params]:
        """The decision at each site; that of a second strategy at the same site has the key ``site#2``."""
        self._asked()
        return self._params

    @property
    def mixture(self) -> Mixture:
        """The labels of all sites composed, in the order of the forward pass."""
        self._asked()
        return self._mixture

    def loss(
        self, criterion: Callable[..., Tensor], output: Tensor, target: Tensor, *, label_map: bool | None = None
    ) -> Tensor:
        """See :meth:`Mixture.loss`; checks that the output came from a forward with this decision.

        A label map, ``(B, *positions)`` or ``(B, L, *positions)`` for an output with positions, is mixed as boxes or masks
        mixed the features (see :meth:`dense_targets`), and the criterion gets the mixed map, with its ignored positions. For
        strategies whose shares have no place, the losses of the maps are weighted, as those of any target.

        Args:
            criterion: See :meth:`Mixture.loss`.
            output: Model output, ``(B, ...)``.
            target: Targets or label maps, not mixed.
            label_map: Whether ``target`` is a map of the features' positions; ``None`` decides by shapes, and refuses targets
                that may be either.

        Raises:
            FeatmixError: If no training forward has taken the decision, or the output is another forward's, or a site did not
                run, or a label map cannot be mixed in the same way.
        """
        self._check("Mix.loss", output)
        acting = [
            (s, self.params[key]) for key, s in self._strategies.items() if s.tags.mixes_labels and self.params[key].acts()
        ]
        mixture, target = mapped(acting, output, target, label_map) or (self.mixture, target)
        return mixture.loss(criterion, output, target)

    def accuracy(self, output: Tensor, target: Tensor, *, top_k: int = 1, threshold: float | None = None) -> Tensor:
        """See :meth:`Mixture.accuracy`; checks the output as :meth:`loss` does."""
        self._check("Mix.accuracy", output)
        return self._mixture.accuracy(output, target, top_k=top_k, threshold=threshold)

    def dense(self, target: Tensor, num_classes: int | None = None) -> Tensor:
        """See :meth:`Mixture.dense`."""
        return self.mixture.dense(target, num_classes)

    def dense_targets(self, target_map: Tensor) -> Tensor:
        """Return label maps for this step, for segmentation: boxes and masks of all sites, in the order of the forward pass.

        Args:
            target_map: Class indices ``(B, *positions)``, or ``(B, K, *positions)``; see :meth:`Strategy.dense_targets`.

        Raises:
            FeatmixError: If a strategy mixes labels without saying where, the map does not fit, or the forward with this
                decision did not run all sites.
        """
        self._check_sites()
        for key, strategy in self._strategies.items():
            target_map = strategy.dense_targets(target_map, self.params[key])
        return target_map

    def _check(self, method: str, output: Tensor) -> None:
        if self.decision is not None and self._switch is not None:
            check_output(method, self._switch, self.decision, output)

    def _check_sites(self) -> None:
        """Check that a forward came past all sites, if one has begun and is over."""
        decision, switch = self.decision, self._switch
        if decision is not None and switch is not None and decision not in (switch.next, switch.current):
            switch.check_fired(decision)

    def _asked(self) -> None:
        if self.decision is not None:
            self.decision.record.asked = True
