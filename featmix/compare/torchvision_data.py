"""Reads data sets of torchvision on this machine."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from featmix.compare.own_data import Part, read_dataset
from featmix.compare.sources import PhotoSource
from featmix.errors import FeatmixError, nearest
from featmix.support.extras import imported

_SPLITS = {"train": ((True, False),), "split": (("train", "test"), ("train", "val"), ("trainval", "test"))}


def read_torchvision(name: str, root: Path | None, size: int | None) -> PhotoSource:
    """Read one of torchvision's classification data sets; nothing is downloaded.

    Args:
        name: Name of its Python class, such as ``CIFAR10``.
        root: The folder in which torchvision stores it.
        size: Side in pixels that images are resized to.

    Raises:
        FeatmixError: If there is no such data set, or it is not in that folder.
    """
    library = imported("torchvision.datasets", subject="compare", argument="data", install="torchvision")
    kinds = {one: getattr(library, one) for one in library.__all__}
    known = [one for one, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, library.VisionDataset)]
    if name not in known:
        raise FeatmixError("compare", "data", expected="a data set of torchvision", got=repr(name), fix=nearest(name, known))
    if root is None:
        fix = f"featmix compare --data torchvision:{name} --root FOLDER."
        raise FeatmixError("compare", "root", expected="the folder that torchvision keeps it in", got="none", fix=fix)
    kind = kinds[name]
    takes = inspect.signature(kind).parameters
    usual: dict[str, Any] = {"root": str(root), **({"download": False} if "download" in takes else {})}
    ways = [[{key: value} for value in pair] for key, pairs in _SPLITS.items() if key in takes for pair in pairs]
    errors = []
    for way in ways or [[{}]]:
        try:
            made = [kind(**usual, **split) for split in way]
        except Exception as error:  # each has its own way to say that files are missing
            errors.append(f"{type(error).__name__}: {error}")
            continue
        parts = [Part(one, test=bool(number) if len(made) > 1 else None) for number, one in enumerate(made)]
        return read_dataset(parts, f"torchvision:{name}", size)
    fix = f"Fetch it once yourself: torchvision.datasets.{name}({str(root)!r}, download=True)."
    raise FeatmixError("compare", "root", expected=f"the files of {name} in {root}", got=errors[0], fix=fix)
