"""What every rank of a process group has, gathered on all of them; a rank that comes alone is told so and does not hang."""

from __future__ import annotations

import time
from typing import Any, TypeVar

import torch
from torch import distributed
from torch.utils._pytree import tree_map

from featmix.errors import FeatmixError

_T = TypeVar("_T")
PATIENCE = 600.0  # seconds for which a rank waits for the others: some may be evaluating still
_PAUSE = 0.005
_calls = 0


def ranks() -> int:
    """Return how many processes there are; 1 where nothing is distributed.

    Example:
        >>> ranks()
        1
    """
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gathered(who: str, value: _T) -> list[_T]:
    """Return the values of all ranks, in their order; all of them have to ask.

    Args:
        who: Who asks, for messages.
        value: What this rank has: plain numbers, and tensors, which come back on the CPU.

    Raises:
        FeatmixError: If the other ranks do not ask for it.
    """
    values: list[Any] = [None] * ranks()
    _meet(who, len(values))
    distributed.all_gather_object(values, tree_map(lambda x: x.cpu() if isinstance(x, torch.Tensor) else x, value))
    return values


def _meet(who: str, count: int) -> None:
    """Wait until all ranks are here. No collective has begun by then that a rank in a training step could take for its own."""
    global _calls
    store = distributed.distributed_c10d._get_default_store()
    name = f"featmix/{who}/{_calls}"
    end, arrived = time.monotonic() + PATIENCE, store.add(name, 1)
    while arrived < count:
        if time.monotonic() > end:
            store.add(name, -1)
            raise FeatmixError(
                who,
                expected=f"a call on each of the {count} ranks: the state is that of all",
                got=f"{arrived} within {PATIENCE:g} seconds",
                fix="Where one rank alone saves, have all call it before, or take gather=False for that rank's state.",
            )
        time.sleep(_PAUSE)
        arrived = store.add(name, 0)
    _calls += 1
