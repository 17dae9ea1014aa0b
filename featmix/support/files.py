"""Files: written completely or not at all; and reading pictures."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.support.extras import imported

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})


def write(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a whole file: after any error there is either the old file or the new one.

    Args:
        path: Where to; its folder must exist.
        content: Text is written in UTF-8.

    Raises:
        OSError: If it cannot be written.
    """
    target = Path(path)
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}"
    try:
        with temporary.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o777)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def is_picture(path: Path) -> bool:
    """Return whether a path is a file whose name is that of a picture and does not begin with a dot."""
    return path.suffix.lower() in PICTURES and not path.name.startswith(".") and path.is_file()


def read_picture(path: Path, *, subject: str, argument: str) -> Tensor:
    """Return the pixels of a picture, uint8 ``(3, H, W)``, upright as its camera says.

    Args:
        path: The file.
        subject: Who reads it, for the message.
        argument: Which argument named it, for the message.

    Raises:
        FeatmixError: If it cannot be read, or Pillow is not installed.
    """
    pil, ops = _pillow("Image"), _pillow("ImageOps")
    try:
        with pil.open(path) as opened:
            return _pixels(ops.exif_transpose(opened).convert("RGB"))
    except (OSError, SyntaxError, ValueError, pil.DecompressionBombError) as error:
        raise FeatmixError(subject, argument, expected="pictures that can be read", got=f"{path} ({error})") from error


def resized(image: Tensor, size: int) -> Tensor:
    """Return an image, uint8 ``(3, H, W)`` or ``(H, W)``, as a square of ``size`` pixels, interpolated bilinearly."""
    if image.shape[-2:] == (size, size):
        return image
    pil = _pillow("Image")
    picture = pil.fromarray((image if image.ndim == 2 else image.movedim(0, -1)).contiguous().numpy())
    return _pixels(picture.resize((size, size), pil.Resampling.BILINEAR))


def _pixels(picture: Any) -> Tensor:
    values = torch.from_numpy(np.array(picture))
    return values if values.ndim == 2 else values.movedim(-1, 0).contiguous()


def _pillow(module: str) -> Any:
    return imported(f"PIL.{module}", subject="pictures", install="featmix[compare]")
