"""Which entries of an item are images, and which are maps that move with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from featmix.errors import FeatmixError
from featmix.pipeline.origin import library_of

Name = str | int
_OF_ALBUMENTATIONS = frozenset({"masks", "images", "volume", "volumes", "mask3d", "masks3d"})  # it moves them by itself


@dataclass(frozen=True)
class Names:
    """The roles of the entries of an item, by keys of a dictionary or positions of a tuple.

    Args:
        images: The images; ``None`` for the key ``image``, or the first entry.
        masks: Maps that move with the image; ``None`` for the key ``mask``, and then no other entry may look like a mask.
        more_images: Further keys of images that a transform declares, for ``images=None``.
        more_masks: Further keys of masks that a transform declares, for ``masks=None``.
        known: Keys that a transform handles by itself.
        stay: Entries that are not transformed, even if they look like boxes, keypoints or masks.
    """

    images: tuple[Name, ...] | None = None
    masks: tuple[Name, ...] | None = None
    more_images: tuple[str, ...] = ()
    more_masks: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()
    stay: tuple[Name, ...] = ()


def names_for(images: Any, masks: Any, sample: Any, stay: Any = ()) -> Names:
    """Return the names of a pipeline's images and masks.

    Args:
        images: A key or position, or several.
        masks: A key or position, or several.
        sample: The ``sample`` part; albumentations' ``additional_targets`` count as named.
        stay: A key or position, or several, of entries that are not transformed though they look like targets.

    Raises:
        FeatmixError: If they are no names, or a name is given twice.

    Example:
        >>> names_for(("left", "right"), "depth", None).masks
        ('depth',)
    """
    ours, maps = _checked("images", images), _checked("masks", masks)
    if ours == ():
        raise FeatmixError("Pipeline", "images", expected="at least one key or position", got="none")
    if ours and maps and set(ours) & set(maps):
        raise FeatmixError("Pipeline", "masks", expected="other entries than images", got=repr(masks))
    still = _checked("stay", stay) or ()
    if set(still) & {*(ours or ()), *(maps or ())}:
        raise FeatmixError("Pipeline", "stay", expected="other entries than images and masks", got=repr(stay))
    if library_of(sample) != "albumentations":
        return Names(ours, maps, stay=still)
    kinds = targets_of(sample)
    more_images, more_masks = (tuple(name for name, kind in kinds.items() if kind == wanted) for wanted in ("image", "mask"))
    return Names(ours, maps, more_images, more_masks, _OF_ALBUMENTATIONS | set(kinds), still)


def targets_of(transform: Any) -> dict[str, str]:
    """Return the ``additional_targets`` of a transform of albumentations: the kind of each name."""
    found = getattr(transform, "additional_targets", None) or getattr(transform, "_additional_targets", None)
    return dict(found) if isinstance(found, dict) else {}


def box_forms(sample: Any) -> dict[str, str]:
    """Return the formats of the boxes that a transform of albumentations returns, by their names in an item."""
    processors = getattr(sample, "processors", None) if library_of(sample) == "albumentations" else None
    if not isinstance(processors, dict) or "bboxes" not in processors:
        return {}
    form = str(processors["bboxes"].params.format)
    return {"bboxes": {"pascal_voc": "xyxy", "coco": "xywh"}.get(form, form)}


def _checked(argument: str, names: Any) -> tuple[Name, ...] | None:
    if names is None:
        return None
    given = (names,) if isinstance(names, str | int) else names
    fits = isinstance(given, Sequence) and all(_is_name(name) for name in given) and len(set(given)) == len(given)
    if not fits:
        fix = f"{argument}=('left', 'right') of dictionaries, {argument}=(0, 1) of tuples."
        raise FeatmixError("Pipeline", argument, expected="keys or positions, each once", got=repr(names), fix=fix)
    return tuple(given)


def _is_name(name: Any) -> bool:
    return isinstance(name, str) or (isinstance(name, int) and not isinstance(name, bool) and name >= 0)
