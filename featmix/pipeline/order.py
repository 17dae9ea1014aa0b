"""The order of a loader's samples, from a seed of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Generator


class OrderGenerator(Generator):
    """A generator that a loader or a sampler was given here: each epoch seeds it, and another loader may give another one."""


def own_order(settings: Mapping[str, Any]) -> None:
    """Give samplers that have no generator one that is seeded for each epoch: torch's would draw from the default generator.

    Args:
        settings: Arguments of ``torch.utils.data.DataLoader``.

    Example:
        >>> from torch.utils.data import WeightedRandomSampler
        >>> sampler = WeightedRandomSampler([1.0, 3.0], 4)
        >>> own_order({"sampler": sampler})
        >>> type(sampler.generator).__name__
        'OrderGenerator'
    """
    for sampler in samplers_of(settings):
        if isinstance(getattr(sampler, "generator", 0), OrderGenerator | None):
            sampler.generator = OrderGenerator()


def samplers_of(settings: Mapping[str, Any]) -> Iterator[Any]:
    """The samplers of a loader, and those that they hold, as a ``BatchSampler`` does.

    Args:
        settings: Arguments of ``torch.utils.data.DataLoader``, or what one holds.
    """
    seen = set[int]()
    for name in ("sampler", "batch_sampler"):
        sampler = settings.get(name)
        while sampler is not None and id(sampler) not in seen:
            yield sampler
            seen.add(id(sampler))
            sampler = getattr(sampler, "sampler", None)
