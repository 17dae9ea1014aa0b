"""Fashion-MNIST from the IDX files that Debian packages, or from any folder that holds them."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featmix.compare.sources import RenderedSource, rendered
from featmix.errors import FeatmixError

DEBIAN_ROOT = Path("/usr/share/datasets/fashion-mnist")
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def read_fashion_mnist(root: Path | None = None, styles: str = "") -> RenderedSource:
    """Read Fashion-MNIST.

    Args:
        root: Folder with the four IDX files, gzipped or not; None uses the folder of Debian's package.
        styles: See :func:`featmix.compare.styles.chosen_styles`.

    Raises:
        FeatmixError: If files are missing or damaged; the message names the package and the option.
    """
    folder = DEBIAN_ROOT if root is None else root
    images, labels = zip(*(_read_part(folder, part) for part in ("train", "t10k")), strict=True)
    official_test = np.repeat([False, True], [len(part) for part in labels])
    grey, label = np.concatenate(images), np.concatenate(labels).astype(np.int64)
    fingerprint = hashlib.sha256(grey.tobytes() + label.tobytes()).hexdigest()[:16]
    return rendered("fashion-mnist", grey, label, CLASSES, fingerprint, official_test, styles)


def _read_part(folder: Path, part: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    images = read_idx(_find(folder, f"{part}-images-idx3-ubyte"), axes=3)
    labels = read_idx(_find(folder, f"{part}-labels-idx1-ubyte"), axes=1)
    if len(images) != len(labels) or labels.max(initial=0) >= len(CLASSES):
        got = f"{len(images)} images, {len(labels)} labels up to {labels.max(initial=0)}"
        raise FeatmixError(str(folder), part, expected="a label from 0 to 9 for each image", got=got)
    return images, labels


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    fix = "Install it with `apt-get install dataset-fashion-mnist`, or name the folder that holds it with --root."
    raise FeatmixError("fashion-mnist", "root", expected=f"{name}.gz in {folder}", got="no such file", fix=fix)


def read_idx(path: Path, axes: int) -> npt.NDArray[np.uint8]:
    """Read one IDX file of bytes.

    Args:
        path: The file; gzipped if its name ends in ``.gz``.
        axes: Number of axes that the array must have.

    Returns:
        The array, uint8, with that many axes.

    Raises:
        FeatmixError: If it is no IDX file of this kind, or is truncated.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise FeatmixError(str(path), expected="a readable IDX file", got=str(error), fix="Fetch it again.") from error
    head = 4 + 4 * axes
    if len(data) < head or data[:4] != bytes((0, 0, 8, axes)):
        got = f"a file that begins with the bytes {data[:4].hex(' ') or '(none)'}"
        raise FeatmixError(str(path), expected=f"an IDX file of bytes with {axes} axes", got=got)
    shape = tuple(int(n) for n in np.frombuffer(data[4:head], dtype=">u4"))
    if len(data) - head != int(np.prod(shape)):
        got = f"{len(data) - head} bytes for an array of shape {shape}"
        raise FeatmixError(str(path), expected="as many bytes as the header says", got=got, fix="Fetch it again.")
    return np.frombuffer(data, dtype=np.uint8, offset=head).reshape(shape)
