"""Pipelines: ``sample``, ``batch``, ``mix`` and the other settings, each where there is one."""

from __future__ import annotations

from typing import Any

from featmix.configuration.place import Place
from featmix.configuration.plain import Plain
from featmix.configuration.trees import read_tree, write_tree
from featmix.configuration.values import built, check_names, read, write
from featmix.pipeline import Pipeline
from featmix.pipeline.following import MIN_VISIBLE

PARTS = ("sample", "batch", "mix", "seed", "images", "masks", "stay", "min_visible")


def write_pipeline(pipeline: Pipeline, place: Place) -> dict[str, Plain]:
    """A pipeline as plain values.

    Raises:
        FeatmixError: If a part cannot be written.
    """
    if type(pipeline) is not Pipeline:
        raise place.refuse("a featmix.Pipeline", type(pipeline).__qualname__)
    names = {"images": pipeline.images, "masks": pipeline.masks, **({"stay": pipeline.stay} if pipeline.stay else {})}
    return {
        "sample": write(pipeline.sample, place.key("sample")),
        "batch": write(pipeline.batch, place.key("batch")),
        "mix": None if pipeline.mix is None else write_tree(pipeline.mix, place.key("mix")),
        "seed": pipeline.seed,
        **{part: None if value is None else list(value) for part, value in names.items()},
        **({} if pipeline.min_visible == MIN_VISIBLE else {"min_visible": pipeline.min_visible}),
    }


def read_pipeline(value: dict[str, Plain], place: Place) -> Pipeline:
    """The pipeline that :func:`write_pipeline` wrote.

    Raises:
        FeatmixError: If a part of it is none; the error names the entry.
    """
    check_names(value, PARTS, place, "a part of a pipeline")
    parts: dict[str, Any] = {name: read(value.get(name), place.key(name)) for name in ("sample", "batch")}
    parts["mix"] = None if value.get("mix") is None else read_tree(value["mix"], place.key("mix"))
    parts |= {name: value.get(name) for name in ("seed", "images", "masks")} | {"stay": value.get("stay") or ()}
    parts["min_visible"] = value.get("min_visible", MIN_VISIBLE)
    made: Pipeline = built(Pipeline, parts, place)
    return made
