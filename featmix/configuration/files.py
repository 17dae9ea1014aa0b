"""Configuration files: read with a limit of size, written completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from featmix.configuration.place import Place
from featmix.configuration.plain import MOST_BYTES
from featmix.errors import FeatmixError
from featmix.support.files import write

_OF_TORCH = (".bin", ".ckpt", ".pt", ".pth", ".safetensors")


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a file of limited size.

    Raises:
        FeatmixError: If it cannot be read, is too large, or is not in UTF-8.
    """
    place = Place(str(path))
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise place.refuse("a file that can be read", error.strerror or type(error).__name__) from error
    except (TypeError, ValueError) as error:  # no path at all; a character that no path can have
        raise place.refuse("the path of a file", str(error)) from error
    if len(data) > MOST_BYTES:
        raise place.refuse(f"a file of at most {MOST_BYTES // 1024} KiB", "a larger one")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        fix = "A checkpoint is read by torch.load." if Path(path).suffix.lower() in _OF_TORCH else ""
        raise place.refuse("a file in UTF-8", f"{error.reason} at byte {error.start}", fix) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a configuration of limited size in one step; see :func:`featmix.support.files.write`.

    Raises:
        FeatmixError: If it is too large, or cannot be written.
    """
    size = len(text.encode())
    if size > MOST_BYTES:
        raise FeatmixError(str(path), expected=f"a configuration of at most {MOST_BYTES // 1024} KiB", got=f"{size} bytes")
    try:
        write(path, text)
    except OSError as error:
        raise FeatmixError(str(path), expected="a file that can be written", got=error.strerror or "none") from error
    except (TypeError, ValueError) as error:
        raise FeatmixError(str(path), expected="the path of a file", got=str(error)) from error
