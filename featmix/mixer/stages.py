"""The names ``stem``, ``stage1``, ``stage2``, ... for models that say where their stages are, as timm's do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

STEM = "stem"
_FIRST = 4  # the first stage of an image model works at a quarter of the image's size


def stages(root: nn.Module) -> dict[str, str]:
    """Return names of modules by the names of stages, as far as ``root.feature_info`` tells.

    ``feature_info`` is a list of ``{"module": name, "reduction": how many times smaller than the image, ...}``. ``stage1`` is
    the first of them at a reduction of 4 or more, so that one name means one resolution in models that reduce step by step:
    a quarter of the image for ``stage1``, an eighth for ``stage2``. In a plain ViT, which stays at one reduction, ``stageN`` is
    block ``N``. ``stem`` is what the first stage gets: the module right before it, such as ``maxpool`` in a ResNet.

    Args:
        root: A model. Without ``feature_info`` there are no such names.

    Returns:
        ``{"stem": "maxpool", "stage1": "layer1", ...}``; names of modules that the model does not have are among them.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
        >>> model.feature_info = [{"module": "0", "reduction": 2}, {"module": "2", "reduction": 4}]
        >>> stages(model)
        {'stem': '1', 'stage1': '2'}
    """
    named = [name for name, reduction in _entries(root) if reduction >= _FIRST]
    if not named:
        return {}
    found = {f"stage{n}": name for n, name in enumerate(named, start=1)}
    before = _before(root, named[0])
    return found if before is None else {STEM: before, **found}


def _entries(root: nn.Module) -> Iterator[tuple[str, int]]:
    about: Any = getattr(root, "feature_info", None)
    modules = dict(root.named_modules(remove_duplicate=False))
    entries = getattr(about, "info", about)
    for entry in entries if isinstance(entries, Sequence) else ():
        if isinstance(entry, Mapping) and isinstance(entry.get("module"), str) and isinstance(entry.get("reduction"), int):
            name = entry["module"]
            flat = name.replace(".", "_")  # models that return features have their layers at the top, renamed
            yield (flat if name not in modules and flat in modules else name), entry["reduction"]


def _before(root: nn.Module, name: str) -> str | None:
    """Return the module registered right before this one, beside it or beside what it is in."""
    while name:
        parent, _, own = name.rpartition(".")
        try:
            beside = [child for child, _ in root.get_submodule(parent).named_children()]
        except AttributeError:
            return None
        place = beside.index(own) if own in beside else 0
        if place:
            return f"{parent}.{beside[place - 1]}".lstrip(".")
        name = parent
    return None
