"""A user's own images: `PATH/class/*.png`, or `PATH/domain/class/*.png` as PACS is laid out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featmix.compare.sources import PhotoSource
from featmix.errors import FeatmixError
from featmix.support.files import is_picture, read_picture, resized

_LAYOUT = "PATH/class/*.png or PATH/domain/class/*.png"
_SHOWN = 5  # how many corrupt files a message names


@dataclass(frozen=True)
class _File:
    domain: str
    label: str
    path: Path


def read_folder(root: Path, size: int) -> PhotoSource:
    """Read a folder of images and resize them to a square.

    Args:
        root: Holds class folders, or domain folders that hold class folders. Names that begin with a dot are passed over.
        size: Side of the square, in pixels.

    Raises:
        FeatmixError: where the folder is laid out otherwise, a class is too small to split, or images are corrupt.
    """
    if not root.is_dir():
        raise FeatmixError("folder", "path", expected=f"a folder laid out as {_LAYOUT}", got=f"{root}, which is no folder")
    files = _list(root)
    domains = tuple(sorted({file.domain for file in files}))
    classes = tuple(sorted({file.label for file in files}))
    _check_counts(root, files, classes)
    _check_names([*domains, *classes])
    return PhotoSource(
        name=f"folder:{root}",
        classes=classes,
        domains=domains,
        labels=np.array([classes.index(file.label) for file in files], dtype=np.int64),
        fingerprint=_fingerprint(root, files),
        pixels=_decode(files, size),
        domain_labels=np.array([domains.index(file.domain) for file in files], dtype=np.int64),
    )


def _list(root: Path) -> list[_File]:
    folders = list(_folders(root))
    with_images = [folder for folder in folders if any(_images(folder))]
    if folders and len(with_images) == len(folders):
        return [_File(root.name, folder.name, path) for folder in folders for path in _images(folder)]
    if with_images:
        without = next(folder for folder in folders if folder not in with_images)
        got = f"images in {with_images[0].name}/ but none in {without.name}/"
        raise FeatmixError(f"folder:{root}", expected=f"one layout, {_LAYOUT}", got=got)
    files = [_File(d.name, c.name, path) for d in folders for c in _folders(d) for path in _images(c)]
    if not files:
        got = f"{len(folders)} folders without images"
        raise FeatmixError(f"folder:{root}", expected=f"images laid out as {_LAYOUT}", got=got)
    return files


def _folders(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith("."))


def _images(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if is_picture(path))


def _check_counts(root: Path, files: list[_File], classes: tuple[str, ...]) -> None:
    if len(classes) < 2:
        raise FeatmixError(f"folder:{root}", expected="at least 2 classes", got=f"only {', '.join(classes)}")
    (domain, label), fewest = min(Counter((f.domain, f.label) for f in files).items(), key=lambda item: item[1])
    if fewest < 2:
        got = f"{fewest} in class {label!r} of {domain!r}"
        fix = "Some are trained on and some tested on: add images, or remove the class folder."
        raise FeatmixError(f"folder:{root}", expected="at least 2 images per class and domain", got=got, fix=fix)


def _check_names(names: list[str]) -> None:
    for name in names:
        if len(name.splitlines()) > 1 or any("\ud800" <= c <= "\udfff" for c in name):  # a row of results is one line, in UTF-8
            raise FeatmixError("folder", "path", expected="folders with names of one line, in UTF-8", got=repr(name))


def _fingerprint(root: Path, files: list[_File]) -> str:
    lines = (f"{file.path.relative_to(root).as_posix()} {file.path.stat().st_size}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _decode(files: list[_File], size: int) -> npt.NDArray[np.uint8]:
    pixels = np.zeros((len(files), 3, size, size), dtype=np.uint8)
    corrupt: list[str] = []
    for number, file in enumerate(files):
        try:
            pixels[number] = resized(read_picture(file.path, subject="folder", argument="images"), size).numpy()
        except FeatmixError as error:
            if not error.argument:  # it is not the picture's fault
                raise
            corrupt.append(str(error.got))
    if corrupt:
        more = f" and {len(corrupt) - _SHOWN} more" if len(corrupt) > _SHOWN else ""
        got = f"{len(corrupt)} that cannot be read: {'; '.join(corrupt[:_SHOWN])}{more}"
        raise FeatmixError("folder", expected="images that can be read", got=got, fix="Replace or remove them.")
    return pixels
