"""Checks at the first forward in eval mode whether its images were normalized as in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from featmix.mixer.containers import tensors
from featmix.mixer.hooked import Hook
from featmix.mixer.switch import Switch
from featmix.pipeline.ranges import Ranges


class UnpreparedPreHook(Hook):
    """Pre-hook on the model that checks the ranges of images in eval mode.

    Args:
        switch: The switch of the mixer.
        ranges: Checks the images.
    """

    def __init__(self, switch: Switch, ranges: Ranges) -> None:
        self.switch, self._ranges = switch, ranges

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Check the first floating maps or volumes among the arguments."""
        if torch.compiler.is_compiling() or module.training or not self._ranges.awaits_evaluation:
            return
        images = next((x for x in tensors((args, kwargs)) if x.ndim > 3 and x.is_floating_point()), None)
        if images is not None:
            self._ranges.evaluated(images)
