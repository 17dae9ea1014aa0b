"""Grey images rendered as color images in several styles: the domains that the comparison leaves out one at a time.

The four of `DEFAULT_STYLES` were chosen only by training without mixing, with seeds from 100 on: when held out, each leaves
room for improvement, and none causes most of the variance over seeds. White on black, `plain`, is covered by the others and
says little when it is held out; it can be chosen.

The content (which digit, which garment) never changes; only the look does. Every image's random colours come from a
generator of its own, seeded by the style and the image's number, so a rendering depends neither on the run nor on which
other images are rendered beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from featmix.errors import FeatmixError, nearest

Grey = npt.NDArray[np.uint8]
Color = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_DRAWS = 18  # uniform numbers set aside for each image; more than any style uses
_CONTRAST = 0.5  # the least difference in brightness between the two random colors of an image
_GROUND = 0.85  # the brightest that a woven ground becomes
_NOISE = 0.2  # standard deviation
_BRIGHTNESS = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


def render(grey: Grey, style: str, number: npt.NDArray[np.int64]) -> Color:
    """Render grey images in one style.

    Args:
        grey: Images of shape (N, H, W), uint8; 0 is background, 255 full ink.
        style: One of `STYLES`.
        number: The images' numbers in their data set, of shape (N,); they seed the random colors.

    Returns:
        RGB images of shape (N, 3, H, W), uint8.

    Raises:
        FeatmixError: for an unknown style, or arrays of another shape or dtype.

    Example:
        >>> grey = np.zeros((2, 16, 16), dtype=np.uint8)
        >>> render(grey, "inverted", np.arange(2)).min()
        np.uint8(255)
    """
    if style not in _RENDERERS:
        raise FeatmixError("render", "style", expected="a known style", got=repr(style), fix=nearest(style, STYLES))
    if grey.ndim != 3 or grey.dtype != np.uint8 or number.shape != grey.shape[:1]:
        got = f"{grey.dtype} images of shape {grey.shape} with numbers of shape {number.shape}"
        raise FeatmixError("render", "grey", expected="uint8 images (N, H, W) with one number each", got=got)
    ink = np.asarray(grey[:, None], dtype=np.float32) / np.float32(255)
    rgb = _RENDERERS[style](ink, _uniform(STYLES.index(style), number))
    return np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)


def _uniform(salt: int, number: npt.NDArray[np.int64]) -> Floats:
    """Uniform numbers of shape (N, _DRAWS), each row from the image's own generator."""
    rows = [np.random.default_rng((salt, int(n))).random(_DRAWS, dtype=np.float32) for n in number]
    return np.stack(rows) if rows else np.zeros((0, _DRAWS), dtype=np.float32)


def _plain(ink: Floats, draws: Floats) -> Floats:
    """White ink on black."""
    return np.broadcast_to(ink, (ink.shape[0], 3, *ink.shape[2:]))


def _inverted(ink: Floats, draws: Floats) -> Floats:
    """Black ink on white."""
    return np.asarray(1 - _plain(ink, draws), dtype=np.float32)


def _colors(ink: Floats, draws: Floats) -> Floats:
    """A random ink on a random ground, told apart by at least `_CONTRAST` of brightness."""
    ground, paint = draws[:, 0:3].copy(), draws[:, 3:6].copy()
    brightness_gap = (paint - ground) @ _BRIGHTNESS
    lacking = np.clip(_CONTRAST - np.abs(brightness_gap), 0, None)[:, None] / 2
    direction = np.where(brightness_gap < 0, -1, 1)[:, None].astype(np.float32)
    ground, paint = np.clip(ground - direction * lacking, 0, 1), np.clip(paint + direction * lacking, 0, 1)
    return np.asarray(ground[..., None, None] * (1 - ink) + paint[..., None, None] * ink, dtype=np.float32)


def _textured(ink: Floats, draws: Floats) -> Floats:
    """A light random ink on a darker ground, woven from three random colors by two gratings of random direction and width."""
    first = _grating(ink.shape[2:], draws[:, 0:3])
    second = _grating(ink.shape[2:], draws[:, 3:6])
    colors = draws[:, 6:15].reshape(-1, 3, 3, 1, 1)
    weave = first * colors[:, 0] + (1 - first) * (second * colors[:, 1] + (1 - second) * colors[:, 2])
    ground, paint = _GROUND * weave, 0.7 + 0.3 * draws[:, 15:18, None, None]
    return np.asarray(ground * (1 - ink) + paint * ink, dtype=np.float32)


def _noisy(ink: Floats, draws: Floats) -> Floats:
    """Half the contrast under noise of each pixel and channel; light on dark, or dark on light, in half of the images each."""
    noise = [np.random.default_rng(row[:2].view(np.uint32)).standard_normal((3, *ink.shape[2:]), np.float32) for row in draws]
    light = 0.25 + 0.5 * ink + _NOISE * np.reshape(noise, (len(draws), 3, *ink.shape[2:]))
    return np.asarray(np.where(draws[:, 2, None, None, None] < 0.5, 1 - light, light), dtype=np.float32)


def _grating(size: tuple[int, ...], draws: Floats) -> Floats:
    """Stripes between 0 and 1, of shape (N, 1, H, W): two to five waves across the image, in any direction."""
    y, x = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]), indexing="ij")
    angle, waves, phase = np.pi * draws[:, 0], 2 + 3 * draws[:, 1], 2 * np.pi * draws[:, 2]
    across = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
    stripes = np.sin(2 * np.pi * waves[:, None, None] * across + phase[:, None, None])
    return np.asarray(0.5 + 0.5 * stripes[:, None], dtype=np.float32)


_RENDERERS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "plain": _plain,
    "inverted": _inverted,
    "colors": _colors,
    "textured": _textured,
    "noisy": _noisy,
}
STYLES = tuple(_RENDERERS)
DEFAULT_STYLES = ("inverted", "colors", "textured", "noisy")
VERSION = 2  # of the renderings: what was made of others is not comparable


def chosen_styles(text: str) -> tuple[str, ...]:
    """Read the names of styles.

    Args:
        text: Names separated by commas; empty for `DEFAULT_STYLES`.

    Raises:
        FeatmixError: For an unknown style, or one named twice.

    Example:
        >>> chosen_styles("plain,noisy"), len(chosen_styles(""))
        (('plain', 'noisy'), 4)
    """
    names = tuple(part.strip() for part in text.split(",")) if text else DEFAULT_STYLES
    for name in names:
        if name not in STYLES:
            raise FeatmixError("compare", "styles", expected="known styles", got=repr(name), fix=nearest(name, STYLES))
    if len(set(names)) < len(names):
        raise FeatmixError("compare", "styles", expected="each style once", got=repr(text))
    return names
