"""Whether a transform moves the content of an image, so that boxes, keypoints and masks have to move with it."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from torch import nn

from featmix.pipeline.origin import library_of, parts_of

_STILL_OF_TORCHVISION = ("_color", "_container", "_deprecated", "_meta", "_misc", "_transform", "_type_conversion")
_LEAF = "albumentations.core.transforms_interface."


def moves_geometry(transform: Any) -> bool:
    """Return whether a transform may move the content of an image; True for an unknown one.

    Example:
        >>> moves_geometry(lambda image: image)
        True
    """
    return not library_of(transform) or any(map(_moves, parts_of(transform)))


def _moves(part: Any) -> bool:
    library, kinds = library_of(part), type(part).__mro__
    modules = [cls.__module__ for cls in kinds]
    if library == "kornia":
        return any(f".{room}" in f"{module}." for module in modules for room in ("geometric.", "geometry.", "auto."))
    if library == "albumentations":
        names = [f"{cls.__module__}.{cls.__qualname__}" for cls in kinds]
        return f"{_LEAF}DualTransform" in names and names[0] != f"{_LEAF}NoOp"
    if library == "torchvision.transforms.v2":
        home = type(part).__module__.removeprefix("torchvision.transforms.v2.")
        return home not in _STILL_OF_TORCHVISION or type(part).__name__ == "Lambda"
    if isinstance(part, FunctionType):
        return _is_of_users(part.__module__)
    return isinstance(part, nn.Module) and _is_of_users(modules[0])


def _is_of_users(module: str) -> bool:
    return module.partition(".")[0] not in ("torch", "kornia", "torchvision", "albumentations")
