"""Images to show: the data sets of ``featmix compare``, and files of the user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from featmix.checks import whole
from featmix.compare.data import read
from featmix.errors import FeatmixError
from featmix.sampling.draws import stream
from featmix.support.files import PICTURES, is_picture, read_picture, resized

SIZE = 32  # of images of data sets, whose own are smaller than maps that one can look at
PHOTO_SIZE = 128

_CANDIDATES = 20  # images of each domain that are read for one that is shown


@dataclass(frozen=True, eq=False)
class Samples:
    """A few images with their labels.

    Args:
        images: Each uint8 ``(3, H, W)``.
        labels: Of each.
        classes: What labels stand for.
    """

    images: tuple[Tensor, ...]
    labels: Tensor
    classes: tuple[str, ...]


def from_data(name: str, *, count: int, seed: int, size: int | None = None, root: Path | None = None) -> Samples:
    """Some images of a data set, of all of its domains.

    Args:
        name: One of `featmix.compare.data.DATA_SETS`.
        count: How many.
        seed: Decides which.
        size: Their side in pixels.
        root: Where the files of fashion-mnist are, or those of torchvision.

    Raises:
        FeatmixError: As ``featmix compare`` does, and where there are not so many.

    Example:
        >>> from_data("digits", count=2, seed=0).images[0].shape
        torch.Size([3, 32, 32])
    """
    _check(count, seed, size)
    side = SIZE if size is None else size
    source = read(name, root=root, size=side if ":" in name else None)
    images = source.trial(seed, "", _CANDIDATES * count).train
    rows = _chosen(len(images), count, seed, name)
    pixels = tuple(resized(images.pixels[row], side) for row in rows)
    return Samples(pixels, images.labels[rows], source.classes)


def from_files(paths: Sequence[Path], *, count: int, seed: int, size: int | None = None, as_they_are: bool = False) -> Samples:
    """Some pictures of the user; the name of each is that of its file, or of its folder if there are folders.

    Files of one name are called by their folder too.

    Args:
        paths: Files, and folders of files or of folders of files.
        count: How many; fewer where there are not so many.
        seed: Decides which.
        size: Side in pixels of the squares that they are resized to. Where not given, pictures of one size, and not larger than
            128 pixels, stay as they are.
        as_they_are: Whether pictures of unlike or larger sizes stay as they are too, where no size is given.

    Raises:
        FeatmixError: If there are none, or one cannot be read.
    """
    _check(count, seed, size)
    found = _named([entry for path in paths for entry in _files(path.expanduser())])
    if not found:
        fix = f"Files end in {', '.join(sorted(PICTURES))}."
        raise FeatmixError("show", "images", expected="pictures", got=f"none in {', '.join(map(str, paths)) or '()'}", fix=fix)
    chosen = [found[row] for row in _chosen(len(found), min(count, len(found)), seed, "images")]
    images = [read_picture(path, subject="show", argument="images") for path, _ in chosen]
    fits = len({image.shape for image in images}) == 1 and max(images[0].shape[1:]) <= PHOTO_SIZE
    if size is not None or not (fits or as_they_are):
        images = [resized(image, PHOTO_SIZE if size is None else size) for image in images]
    classes = tuple(sorted({name for _, name in chosen}))
    return Samples(tuple(images), torch.tensor([classes.index(name) for _, name in chosen]), classes)


def _check(count: int, seed: int, size: int | None) -> None:
    whole("show", "count", count, least=1)
    whole("show", "seed", seed)
    if size is not None:
        whole("show", "size", size, least=1)


def _chosen(number: int, count: int, seed: int, name: str) -> Tensor:
    if count > number:
        raise FeatmixError("show", "count", expected=f"at most the {number} images of {name}", got=count)
    order = stream(Generator().manual_seed(seed)).permutation(number)
    return torch.from_numpy(np.sort(order[:count]))


def _named(found: Sequence[tuple[Path, str | None]]) -> list[tuple[Path, str]]:
    """Return pictures with their classes, or with names of their own where they have none: as long as tells them apart."""
    loose = [path for path, name in found if name is None]
    for named in (lambda path: path.stem, lambda path: f"{path.parent.name}/{path.name}", str):
        names = [named(path) for path in loose]
        if len(set(names)) == len(set(loose)):
            break
    own = dict(zip(loose, names, strict=True))
    return [(path, own[path] if name is None else name) for path, name in found]


def _files(path: Path) -> Iterator[tuple[Path, str | None]]:
    """Return pictures, and the class of each where a folder in a folder holds it."""
    if path.is_file():
        yield path, None
        return
    if not path.is_dir():
        raise FeatmixError("show", "images", expected="a picture, or a folder of pictures", got=f"{path}, which does not exist")
    for entry in sorted(path.iterdir()):
        if entry.is_dir() and not entry.name.startswith("."):
            yield from ((file, entry.name) for file in sorted(entry.iterdir()) if is_picture(file))
        elif is_picture(entry):
            yield entry, None
