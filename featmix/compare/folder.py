"""Reads a user's own images from a folder, in one of the layouts of `featmix.compare.layout`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from featmix.compare.layout import LAYOUTS, TEST, VALIDATION, Entry, read_layout
from featmix.compare.photos import Photos, check_names, check_room
from featmix.compare.sources import Bytes, PhotoSource
from featmix.errors import FeatmixError
from featmix.support.files import read_picture, resized

_SHOWN = 5  # how many files that cannot be read a note names


def read_folder(root: Path, size: int) -> PhotoSource:
    """Read a folder of images and resize them to a square.

    Args:
        root: Contains class folders, or domain folders with class folders; ``train/``, ``test/`` and ``val/`` are splits.
        size: Side of the square, in pixels.

    Returns:
        A source; its notes list what was skipped.

    Raises:
        FeatmixError: If the folder has another layout, a class is too small to split, or no image can be read.
    """
    if not root.is_dir():
        raise FeatmixError("folder", "path", expected=f"a folder laid out as {LAYOUTS}", got=f"{root}, which is no folder")
    layout = read_layout(root)
    check_names([name for entry in layout.entries for name in entry.folders])
    check_room(f"folder:{root}", len(layout.entries), size, size)
    entries, pixels, digest, unreadable = _decoded(root, layout.entries, size)
    domains, classes = (tuple(sorted({entry.folders[level] for entry in entries})) for level in (0, 1))
    test = np.array([entry.split in (TEST, VALIDATION) for entry in entries])
    return Photos(
        name=f"folder:{root}",
        pixels=pixels,
        labels=np.array([classes.index(entry.folders[1]) for entry in entries], dtype=np.int64),
        domain_labels=np.array([domains.index(entry.folders[0]) for entry in entries], dtype=np.int64),
        classes=classes,
        domains=domains,
        test=test if test.any() else None,
        notes=(*layout.notes, *unreadable),
    ).source(digest)


def _decoded(root: Path, entries: Sequence[Entry], size: int) -> tuple[list[Entry], Bytes, str, list[str]]:
    """Return the images that can be read, their pixels, a fingerprint of the files, and the files that could not be read."""
    pixels = np.zeros((len(entries), 3, size, size), dtype=np.uint8)
    digest = hashlib.sha256()
    read: list[Entry] = []
    broken: list[str] = []
    for entry in entries:
        try:
            pixels[len(read)] = resized(read_picture(entry.path, subject="folder", argument="images"), size).numpy()
        except FeatmixError as error:
            if not error.argument:  # it is not the picture's fault
                raise
            broken.append(str(error.got).removeprefix(f"{root}/"))
            continue
        digest.update(f"{entry.path.relative_to(root).as_posix()} {entry.split}\n".encode(errors="surrogateescape"))
        digest.update(hashlib.sha256(entry.path.read_bytes()).digest())
        read.append(entry)
    more = f"; and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
    told = f"{len(broken)} image(s) that cannot be read left out: {'; '.join(broken[:_SHOWN])}{more}" if broken else ""
    if not read:
        raise FeatmixError("folder", expected="images that can be read", got=told)
    return read, pixels[: len(read)], digest.hexdigest()[:16], [told] if told else []
