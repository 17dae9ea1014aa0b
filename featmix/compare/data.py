"""The data sets that `compare` knows by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from featmix.compare.digits import read_digits
from featmix.compare.fashion_mnist import read_fashion_mnist
from featmix.compare.folder import read_folder
from featmix.compare.sources import Source
from featmix.errors import FeatmixError, nearest


@dataclass(frozen=True)
class Usual:
    """Settings that suit a data set, where the user gives none.

    Args:
        epochs: Passes over the training images in all their styles.
        width: Channels of the network's stem.
        limit: Training images per domain; None for all.
        size: Side in pixels that images are resized to; None where the data set has a size of its own.
    """

    epochs: int
    width: int
    limit: int | None = None
    size: int | None = None


_USUAL = {
    "digits": Usual(epochs=4, width=8),
    "fashion-mnist": Usual(epochs=4, width=8, limit=2000),
    "folder": Usual(epochs=20, width=16, size=32),
}
DATA_SETS = ("digits", "fashion-mnist", "folder:PATH")


def usual(name: str) -> Usual:
    """Return the settings that suit a data set.

    Raises:
        FeatmixError: for an unknown name.

    Example:
        >>> usual("fashion-mnist").limit
        2000
    """
    kind, colon, path = name.partition(":")
    if kind not in _USUAL:
        raise FeatmixError("compare", "data", expected="a known data set", got=repr(name), fix=nearest(kind, DATA_SETS))
    if (kind == "folder") != bool(path) or (colon and kind != "folder"):
        raise FeatmixError("compare", "data", expected="one of " + ", ".join(DATA_SETS), got=repr(name))
    return _USUAL[kind]


def read(name: str, *, root: Path | None = None, size: int | None = None) -> Source:
    """Read a data set into memory.

    Args:
        name: ``digits``, ``fashion-mnist`` or ``folder:PATH``.
        root: Where the files of fashion-mnist are.
        size: Side in pixels that the images of a folder are resized to.

    Raises:
        FeatmixError: for an unknown name, an argument that does not apply, and missing or damaged files.
    """
    preset = usual(name)
    kind, _, path = name.partition(":")
    if root is not None and kind != "fashion-mnist":
        fix = "A folder's path belongs into the name: folder:PATH." if kind == "folder" else ""
        raise FeatmixError("compare", "root", expected="none but for fashion-mnist", got=f"{root} for {name}", fix=fix)
    if size is not None and preset.size is None:
        raise FeatmixError("compare", "size", expected="none but for folder:PATH", got=f"{size} for {name}")
    if kind == "digits":
        return read_digits()
    if kind == "fashion-mnist":
        return read_fashion_mnist(root)
    return read_folder(Path(path).expanduser(), size or preset.size or 32)
