"""Pipelines: their parts, from ``sample`` to ``stay``, each where there is one."""

from __future__ import annotations

from typing import Any

from featmix.configuration.place import Place
from featmix.configuration.plain import Plain, as_dict
from featmix.configuration.trees import read_tree, write_tree
from featmix.configuration.values import built, check_names, read, write
from featmix.pipeline import Pipeline

PARTS = ("sample", "batch", "normalize", "mix", "seed", "images", "masks", "stay")
_NORMALIZATION = ("mean", "std")


def write_pipeline(pipeline: Pipeline, place: Place) -> dict[str, Plain]:
    """A pipeline as plain values.

    Raises:
        FeatmixError: If a part cannot be written.
    """
    if type(pipeline) is not Pipeline:
        raise place.refuse("a featmix.Pipeline", type(pipeline).__qualname__)
    names = {"images": pipeline.images, "masks": pipeline.masks, **({"stay": pipeline.stay} if pipeline.stay else {})}
    normalize = {} if pipeline.normalize is None else {"normalize": _as_dict(pipeline.normalize)}
    return {
        "sample": write(pipeline.sample, place.key("sample")),
        "batch": write(pipeline.batch, place.key("batch")),
        **normalize,
        "mix": None if pipeline.mix is None else write_tree(pipeline.mix, place.key("mix")),
        "seed": pipeline.seed,
        **{part: None if value is None else list(value) for part, value in names.items()},
    }


def read_pipeline(value: dict[str, Plain], place: Place) -> Pipeline:
    """The pipeline that :func:`write_pipeline` wrote.

    Raises:
        FeatmixError: If a part of it is none; the error names the entry.
    """
    check_names(value, PARTS, place, "a part of a pipeline")
    parts: dict[str, Any] = {name: read(value.get(name), place.key(name)) for name in ("sample", "batch")}
    parts["mix"] = None if value.get("mix") is None else read_tree(value["mix"], place.key("mix"))
    if value.get("normalize") is not None:
        parts["normalize"] = _as_pair(value["normalize"], place.key("normalize"))
    parts |= {name: value.get(name) for name in ("seed", "images", "masks")} | {"stay": value.get("stay") or ()}
    made: Pipeline = built(Pipeline, parts, place)
    return made


def _as_dict(normalize: tuple[tuple[float, ...], tuple[float, ...]]) -> dict[str, Plain]:
    return {name: list(values) for name, values in zip(_NORMALIZATION, normalize, strict=True)}


def _as_pair(value: Plain, place: Place) -> tuple[Any, ...]:
    given = as_dict(value, place, "mean and std")
    check_names(given, _NORMALIZATION, place, "mean or std")
    for name in _NORMALIZATION:
        if name not in given:
            raise place.refuse("mean and std", f"no {name}")
    return tuple(read(given[name], place.key(name)) for name in _NORMALIZATION)
