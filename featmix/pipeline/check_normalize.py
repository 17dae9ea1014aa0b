"""Checks that images are normalized only once, from the classes of the transforms, before any image is seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from featmix.errors import FeatmixError
from featmix.pipeline.origin import parts_of
from featmix.support.warning import warn

_HOMES = ("albumentations.", "kornia.", "torchvision.", "timm.")
_LAST = "Leave it to Pipeline(normalize=(mean, std)), which does it last, once, and in evaluation too."


def check_normalizes_once(sample: Any, batch: Any, normalize: Any, *, who: str = "Pipeline") -> None:
    """Refuse a pipeline that normalizes twice, and warn if it normalizes in training only.

    Args:
        sample: The ``sample`` part.
        batch: The ``batch`` part.
        normalize: Mean and standard deviation of the last step, or ``None``.
        who: Name of the caller, for messages.

    Raises:
        FeatmixError: If two parts normalize.
    """
    parts = {name: next(_normalizers(part), None) for name, part in (("sample", sample), ("batch", batch))}
    found = {name: part for name, part in parts.items() if part is not None}
    if len(found) + (normalize is not None) > 1:
        names = " and ".join([*(f"{name}= with {type(part).__name__}" for name, part in found.items()), "normalize="][:2])
        raise FeatmixError(who, next(iter(found)), expected="images normalized once", got=f"{names}: twice", fix=_LAST)
    if "batch" in found:
        warn(
            who,
            "batch",
            expected="the same normalization in training and evaluation",
            got=f"{type(found['batch']).__name__} in batch=, which does nothing in eval mode",
            fix=_LAST,
        )


def _normalizers(transform: Any) -> Iterator[Any]:
    for part in parts_of(transform):
        home = f"{type(part).__module__}."
        if type(part).__name__ == "Normalize" and home.startswith(_HOMES) and not _only_scales(part):
            yield part


def _only_scales(part: Any) -> bool:
    """Whether it has mean 0 and standard deviation 1, as in albumentations for division by 255."""
    try:
        mean, std = (list(map(float, _listed(getattr(part, name)))) for name in ("mean", "std"))
    except (AttributeError, TypeError, ValueError):
        return False
    return set(mean) == {0.0} and set(std) == {1.0}


def _listed(value: Any) -> list[Any]:
    value = value.flatten().tolist() if hasattr(value, "flatten") else value
    return list(value) if isinstance(value, list | tuple) else [value]
