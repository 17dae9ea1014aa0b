"""Configurations in files: read with a limit, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from featmix.configuration.place import Place
from featmix.configuration.plain import MOST_BYTES
from featmix.errors import FeatmixError


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file of bearable size.

    Raises:
        FeatmixError: If it cannot be read, is too large, or is not in UTF-8.
    """
    place = Place(str(path))
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise place.refuse("a file that can be read", error.strerror or type(error).__name__) from error
    if len(data) > MOST_BYTES:
        raise place.refuse(f"a file of at most {MOST_BYTES // 1024} KiB", "a larger one")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise place.refuse("a file in UTF-8", f"{error.reason} at byte {error.start}") from error


def replace_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole file: whatever goes wrong, there is either the old one or the new one, and nothing else.

    Raises:
        FeatmixError: If it cannot be written.
    """
    target, data = Path(path), text.encode("utf-8")
    if len(data) > MOST_BYTES:
        raise FeatmixError(str(path), expected=f"a configuration of at most {MOST_BYTES // 1024} KiB", got=f"{len(data)} bytes")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise FeatmixError(str(path), expected="a file that can be written", got=error.strerror or "none") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        raise FeatmixError(str(path), expected="a file that can be written", got=error.strerror or "none") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
