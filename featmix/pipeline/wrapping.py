"""Wraps a data set in one that a pipeline transforms."""

from __future__ import annotations

from typing import Any

from torch.utils.data import IterableDataset

from featmix.errors import FeatmixError
from featmix.pipeline.dataset import StatefulStream, Transformed, TransformedStream, Work, is_stateful
from featmix.pipeline.made import made_within
from featmix.pipeline.names import Names, names_for
from featmix.pipeline.streams import Stream, Streamed
from featmix.pipeline.views import ViewPlan


def work_for(source: Any, views: Any, sample: Any, names: Names, family: str) -> Work | None:
    """Return the transform of a data set's items; ``None`` if the pipeline made that data set itself.

    Args:
        source: The data set.
        views: As :meth:`featmix.Pipeline.dataset` takes them.
        sample: The ``sample`` part.
        names: Which entries of an item are images and masks.
        family: Identifies the pipeline.

    Raises:
        FeatmixError: If only a part of the source was made by the pipeline, or ``views`` are invalid.
    """
    made = made_within(source, family)
    if made and views is not None:
        fix = "Give views= where the data set is made."
        raise FeatmixError("Pipeline.dataset", "views", expected="None, for what a pipeline made", got=repr(views), fix=fix)
    if made:
        return None if isinstance(source, Streamed) else Work(around=True)
    if views is None:
        return Work(sample, names)
    plan = ViewPlan.of(views, sample)
    own = tuple(names_for(names.images, names.masks, transform, names.stay) for transform in plan.transforms)
    return Work(None, names, (plan, own))


def wrapped(source: Any, work: Work, stream: Stream) -> Transformed | TransformedStream:
    """Return the transformed data set.

    Args:
        source: The data set to transform.
        work: The transform of its items.
        stream: Its random numbers.

    Raises:
        FeatmixError: If the source is no data set.
    """
    if not isinstance(source, IterableDataset):
        return Transformed(source, work, stream)
    return (StatefulStream if is_stateful(source) else TransformedStream)(source, work, stream)
