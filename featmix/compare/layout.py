"""The layout of a folder of images: which of its levels are splits, domains and classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from featmix.errors import FeatmixError
from featmix.support.files import is_picture

LAYOUTS = "PATH/class/*.png or PATH/domain/class/*.png, below train/ and test/ if there are such"

TRAIN, TEST, VALIDATION = "train", "test", "val"
_SPLITS = {"train": TRAIN, "training": TRAIN, "test": TEST, "testing": TEST}
_SPLITS |= dict.fromkeys(("val", "valid", "validation"), VALIDATION)
_SHOWN = 3


@dataclass(frozen=True)
class Entry:
    """An image.

    Args:
        path: The file.
        folders: Names of the folders that contain it, below the root.
        split: ``train``, ``test`` or ``val``; empty without splits.
    """

    path: Path
    folders: tuple[str, ...]
    split: str = ""


@dataclass(frozen=True)
class Layout:
    """The content of a folder.

    Args:
        entries: Images, each in the folders ``(domain, class)``.
        notes: What was skipped, and why.
    """

    entries: tuple[Entry, ...]
    notes: tuple[str, ...]


def split_of(name: str) -> str:
    """Return the split that a name means; empty if it means none.

    Example:
        >>> split_of("Train"), split_of("validation"), split_of("photo")
        ('train', 'val', '')
    """
    return _SPLITS.get(name.lower(), "")


def read_layout(root: Path) -> Layout:
    """Read the layout of a folder without opening images.

    Args:
        root: The folder. Names that begin with a dot are skipped.

    Raises:
        FeatmixError: If its layout is unknown or ambiguous.
    """
    found, others, bare = _walked(root)
    notes = []
    loose = [entry for entry in found if not entry.folders]
    entries = [entry for entry in found if entry.folders]
    if not entries:
        got = f"{len(bare)} folders without images" + (f", {len(loose)} images beside them" if loose else "")
        raise FeatmixError(f"folder:{root}", expected=f"images laid out as {LAYOUTS}", got=got)
    entries = _without_splits(root, entries)
    direct, within, tops = _held(entries)
    if direct != tops and direct <= within:  # domains, in some of which images lie beside the class folders
        loose += [entry for entry in entries if len(entry.folders) < 2]
        entries = [entry for entry in entries if len(entry.folders) >= 2]
    loose += [entry for entry in entries if not entry.folders]
    entries = [entry for entry in entries if entry.folders]
    if not entries:
        raise FeatmixError(f"folder:{root}", expected=f"images laid out as {LAYOUTS}", got="images that no class folder holds")
    if loose:
        notes.append(f"{len(loose)} image(s) in no class folder passed over ({_some(loose, root)})")
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(others).most_common(_SHOWN))
        notes.append(f"{len(others)} file(s) passed over, which by their names are no images ({kinds})")
    if bare:
        notes.append(f"{len(bare)} folder(s) without images: {', '.join(bare[:_SHOWN])}{', ...' if len(bare) > _SHOWN else ''}")
    entries, nested = _with_domains(root, entries)
    if nested:
        notes.append(f"{len(nested)} image(s) in folders inside class folders, taken as of the class ({_some(nested, root)})")
    entries, more = _two_splits(entries)
    return Layout(tuple(entries), (*notes, *more))


def _walked(root: Path) -> tuple[list[Entry], list[str], list[str]]:
    """Return images, kinds of other files, and folders at the top without images."""
    found, others, seen = [], [], set()
    for place, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(place).relative_to(root).parts
        for name in sorted(files):
            path = Path(place) / name
            if is_picture(path):
                found.append(Entry(path, below))
            elif not name.startswith("."):
                others.append(path.suffix.lower() or "without suffix")
    tops = {entry.folders[0] for entry in found if entry.folders}
    bare = [path.name for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    return found, others, [name for name in bare if name not in tops]


def _without_splits(root: Path, entries: Sequence[Entry]) -> list[Entry]:
    """Remove the level of ``train`` and ``test``, either above the domains or in each of them."""
    for level in (0, 1):
        names = {entry.folders[level] for entry in entries if len(entry.folders) > level}
        splits = {name for name in names if split_of(name)}
        if splits and splits == names and all(len(entry.folders) > level for entry in entries):
            return [
                replace(entry, folders=entry.folders[:level] + entry.folders[level + 1 :], split=split_of(entry.folders[level]))
                for entry in entries
            ]
        if level == 0 and len(splits) > 1:
            other = min(names - splits)
            got = f"splits ({', '.join(sorted(splits))}) beside {other}/, which is none"
            raise FeatmixError(f"folder:{root}", expected=f"one layout, {LAYOUTS}", got=got)
    return list(entries)


def _held(entries: Sequence[Entry]) -> tuple[set[str], set[str], set[str]]:
    """Return folders at the top that contain images, those with subfolders that do, and all of them."""
    direct = {entry.folders[0] for entry in entries if len(entry.folders) == 1}
    within = {entry.folders[0] for entry in entries if len(entry.folders) > 1}
    return direct, within, direct | within


def _with_domains(root: Path, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Give each image its domain and class; the second list is those in folders inside class folders."""
    direct, _, tops = _held(entries)
    if direct and direct != tops:
        got = f"images in {min(direct)}/ but none in {min(tops - direct)}/, only in folders of it"
        raise FeatmixError(f"folder:{root}", expected=f"one layout, {LAYOUTS}", got=got)
    depth = 1 if direct else 2
    nested = [entry for entry in entries if len(entry.folders) > depth]
    domain = () if depth == 2 else (root.name,)
    return [replace(entry, folders=(*domain, *entry.folders[:depth])) for entry in entries], nested


def _two_splits(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """Keep one test split: ``test``, or ``val`` if there is none."""
    splits = Counter(entry.split for entry in entries if entry.split)
    if TEST in splits and VALIDATION in splits:
        kept = [entry for entry in entries if entry.split != VALIDATION]
        return kept, [f"{splits[VALIDATION]} validation image(s) not used: there are test images"]
    return list(entries), []


def _some(entries: Sequence[Entry], root: Path) -> str:
    names = [str(entry.path.relative_to(root)) for entry in entries[:_SHOWN]]
    return ", ".join(names) + (", ..." if len(entries) > _SHOWN else "")
