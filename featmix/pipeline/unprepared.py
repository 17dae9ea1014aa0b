"""A look at the first forward in eval mode: whether the images in it were normalized, as those of training are."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from featmix.mixer.containers import tensors
from featmix.mixer.hooked import Hook
from featmix.mixer.switch import Switch
from featmix.pipeline.ranges import Ranges


class UnpreparedPreHook(Hook):
    """Pre-hook on the model, which shows forwards in eval mode to who looks at ranges.

    Args:
        switch: Of the mixer.
        ranges: Who looks at them.
    """

    def __init__(self, switch: Switch, ranges: Ranges) -> None:
        self.switch, self._ranges = switch, ranges

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Show the first floating maps or volumes among the arguments."""
        if torch.compiler.is_compiling() or module.training or not self._ranges.awaits_evaluation:
            return
        images = next((x for x in tensors((args, kwargs)) if x.ndim > 3 and x.is_floating_point()), None)
        if images is not None:
            self._ranges.evaluated(images)
