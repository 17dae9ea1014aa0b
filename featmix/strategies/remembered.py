"""The state of a memory, held against the site that it is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from featmix.errors import FeatmixError
from featmix.strategies.memory import Memory


def check_remembered(who: str, strategy: Any, state: Mapping[str, Any], shape: Sequence[int] | None) -> None:
    """Refuse the state of a strategy that remembers samples of another shape than there are at its site, or other classes.

    Args:
        who: Who refuses.
        strategy: The strategy.
        state: What it is to load.
        shape: Of one sample at its site; ``None`` where it is not known.

    Raises:
        FeatmixError: If it does.
    """
    memory = getattr(strategy, "_memory", None)
    if not isinstance(memory, Memory) or "_memory.label" not in state:
        return
    lent = None if shape is None else strategy.lent_shape((1, *shape))
    for name in memory.lends:
        found = tuple(state[f"_memory.{name}"].shape[1:])
        if lent is not None and found != tuple(lent):
            raise FeatmixError(who, name, expected=f"samples of shape {tuple(lent)}, as at the site", got=found)
    label, written = state["_memory.label"].cpu(), state["_memory.written"].cpu()
    counted = label.ndim == 1 and not label.dtype.is_floating_point and label.dtype != torch.bool
    if counted and strategy.num_classes is not None and bool((label[written] >= strategy.num_classes).any()):
        raise FeatmixError(who, "label", expected=f"at most {strategy.num_classes} classes", got=str(int(label[written].max())))
