"""Pipelines: ``sample``, ``batch``, ``mix`` and the other settings, without those that are not set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featmix.configuration.place import Place, shown
from featmix.configuration.plain import Plain, as_dict, as_list
from featmix.configuration.trees import read_tree, write_tree
from featmix.configuration.values import built, check_names, read, write
from featmix.pipeline import Pipeline
from featmix.pipeline.following import MIN_VISIBLE

PARTS = ("sample", "batch", "normalize", "mix", "seed", "images", "masks", "stay", "min_visible", "mix_views")
_NORMALIZATION = ("mean", "std")


def write_pipeline(pipeline: Pipeline, place: Place) -> dict[str, Plain]:
    """Return a pipeline as plain values.

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
        **({} if pipeline.mix_views is None else {"mix_views": _write_views(pipeline.mix_views, place.key("mix_views"))}),
        **({} if pipeline.min_visible == MIN_VISIBLE else {"min_visible": pipeline.min_visible}),
    }


def read_pipeline(value: dict[str, Plain], place: Place) -> Pipeline:
    """Make the pipeline from a result of :func:`write_pipeline`.

    Raises:
        FeatmixError: If a part is invalid; the error names the entry.
    """
    check_names(value, PARTS, place, "a part of a pipeline")
    parts: dict[str, Any] = {name: read(value.get(name), place.key(name)) for name in ("sample", "batch")}
    parts["mix"] = None if value.get("mix") is None else read_tree(value["mix"], place.key("mix"))
    if value.get("normalize") is not None:
        parts["normalize"] = _as_pair(value["normalize"], place.key("normalize"))
    parts |= {name: value.get(name) for name in ("seed", "images", "masks")} | {"stay": value.get("stay") or ()}
    parts["mix_views"] = _read_views(value.get("mix_views"), place.key("mix_views"))
    parts["min_visible"] = value.get("min_visible", MIN_VISIBLE)
    made: Pipeline = built(Pipeline, parts, place)
    return made


def _write_views(views: Mapping[Any, Any], place: Place) -> list[Plain]:
    """Return a list, since views may be numbers, but keys of dictionaries in a file are text."""
    return [
        {"view": view, "mix": None if tree is None else write_tree(tree, place.item(i).key("mix"))}
        for i, (view, tree) in enumerate(views.items())
    ]


def _read_views(value: Plain, place: Place) -> dict[Any, Any] | None:
    if value is None:
        return None
    found: dict[Any, Any] = {}
    for i, entry in enumerate(as_list(value, place, "a list of views")):
        here = place.item(i)
        given = as_dict(entry, here, "a view and its mix")
        check_names(given, ("view", "mix"), here, "a part of a view")
        view = given.get("view")
        if isinstance(view, bool) or not isinstance(view, str | int) or view in found:
            raise here.key("view").refuse("a name or a position, each once", shown(view))
        found[view] = None if given.get("mix") is None else read_tree(given["mix"], here.key("mix"))
    return found


def _as_dict(normalize: tuple[tuple[float, ...], tuple[float, ...]]) -> dict[str, Plain]:
    return {name: list(values) for name, values in zip(_NORMALIZATION, normalize, strict=True)}


def _as_pair(value: Plain, place: Place) -> tuple[Any, ...]:
    given = as_dict(value, place, "mean and std")
    check_names(given, _NORMALIZATION, place, "mean or std")
    for name in _NORMALIZATION:
        if name not in given:
            raise place.refuse("mean and std", f"no {name}")
    return tuple(read(given[name], place.key(name)) for name in _NORMALIZATION)
