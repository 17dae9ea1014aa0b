"""Converts images and masks of every kind to arrays and tensors that keep their channels and range.

============  ==========  ========================================================================
mode          in a batch  how
============  ==========  ========================================================================
1             1 channel   0 and 1
L             1 channel   bytes / 255
LA            2 channels  bytes / 255
P, PA         3, or 4     the colours of its palette, with alpha where it has any: bytes / 255
RGB, RGBX     3 channels  bytes / 255
RGBA, CMYK    4 channels  bytes / 255
YCbCr, HSV    3 channels  bytes / 255, not converted; LAB too
I;16          1 channel   16 bits / 65535
I             refused     32 bits of unknown range: convert in ``sample=``
F             1 channel   as it is
============  ==========  ========================================================================
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.errors import FeatmixError

MOST_CHANNELS = 4  # that an array can have without doubt
_AS_THEY_ARE = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "I;16", "I;16L", "I;16B", "I;16N", "F")
_CONVERTED = {"1": "L", "RGBX": "RGB"}  # the fourth byte of RGBX is no channel


def is_pil(value: Any) -> bool:
    """Return whether a value is a PIL image."""
    return _is_pil(type(value))  # type: ignore[arg-type] # classes can be hashed


@cache
def _is_pil(kind: type) -> bool:
    return any(cls.__module__.startswith("PIL.") and cls.__name__ == "Image" for cls in kind.__mro__)


def is_map(value: Any) -> bool:
    """Return whether a value has a height and a width."""
    return is_pil(value) or (isinstance(value, np.ndarray | Tensor) and value.ndim in (2, 3))


def is_image(value: Any) -> bool:
    """Return whether a value can be an image: a tensor needs a channel axis."""
    return is_map(value) and not (isinstance(value, Tensor) and value.ndim == 2)


def size_of(value: Any) -> tuple[int, int]:
    """Return height and width."""
    if is_pil(value):
        return value.height, value.width
    axes = value.shape[-2:] if isinstance(value, Tensor) else value.shape[:2]
    return int(axes[0]), int(axes[1])


def check_axes(image: Any) -> None:
    """Refuse an image whose channels seem to be on the wrong axis: arrays are ``(H, W, C)``, tensors ``(C, H, W)``.

    Raises:
        FeatmixError: If an array has more than four channels, or a tensor more than four and at most four columns.
    """
    if is_pil(image) or image.ndim != 3:
        return
    first, last = image.shape[0], image.shape[-1]
    if isinstance(image, np.ndarray) and last > MOST_CHANNELS:
        raise FeatmixError(
            "Pipeline",
            "item",
            expected=f"an array (H, W, C) with up to {MOST_CHANNELS} channels",
            got=f"shape {tuple(image.shape)}",
            fix="Tensors are (C, H, W) with any number of channels: torch.from_numpy(image) if channels come first, "
            "torch.from_numpy(image).movedim(-1, 0) if they come last.",
        )
    if isinstance(image, Tensor) and last <= MOST_CHANNELS < first:
        fix = "Channels come first in tensors: image.movedim(-1, 0)."
        raise FeatmixError("Pipeline", "item", expected="a tensor (C, H, W)", got=f"shape {tuple(image.shape)}", fix=fix)


def as_array(value: Any, *, image: bool) -> NDArray[Any]:
    """Convert an image or mask to an array with channels last. PIL images keep their channels; palettes become colours.

    Args:
        value: A PIL image, an array or a tensor.
        image: Whether it is an image; a mask with a palette keeps its indices.

    Raises:
        FeatmixError: If it is a PIL image of an unknown mode.
    """
    if isinstance(value, Tensor):
        array = value.detach().cpu().numpy()
        return np.ascontiguousarray(np.moveaxis(array, 0, -1)) if array.ndim == 3 else array
    array = value if isinstance(value, np.ndarray) else np.array(_with_channels(value) if image else value)
    return array.astype(array.dtype.newbyteorder("="), copy=False)  # torch knows no other order of bytes


def as_float_image(value: Any) -> Tensor:
    """Convert an image to a tensor ``(C, H, W)``: bytes and 16 bits become float32 in [0, 1], tensors of floats stay.

    Raises:
        FeatmixError: If it has integers of unknown range.
    """
    if isinstance(value, Tensor) and value.is_floating_point():
        return value
    x = value if isinstance(value, Tensor) else _channels_first(as_array(value, image=True))
    if x.dtype == torch.uint8:
        return x.float() / 255
    if x.dtype == torch.uint16:
        return x.float() / 65535
    if x.dtype == torch.bool or x.is_floating_point():
        return x.float()
    fix = "Say in sample= what they mean, for example lambda image: np.float32(image) / 4095."
    raise FeatmixError("Pipeline.collate", "image", expected="bytes, 16 bits or floats", got=str(x.dtype), fix=fix)


def as_mask(value: Any) -> Tensor:
    """Convert a mask to a tensor ``(H, W)`` or ``(K, H, W)``: integers become int64, as class indices for losses."""
    x = value if isinstance(value, Tensor) else _channels_first(as_array(value, image=False), keep_flat=True)
    if x.dtype == torch.bool or x.is_floating_point():
        return x.float() if x.dtype == torch.float64 else x
    return x.long()


def like_given(value: Any, given: Any) -> Any:
    """Return a transformed image or mask as a tensor if the original was one, so that its channel axis is known."""
    if isinstance(given, Tensor) and isinstance(value, np.ndarray):
        return _channels_first(value, keep_flat=given.ndim == 2)
    return value


def _with_channels(picture: Any) -> Any:
    """Convert a PIL image, without loss, to a mode whose values are its channels."""
    mode = picture.mode
    if mode in _AS_THEY_ARE:
        return picture
    if mode in _CONVERTED:
        return picture.convert(_CONVERTED[mode])
    if mode in ("P", "PA"):
        palette = getattr(picture.palette, "mode", "RGB")
        return picture.convert("RGBA" if mode == "PA" or "transparency" in picture.info or palette == "RGBA" else "RGB")
    fix = "Convert it in the data set, for example image.convert('RGBA')."
    raise FeatmixError("Pipeline", "item", expected="a PIL image of one of the usual modes", got=repr(mode), fix=fix)


def _channels_first(array: NDArray[Any], *, keep_flat: bool = False) -> Tensor:
    x = torch.from_numpy(np.ascontiguousarray(array))
    if x.ndim == 3:
        return x.movedim(-1, 0).contiguous()
    return x if keep_flat else x.unsqueeze(0)
