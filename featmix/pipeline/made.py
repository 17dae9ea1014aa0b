"""Whether a data set was made by a pipeline, or contains such data sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch.utils.data import Dataset

from featmix.errors import FeatmixError
from featmix.pipeline.streams import Streamed


def made_within(source: Any, family: str) -> bool:
    """Return whether all data sets within a data set come from one pipeline.

    Args:
        source: A data set; it may contain others, as torch's ``ConcatDataset`` and ``Subset`` do.
        family: Identifies the pipeline.

    Raises:
        FeatmixError: If only some do: these would be transformed twice, or the others not at all.
    """
    found = [isinstance(each, Streamed) and each.stream.family == family for each in _leaves(source, set())]
    if any(found) and not all(found):
        raise FeatmixError(
            "Pipeline.dataset",
            "source",
            expected="data sets of this pipeline alone, or none of them",
            got=f"{sum(found)} of {len(found)}",
            fix="Put all of them through pipeline.dataset(...), or none.",
        )
    return all(found)


def draws_within(source: Any) -> bool:
    """Return whether a data set is, or contains, one that a pipeline made."""
    return any(isinstance(each, Streamed) for each in _leaves(source, set()))


def _leaves(source: Any, seen: set[int]) -> Iterator[Any]:
    seen.add(id(source))
    held = [] if isinstance(source, Streamed) else [each for each in _held(source) if id(each) not in seen]
    if not held:
        yield source
    for each in held:
        yield from _leaves(each, seen)


def _held(source: Any) -> Iterator[Any]:
    for value in vars(source).values() if hasattr(source, "__dict__") else ():
        inner: Iterable[Any] = value.values() if isinstance(value, Mapping) else (value,)
        if isinstance(value, list | tuple) and value and isinstance(value[0], Dataset):
            inner = value
        yield from (each for each in inner if isinstance(each, Dataset))
