"""Reads data sets of Hugging Face on this machine, as ``save_to_disk`` writes them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featmix.compare.own_data import Part, parts_of, read_dataset
from featmix.compare.sources import PhotoSource
from featmix.errors import FeatmixError
from featmix.support.extras import imported

_WRITTEN = ("dataset_dict.json", "state.json")
_LABELS, _DOMAIN = ("label", "labels"), "domain"


def read_hf(path: Path, size: int | None) -> PhotoSource:
    """Read a data set that ``datasets`` wrote with ``save_to_disk``; nothing is downloaded, and no code of a data set is run.

    Args:
        path: The folder of a data set, with or without splits. It has one column of images, one of classes called ``label``
            (or the only one of that kind), and optionally one called ``domain``.
        size: Side in pixels that images are resized to.

    Raises:
        FeatmixError: If it is no data set, a column is missing, or an image is stored elsewhere.
    """
    if not any((path / name).is_file() for name in _WRITTEN):
        fix = "Write one with dataset.save_to_disk(path)."
        raise FeatmixError("hf", "path", expected="a folder that save_to_disk wrote", got=str(path), fix=fix)
    library = imported("datasets", subject="compare", argument="data", install="featmix[hf]")
    try:
        found = library.load_from_disk(str(path))
    except Exception as error:  # it raises whatever its readers do
        raise FeatmixError("hf", "path", expected="a data set that can be read", got=f"{path} ({error})") from error
    parts = parts_of({**found}) if isinstance(found, dict) else [Part(found)]
    return read_dataset([Part(Rows(part.items, library), part.domain, part.test) for part in parts], f"hf:{path}", size)


class Rows(Sequence[tuple[Any, Any, Any]]):
    """A table of images as items ``(image, label, domain)``.

    Args:
        table: A data set of Hugging Face.
        library: The package ``datasets``.

    Raises:
        FeatmixError: If a column is missing.
    """

    def __init__(self, table: Any, library: Any) -> None:
        image = _column(table, "Image", ("image",))
        self._image, self._label = image, _column(table, "ClassLabel", _LABELS)
        kind = table.features[self._label]
        if getattr(kind, "names", None):
            self.classes = list(kind.names)
        if _DOMAIN in table.features and getattr(table.features[_DOMAIN], "names", None):
            self.domains = list(table.features[_DOMAIN].names)
        self._has_domain = _DOMAIN in table.features
        self._table = table.cast_column(image, library.Image(decode=False))  # files elsewhere are not fetched

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, row: Any) -> Any:
        found = self._table[row]
        return self._opened(found[self._image], row), found[self._label], found[_DOMAIN] if self._has_domain else None

    def _opened(self, image: Any, row: int) -> Any:
        pil = imported("PIL.Image", subject="pictures", install="featmix[compare]")
        written, path = image["bytes"], image["path"]
        if written is None and not (path and Path(path).is_file()):
            raise FeatmixError("hf", f"image {row}", expected="an image in the data set", got=f"one at {path}")
        try:
            opened = pil.open(io.BytesIO(written) if written is not None else path)
            opened.load()
        except (OSError, SyntaxError, ValueError, pil.DecompressionBombError) as error:
            raise FeatmixError("hf", f"image {row}", expected="an image that can be read", got=str(error)) from error
        return opened


def _column(table: Any, kind: str, usual: Sequence[str]) -> str:
    """Return the column with a usual name, or the only one of a kind."""
    columns: list[str] = [name for name, feature in table.features.items() if type(feature).__name__ == kind]
    named = [name for name in usual if name in (columns if kind == "Image" else table.features)]
    if not named and len(columns) != 1:
        have = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in table.features.items())
        raise FeatmixError("hf", "columns", expected=f"one called {usual[0]}, or a single one of {kind}", got=have)
    return named[0] if named else columns[0]
