"""A whole configuration: its kind, the versions that wrote it, and its content."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from featmix.configuration import albumentations_part, kinds, objects  # noqa: F401 - they bring their kinds of values
from featmix.configuration.pipelines import PARTS, read_pipeline, write_pipeline
from featmix.configuration.place import Place, shown
from featmix.configuration.plain import Plain, as_dict, plain
from featmix.configuration.trees import read_tree, write_tree
from featmix.configuration.values import read, write
from featmix.configuration.versions import current_versions, mismatches
from featmix.mixer.tree import Tree
from featmix.pipeline import Pipeline

FORMAT = 1


def write_document(thing: Any, place: Place) -> dict[str, Plain]:
    """Return an object as a configuration with versions.

    Raises:
        FeatmixError: If it, or a part of it, cannot be written, or is too large to be read again.
    """
    if isinstance(thing, Tree | Mapping):
        body: Plain = {"tree": write_tree(thing, place.key("tree"))}
    elif isinstance(thing, Pipeline):
        body = write_pipeline(thing, place)
    else:
        body = write(thing, place)
    document = as_dict(body, place, "a pipeline, a tree, a strategy, a normalizer or a schedule")
    written = plain({"featmix": FORMAT, "versions": current_versions(document), **document}, place)
    return as_dict(written, place, "a configuration")


def read_document(value: object, place: Place, *, stacklevel: int) -> Any:
    """Make the object from a result of :func:`write_document`; warn if it was written with other versions.

    Raises:
        FeatmixError: If it is no configuration, or an entry is invalid.
    """
    document = as_dict(plain(value, place), place, "a configuration")
    number = document.pop("featmix", FORMAT)
    if type(number) is not int or number != FORMAT:
        raise place.key("featmix").refuse(f"the format {FORMAT}", shown(number), "A later featmix may read it.")
    differing = mismatches(document.pop("versions", {}), document, place.key("versions"))
    made = _read_body(document, place)
    if differing:
        message = f"{place.subject}: written with other versions, so that it may do other things: {', '.join(differing)}"
        warnings.warn(message, stacklevel=stacklevel + 1)
    return made


def _read_body(document: dict[str, Plain], place: Place) -> Any:
    ((kind, body),) = document.items() if len(document) == 1 else [("", None)]
    if kind == "tree":
        return read_tree(body, place.key("tree"))
    if document.keys() & set(PARTS):
        return read_pipeline(document, place)
    made = read(document, place)
    if isinstance(made, dict):
        raise place.refuse(
            "a pipeline (sample, batch, mix), a tree, a strategy, a normalizer or a schedule", shown(list(document))
        )
    return made
