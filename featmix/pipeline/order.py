"""The order of a loader's samples, with its own seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Generator
from torch.utils.data import IterableDataset, RandomSampler


class OrderGenerator(Generator):
    """A generator that the pipeline gave to a loader or sampler; each epoch seeds it, and another loader may replace it."""


def with_own_order(dataset: Any, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the settings of a loader, with a generator for it and for each sampler that has none.

    Without one, torch would draw from the default generator. Each epoch seeds these generators anew.

    Args:
        dataset: The data set of the loader.
        settings: Arguments of ``torch.utils.data.DataLoader``; a given ``generator``, even ``None``, stays.
        seed: Seed until the first epoch, and for a loader that another library makes from the same samplers.

    Example:
        >>> from torch.utils.data import WeightedRandomSampler
        >>> sampler = WeightedRandomSampler([1.0, 3.0], 4)
        >>> sorted(with_own_order([0, 1], {"sampler": sampler}, 0)), type(sampler.generator).__name__
        (['generator', 'sampler'], 'OrderGenerator')
    """
    if "generator" in settings:
        return dict(settings)
    settings = {**settings, "generator": _made(seed)}
    given = settings.get("sampler") is not None or settings.get("batch_sampler") is not None
    if settings.get("shuffle") and not given and not isinstance(dataset, IterableDataset):
        settings = {**settings, "shuffle": None, "sampler": RandomSampler(dataset)}
    for sampler in samplers_of(settings):
        if isinstance(getattr(sampler, "generator", 0), OrderGenerator | None):
            sampler.generator = _made(seed)
    return settings


def _made(seed: int) -> OrderGenerator:
    made = OrderGenerator()
    made.manual_seed(seed)
    return made


def samplers_of(settings: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the samplers of a loader, and those within them, as in a ``BatchSampler``.

    Args:
        settings: Arguments of ``torch.utils.data.DataLoader``, or attributes of a loader or sampler.
    """
    seen = set[int]()
    for name in ("sampler", "batch_sampler"):
        sampler = settings.get(name)
        while sampler is not None and id(sampler) not in seen:
            yield sampler
            seen.add(id(sampler))
            sampler = getattr(sampler, "sampler", None)
