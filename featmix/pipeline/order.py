"""The order of a loader's samples, from a seed of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Generator


class OrderGenerator(Generator):
    """A generator that a sampler was given here, so that another loader may give it another one."""


def seed_order(settings: Mapping[str, Any], seed: int) -> None:
    """Give samplers that have no generator of their own one: torch's would draw from the default generator.

    Args:
        settings: Arguments of ``torch.utils.data.DataLoader``.
        seed: Of the order.

    Example:
        >>> from torch.utils.data import WeightedRandomSampler
        >>> sampler = WeightedRandomSampler([1.0, 3.0], 4)
        >>> seed_order({"sampler": sampler}, 0)
        >>> sampler.generator.initial_seed()
        0
    """
    for sampler in _samplers(settings):
        if isinstance(getattr(sampler, "generator", 0), OrderGenerator | None):
            sampler.generator = OrderGenerator()
            sampler.generator.manual_seed(seed)


def _samplers(settings: Mapping[str, Any]) -> Iterator[Any]:
    """The samplers of a loader, and those that they hold, as a ``BatchSampler`` does."""
    for name in ("sampler", "batch_sampler"):
        sampler, seen = settings.get(name), set[int]()
        while sampler is not None and id(sampler) not in seen:
            yield sampler
            seen.add(id(sampler))
            sampler = getattr(sampler, "sampler", None)
