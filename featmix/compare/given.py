"""Objects that Python code passes instead of names: a data set, a source, or a function that makes networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from featmix.compare.data import DATA_SETS, DATASET, read
from featmix.compare.models import Factory, is_nameless, name_of
from featmix.compare.own_data import Part, parts_of, read_dataset
from featmix.compare.settings import Settings
from featmix.compare.sources import Source
from featmix.errors import FeatmixError


@dataclass(frozen=True, eq=False)
class Given:
    """Settings as text and numbers, and the objects that have no name.

    Args:
        settings: As `featmix.compare.settings.resolve` takes them.
        factory: Makes networks, if another process cannot find it by name; else None.
        made: A source that was passed.
        parts: Data sets that were passed.
    """

    settings: dict[str, Any]
    factory: Factory | None = None
    made: Source | None = None
    parts: list[Part] = field(default_factory=list)

    def source(self, shared: Settings) -> Source:
        """Read the data.

        Args:
            shared: The complete settings.

        Raises:
            FeatmixError: As `featmix.compare.data.read` does.
        """
        if self.made is not None:
            if shared.size is not None and (shared.size, shared.size) != self.made.image_size:
                raise FeatmixError("compare", "size", expected="none for a source", got=shared.size)
            return self.made
        if self.parts:
            return read_dataset(self.parts, shared.data, shared.size)
        return read(shared.data, root=Path(shared.root) if shared.root else None, size=shared.size, styles=shared.styles)


def given(settings: Mapping[str, Any], subject: str = "compare") -> Given:
    """Separate objects without a name from the settings.

    Args:
        settings: By name; ``data`` may be a data set, a pair of them, or several by domain (see
            `featmix.compare.own_data.parts_of`), or a source; ``model`` a function that takes the number of classes.
        subject: The command, for messages.

    Raises:
        FeatmixError: If ``data`` or ``model`` is of another kind.

    Example:
        >>> given({"model": nn.Linear}).settings
        {'model': 'torch.nn.modules.linear:Linear'}
    """
    said = dict(settings)
    factory, made, parts = None, None, []
    model, data = said.get("model"), said.get("data")
    if isinstance(model, nn.Module):
        fix = f"Pass a function that makes it: def make(num_classes): return {type(model).__name__}(...)."
        expected = "a function that makes a new network for each run"
        raise FeatmixError(subject, "model", expected=expected, got="the network itself", fix=fix)
    if model is not None and not isinstance(model, str):
        if not callable(model):
            expected = "a name, or a function that takes the number of classes"
            raise FeatmixError(subject, "model", expected=expected, got=type(model).__name__)
        said["model"] = name_of(model)
        factory = model if is_nameless(said["model"]) else None
    if isinstance(data, Source):
        made, said["data"] = data, data.name if data.name in DATA_SETS else _called(data.name)
    elif data is not None and not isinstance(data, str):
        parts = parts_of(data)
        said["data"] = _called(_type_name(parts[0]))
    return Given(said, factory, made, parts)


def _type_name(part: Part) -> str:
    inner = part.items
    while type(inner).__name__ in ("Subset", "ConcatDataset") and hasattr(inner, "dataset"):
        inner = inner.dataset
    return type(inner).__name__


def _called(name: str) -> str:
    """Return a name for a data set that was passed, in a form that cannot be mistaken for a readable one."""
    return f"{DATASET}:{name.removeprefix(f'{DATASET}:')}"
