"""The decision of one step, as a training loop sees it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.labels.diagnosis import check_criterion
from featmix.labels.mixture import Mixture
from featmix.mixer.by_site import BySite
from featmix.mixer.maps import mapped
from featmix.mixer.origin import check_output
from featmix.mixer.printed import mix_in_words
from featmix.mixer.switch import Decision, Switch
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params
from featmix.support.arguments import helpful

REDUCTION = "It is the criterion's: mix.loss(nn.CrossEntropyLoss(reduction='sum'), output, target)."


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
        self._params, self._mixture, self._strategies = BySite(params), mixture, strategies
        self.decision, self._switch = decision, switch
        self._targets: Any = None
        self._mixed_targets: list[weakref.ref[Tensor]] = []  # what dense and dense_targets gave

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

    @property
    def targets(self) -> Any:
        """Targets of detection for the mixed images, in the form that ``draw`` was given, for the detector.

        Boxes of all samples that are seen in an image, cut to what is seen of them, with all that belongs to each box, and
        with ``weights``: the share of a box's sample where images blend, else 1.

        Raises:
            FeatmixError: If ``draw`` was given none.
        """
        if self._targets is None:
            fix = "mixer.draw(images, target=targets) of a pipeline's mixer, with a dictionary for each image."
            raise FeatmixError(
                "Mix.targets", expected="a decision that was drawn with targets of detection", got="none", fix=fix
            )
        self._asked()
        return self._targets

    def carry(self, targets: Any) -> None:
        """Take over what :attr:`targets` is to give."""
        self._targets = targets

    @property
    def own_weight(self) -> Tensor:
        """The effective λ: the weight of each sample's own label after all sites, ``(B,)``; 1 where nothing was mixed.

        To look at: ``log("lambda", mix.own_weight.mean())``. It does not stand for asking what labels became.

        Example:
            >>> import featmix as fm
            >>> import torch
            >>> from torch import nn
            >>> with fm.attach(nn.Linear(4, 3), {"input": fm.MoEx(lam=0.75)}) as mixer:
            ...     mixer.draw(torch.rand(2, 4)).own_weight
            tensor([0.7500, 0.7500])
        """
        return self._mixture.own_weight

    @helpful("Mix.loss", {"reduction": REDUCTION}, write="mix.loss(criterion, output, target)")
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
        check_criterion(criterion)
        self._check("Mix.loss", output)
        if self._targets is not None and not isinstance(target, Tensor):
            fix = "The detector has its own loss: detector(images, mix.targets)."
            raise FeatmixError("Mix.loss", "target", expected="labels of whole images", got="targets of detection", fix=fix)
        if any(one() is target for one in self._mixed_targets):
            raise FeatmixError(
                "Mix.loss",
                "target",
                expected="targets that are not mixed, as the loader gave them",
                got="what dense or dense_targets of this mix returned: they would be mixed twice",
                fix="Write criterion(output, mixed), or mix.loss(criterion, output, labels).",
            )
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
        return self._noted(self.mixture.dense(target, num_classes), target)

    def dense_targets(self, target_map: Tensor) -> Tensor:
        """Return label maps for this step, for segmentation: boxes and masks of all sites, in the order of the forward pass.

        Args:
            target_map: Class indices ``(B, *positions)``, or ``(B, K, *positions)``; see :meth:`Strategy.dense_targets`.

        Raises:
            FeatmixError: If a strategy mixes labels without saying where, the map does not fit, or the forward with this
                decision did not run all sites.
        """
        self._check_sites()
        mixed = target_map
        for key, strategy in self._strategies.items():
            mixed = strategy.dense_targets(mixed, self.params[key])
        return self._noted(mixed, target_map)

    def __repr__(self) -> str:
        with suppress(Exception):  # of one that is half made, or whose tensors cannot be read
            return mix_in_words(self._params, self._mixture, self._strategies, drawn=self.decision is not None)
        return object.__repr__(self)

    def _missing(self, name: str) -> Any:
        """Say where to find what a decision is made of: it is one for each site."""
        hint = "mix.own_weight is the weight of the own label after all sites. " if name in ("lam", "lam_", "lambda_") else ""
        if name in ("active", "lam", "lambda_", "partner"):
            hint += f"Decisions are by site: mix.params['layer1'].{name.rstrip('_')}."
        raise AttributeError(f"'Mix' object has no attribute {name!r}" + (f". {hint}" if hint else ""), name=name, obj=self)

    if not TYPE_CHECKING:  # checkers would take any name for one that is there
        __getattr__ = _missing

    def _noted(self, mixed: Tensor, target: Tensor) -> Tensor:
        """Return mixed targets, and remember them, weakly: a loss would mix them again."""
        if mixed is not target and self.decision is not None and not torch.compiler.is_compiling():
            self._mixed_targets.append(weakref.ref(mixed))
        return mixed

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
