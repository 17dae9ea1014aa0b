"""Several views of one sample: how they are specified, made and collated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from featmix.checks import whole
from featmix.errors import FeatmixError
from featmix.pipeline.check_labels import check_keeps_labels
from featmix.pipeline.images import is_pil
from featmix.pipeline.items import take_apart
from featmix.pipeline.names import Names
from featmix.pipeline.origin import library_of
from featmix.pipeline.targets import changed

_WHO = "Pipeline.dataset"
_FORMS = "2, [transform, transform], or {'global': (transform, 2), 'local': (transform, 6)}"


class Views(list[Any]):
    """The views of one entry of an item."""


class NamedViews(dict[str, list[Any]]):
    """The views of one entry of an item, in groups."""


@dataclass(frozen=True)
class ViewPlan:
    """The views of each sample.

    Args:
        transforms: One for each view.
        groups: Names of groups and the number of views in each; ``None`` for a plain list.
    """

    transforms: tuple[Any, ...]
    groups: tuple[tuple[str, int], ...] | None = None

    @classmethod
    def of(cls, views: Any, sample: Any) -> ViewPlan:
        """Make a plan from the argument ``views=``.

        Args:
            views: The number of views, each made by the pipeline's ``sample``; a list of transforms, one for each view; or
                groups by name, each a number, a transform with a number, or a list of transforms.
            sample: The ``sample`` part.

        Raises:
            FeatmixError: If it is none of these, or a transform mixes labels.
        """
        if not isinstance(views, Mapping):
            return cls(_transforms(views, sample))
        if not views or not all(isinstance(name, str) for name in views):
            raise FeatmixError(_WHO, "views", expected="groups, each with a name", got=repr(sorted(map(str, views))))
        made = {name: _transforms(group, sample) for name, group in views.items()}
        groups = tuple((name, len(group)) for name, group in made.items())
        return cls(tuple(transform for group in made.values() for transform in group), groups)

    def folded(self, views: Sequence[Any]) -> Views | NamedViews:
        """Return the views, as a list or in their groups."""
        if self.groups is None:
            return Views(views)
        left = iter(views)
        return NamedViews({name: [next(left) for _ in range(count)] for name, count in self.groups})


def _transforms(views: Any, sample: Any) -> tuple[Any, ...]:
    counted = isinstance(views, tuple) and len(views) == 2 and not callable(views[1])
    if counted or (isinstance(views, int) and not isinstance(views, bool)):
        transform, count = views if counted else (sample, views)
        found = [transform] * whole(_WHO, "views", count, least=1)
    else:
        found = list(views) if isinstance(views, list | tuple) else []
    if not found:
        raise FeatmixError(_WHO, "views", expected=_FORMS, got=repr(views))
    for transform in found:
        if not callable(transform) or isinstance(transform, type):
            fix = "A number alone means so many times the pipeline's sample=." if transform is None else ""
            raise FeatmixError(_WHO, "views", expected="a transform for each view", got=repr(transform), fix=fix)
        check_keeps_labels("views", transform)
    return tuple(found)


def apply_views(plan: ViewPlan, each: Sequence[Callable[[Any], Any]], item: Any, names: Names) -> Any:
    """Return the item with lists of views instead of images, masks, and other entries that the transforms changed.

    Args:
        plan: The views.
        each: Functions that make them from the item.
        item: The item.
        names: Which entries are images and masks.
    """
    moved = [make(_given(item, transform, names)) for make, transform in zip(each, plan.transforms, strict=True)]
    taken = take_apart(item, names)
    if not taken.names:
        return plan.folded(moved)
    if isinstance(item, Mapping):
        keys = [*moved[0], *(key for key in item if key not in moved[0])]
        anew = [key for key in keys if any(key in new and new[key] is not item.get(key) for new in moved)]
        entries = {key: plan.folded([new.get(key) for new in moved]) for key in keys if key in anew or key in taken.names}
        return {key: entries.get(key, item.get(key)) for key in keys}
    renewed = {place for place, value in enumerate(item) if any(new[place] is not value for new in moved)} | {*taken.names}
    return changed(item, lambda place, value: plan.folded([new[place] for new in moved]) if place in renewed else value)


def split(item: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]] | None:
    """Split an item with views into one item for each view, and a function that joins their batches; ``None`` without views."""
    entries = _entries(item)
    held = {name: value for name, value in entries.items() if isinstance(value, Views | NamedViews)}
    if not held:
        return None
    flat = {name: _flat(value) for name, value in held.items()}
    count = len(next(iter(flat.values())))
    items = [_with(item, {name: views[k] for name, views in flat.items()}) for k in range(count)]

    def together(batches: Sequence[Any]) -> Any:
        if None in held:
            return _folded_like(held[None], batches)
        columns = {name: _folded_like(value, [batch[name] for batch in batches]) for name, value in held.items()}
        return _with(batches[0], columns)

    return items, together


def _given(item: Any, transform: Any, names: Names) -> Any:
    """Return an item that a callable may write into, so that the next view starts from the original."""
    if library_of(transform):
        return item
    taken = take_apart(item, names)
    return taken.put_back([_copied(image) for image in taken.images], [_copied(mask) for mask in taken.masks])


def _copied(value: Any) -> Any:
    if isinstance(value, np.ndarray) or is_pil(value):
        return value.copy()
    return value.clone() if isinstance(value, Tensor) else value


def _entries(item: Any) -> dict[Any, Any]:
    if isinstance(item, Views | NamedViews):
        return {None: item}
    if isinstance(item, Mapping):
        return dict(item)
    return dict(enumerate(item)) if isinstance(item, list | tuple) else {}


def _with(item: Any, new: Mapping[Any, Any]) -> Any:
    if None in new:
        return new[None]
    if isinstance(item, Mapping):
        return {**item, **new}
    values = [new.get(place, value) for place, value in enumerate(item)]
    return type(item)(*values) if hasattr(item, "_fields") else type(item)(values)


def _flat(value: Views | NamedViews) -> list[Any]:
    return list(value) if isinstance(value, Views) else [view for group in value.values() for view in group]


def _folded_like(value: Views | NamedViews, batches: Sequence[Any]) -> Any:
    if isinstance(value, Views):
        return list(batches)
    left = iter(batches)
    return {name: [next(left) for _ in group] for name, group in value.items()}
