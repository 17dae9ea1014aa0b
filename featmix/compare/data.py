"""The data sets that `compare` knows by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from featmix.compare.digits import read_digits
from featmix.compare.fashion_mnist import read_fashion_mnist
from featmix.compare.folder import read_folder
from featmix.compare.hf_data import read_hf
from featmix.compare.sources import Source
from featmix.compare.torchvision_data import read_torchvision
from featmix.errors import FeatmixError, nearest


@dataclass(frozen=True)
class Usual:
    """Default settings for a data set.

    Args:
        epochs: Passes over the training images in all their styles.
        width: Channels of the network's stem.
        limit: Training images per domain; None for all.
        size: Side in pixels that images are resized to; None leaves them as they are.
    """

    epochs: int
    width: int
    limit: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class _Kind:
    """A kind of data set: its default settings, the meaning of the text after the colon, and the arguments that apply."""

    usual: Usual
    behind: str = ""
    has_size: bool = True
    has_root: bool = False
    rendered: bool = False


DATASET = "dataset"  # one that Python code has handed over
_KINDS = {
    "digits": _Kind(Usual(epochs=4, width=8), has_size=False, rendered=True),
    "fashion-mnist": _Kind(Usual(epochs=4, width=8, limit=2000), has_size=False, has_root=True, rendered=True),
    "folder": _Kind(Usual(epochs=20, width=16, size=32), behind="PATH"),
    "torchvision": _Kind(Usual(epochs=20, width=16, limit=2000), behind="NAME", has_root=True),
    "hf": _Kind(Usual(epochs=20, width=16), behind="PATH"),
}
_HANDED_OVER = _Kind(Usual(epochs=20, width=16), behind="NAME")
DATA_SETS = tuple(name + (f":{kind.behind}" if kind.behind else "") for name, kind in _KINDS.items())


def usual(name: str) -> Usual:
    """Return the default settings for a data set.

    Raises:
        FeatmixError: for an unknown name.

    Example:
        >>> usual("fashion-mnist").limit
        2000
    """
    return _kind(name).usual


def absolute(name: str) -> str:
    """Return the name of a data set with an absolute path.

    Example:
        >>> absolute("torchvision:CIFAR10"), absolute("folder:/pictures/../photos")
        ('torchvision:CIFAR10', 'folder:/photos')
    """
    kind, colon, path = name.partition(":")
    return f"{kind}:{Path(path).expanduser().resolve()}" if colon and _kind(name).behind == "PATH" else name


def read(name: str, *, root: Path | None = None, size: int | None = None, styles: str = "") -> Source:
    """Read a data set into memory; nothing is downloaded.

    Args:
        name: One of ``DATA_SETS``.
        root: Folder with the files of fashion-mnist or torchvision's data sets.
        size: Side in pixels that images are resized to; not for digits and fashion-mnist.
        styles: Styles in which digits and fashion-mnist are rendered, separated by commas; empty for the default ones.

    Raises:
        FeatmixError: for an unknown name, an argument that does not apply, and missing or damaged files.
    """
    found = _kind(name)
    kind, _, path = name.partition(":")
    if root is not None and not found.has_root:
        fix = f"A path belongs into the name: {kind}:PATH." if found.behind == "PATH" else ""
        expected = "none but for fashion-mnist and torchvision"
        raise FeatmixError("compare", "root", expected=expected, got=f"{root} for {name}", fix=fix)
    if size is not None and not found.has_size:
        raise FeatmixError("compare", "size", expected="none for images of a size of their own", got=f"{size} for {name}")
    if styles and not found.rendered:
        expected = "none but for digits and fashion-mnist, which are rendered"
        raise FeatmixError("compare", "styles", expected=expected, got=f"{styles!r} for {name}")
    if kind == "digits":
        return read_digits(styles)
    if kind == "fashion-mnist":
        return read_fashion_mnist(root, styles)
    if kind == "folder":
        return read_folder(Path(path).expanduser(), size or found.usual.size or 32)
    if kind == "hf":
        return read_hf(Path(path).expanduser(), size)
    if kind == "torchvision":
        return read_torchvision(path, root, size)
    fix = "Pass it in Python: compare(data=dataset)."
    raise FeatmixError("compare", "data", expected="one of " + ", ".join(DATA_SETS), got=repr(name), fix=fix)


def _kind(name: str) -> _Kind:
    kind, colon, path = name.partition(":")
    known = {**_KINDS, DATASET: _HANDED_OVER}
    if kind not in known:
        raise FeatmixError("compare", "data", expected="a known data set", got=repr(name), fix=nearest(kind, DATA_SETS))
    if bool(known[kind].behind) != bool(path) or (colon and not known[kind].behind):
        raise FeatmixError("compare", "data", expected="one of " + ", ".join(DATA_SETS), got=repr(name))
    return known[kind]
