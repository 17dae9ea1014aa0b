"""A strategy as a module of kornia's. Made by :func:`featmix.interop.kornia.to_kornia`; importing this imports kornia."""

from __future__ import annotations

from typing import Any

import torch
from kornia.augmentation import MixAugmentationBaseV2
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params
from featmix.support.calling import acts

_DECISION = "decision"


class KorniaModule(MixAugmentationBaseV2):
    """The module that :func:`~featmix.interop.kornia.to_kornia` makes; see there.

    Args:
        strategy: What mixes.
        num_classes: For class indices; by default the strategy's own.
    """

    def __init__(self, strategy: Strategy, *, num_classes: int | None = None) -> None:
        super().__init__(p=1.0, p_batch=1.0)
        self.strategy = strategy
        self.num_classes = strategy.num_classes if num_classes is None else num_classes

    @property
    def decision(self) -> Params:
        """The decision of the last call.

        Raises:
            FeatmixError: If there was none.
        """
        found = self._params.get(_DECISION)
        if not isinstance(found, Params):
            raise FeatmixError(
                "KorniaModule", "decision", expected="a call before", got="none yet", fix="Pass images through it first."
            )
        return found

    def labels(self, target: Tensor) -> Tensor:
        """Soft targets for the images of the last call; see :meth:`featmix.Mixture.dense`."""
        return self.decision.mixture.to(target.device).dense(target, self.num_classes)

    def forward_parameters(self, batch_shape: Any) -> dict[str, Any]:
        """Decide, from torch's default generator; in eval mode nothing is mixed."""
        shape = tuple(batch_shape)
        params = self.strategy.training_params(shape) if acts(self) else self.strategy.make_params(shape).idle()
        return {
            _DECISION: params,
            "batch_prob": params.active.to(torch.get_default_dtype()),
            "forward_input_shape": torch.tensor(shape, dtype=torch.long),
        }

    def transform_input(self, input: Tensor, params: dict[str, Any], flags: dict[str, Any]) -> Tensor:
        """Mix the images."""
        self._params = params  # of a replay too, so that labels() speaks of it
        images, decision = self.transform_tensor(input), self._decided(params)
        if acts(self):
            self.strategy.remember(images, decision)
        mixed = self.strategy.transform(images, decision)
        return mixed.reshape(input.shape) if self.keepdim else mixed

    def transform_mask(self, input: Tensor, params: dict[str, Any], flags: dict[str, Any]) -> Tensor:
        """Take masks along."""
        return self.strategy.dense_targets(input, self._decided(params))

    def transform_class(self, input: Tensor, params: dict[str, Any], flags: dict[str, Any]) -> Tensor:
        """Mix the labels."""
        return self._decided(params).mixture.to(input.device).dense(input, self.num_classes)

    def apply_transform_mask(self, input: Tensor, params: dict[str, Any], flags: dict[str, Any]) -> Tensor:
        """Tells kornia that masks are handled."""
        return self.transform_mask(input, params, flags)

    def apply_transform_class(self, input: Tensor, params: dict[str, Any], flags: dict[str, Any]) -> Tensor:
        """Tells kornia that labels are handled."""
        return self.transform_class(input, params, flags)

    def apply_transform_boxes(self, input: Any, params: dict[str, Any], flags: dict[str, Any]) -> Any:
        """Boxes stay if their objects stay."""
        return self._unmoved(input, "boxes")

    def apply_transform_keypoint(self, input: Any, params: dict[str, Any], flags: dict[str, Any]) -> Any:
        """Keypoints stay if their objects stay."""
        return self._unmoved(input, "keypoints")

    def extra_repr(self) -> str:
        """The number of classes, if it is known."""
        return "" if self.num_classes is None else f"num_classes={self.num_classes}"

    def __repr__(self) -> str:
        extra = f", {self.extra_repr()}" if self.extra_repr() else ""
        return f"to_kornia({self.strategy!r}{extra})"

    def _unmoved(self, value: Any, what: str) -> Any:
        if self.strategy.tags.mixes_labels:
            raise FeatmixError(
                type(self.strategy).__name__,
                what,
                expected="a strategy that leaves labels alone",
                got=f"{what}, of which some come from other samples now",
                fix="Leave them out of data_keys, or use a strategy with mixes_labels=False.",
            )
        return value

    def _decided(self, params: dict[str, Any]) -> Params:
        found = params.get(_DECISION)
        if not isinstance(found, Params):
            raise FeatmixError(
                "KorniaModule",
                "params",
                expected="parameters of an earlier call of this module",
                got=", ".join(map(str, params)),
            )
        return found
