"""Rows of images and maps with what they are called under or above each: every picture that featmix draws of samples."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.labels.mixture import Mixture
from featmix.support.extras import imported
from featmix.support.fonts import NUMBERED, families_for

_LEAST_SHARE = 0.005
_OUTSIDE = 1 / 3  # with more of its values than this outside [0, 1] an image is taken for a normalized one
_DPI = 110
_LINE = 0.14  # height of a line of captions, in inches
_LETTERS = 14  # of a title in an inch
_BAR = 0.8  # width of a bar of colours, in inches
ACROSS = 10  # images beside each other; more go on below
_BORDERED = 5  # from this size on, the outermost positions of a map, where layers met padding, do not set its colours


@dataclass(frozen=True, eq=False)
class Row:
    """One row of a picture.

    Args:
        title: What all of it is.
        images: ``(C, H, W)`` each, of any sizes; with a ``scale``, maps ``(H, W)``.
        below: What stands under each.
        above: What stands above each.
        scale: Empty for images. Rows of maps that name the same one share their colours, and a bar that explains them.
    """

    title: str
    images: Sequence[Tensor]
    below: Sequence[str] = ()
    above: Sequence[str] = ()
    scale: str = ""


def draw_rows(
    rows: Sequence[Row], *, subject: str, extra: str, title: str = "", cell: tuple[float, float] = (1.5, 1.5), least: int = 2
) -> Any:
    """A picture of rows, one below the other.

    More than ten images go on below, in rows of their own, with the first's bars of colours. Images are shown as they are,
    clipped to [0, 1]; rows of normalized ones are stretched, all by one and the same range.

    Args:
        rows: From top to bottom, with as many images each.
        subject: Who draws, for messages.
        extra: The extra that brings matplotlib, for messages.
        title: Above all of it.
        cell: Width and height of an image, in inches.
        least: The width is that of so many images at least.

    Returns:
        A :class:`matplotlib.figure.Figure`; ``savefig`` writes it, and a notebook shows it.

    Raises:
        FeatmixError: If matplotlib is not installed.
    """
    figures = imported("matplotlib.figure", subject=subject, install=f"featmix[{extra}]")
    columns = min(len(rows[0].images), ACROSS)
    ranges, stretch = _ranges(rows), _stretch(rows)
    families, drawable = families_for([title, *(text for row in rows for text in (*row.below, *row.above))])
    if drawable is not str:
        title = f"{title}\n{NUMBERED}"
    limits = [ranges[row.scale] if row.scale else _range(row, stretch) for row in rows]
    starts = range(0, len(rows[0].images), max(columns, 1))
    shown = [(_part(row, start, columns, drawable), limit) for start in starts for row, limit in zip(rows, limits, strict=True)]
    heights = [cell[1] + _LINE * (_lines(row.above) + _lines(row.below)) for row, _ in shown]
    width = cell[0] * max(columns, least) + _BAR * any(row.scale for row in rows)
    heading = [part for line in title.splitlines() for part in textwrap.wrap(drawable(line), int(_LETTERS * width))]
    figure = figures.Figure(figsize=(width, sum(heights) + _LINE * len(heading)), layout="constrained", dpi=_DPI)
    grid = figure.subplots(len(shown), columns, squeeze=False)
    bars: dict[str, tuple[Any, list[Any]]] = {}
    for number, (axes, (row, limit)) in enumerate(zip(grid, shown, strict=True)):
        axes[0].set_ylabel(row.title, fontsize=8)
        for axis in axes[len(row.images) :]:
            axis.set_axis_off()
        for axis, image in zip(axes, row.images, strict=False):
            drawn = (_draw_map if row.scale else _draw_image)(axis, image, limit)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if row.scale and number < len(rows):
                bars.setdefault(row.scale, (drawn, []))[1].append(axis)
        for put, texts in (("set_xlabel", row.below), ("set_title", row.above)):
            for axis, text in zip(axes, texts, strict=False):
                getattr(axis, put)(text, fontsize=7, family=families)
    for scale, (drawn, axes) in bars.items():
        ends = _ends(rows, scale, ranges[scale])
        figure.colorbar(drawn, ax=axes, label=scale, shrink=0.8, extend=ends).ax.tick_params(labelsize=7)
    if title:
        figure.suptitle("\n".join(heading), fontsize=9, family=families)
    return figure


def as_png(figure: Any) -> bytes:
    """The bytes of a picture, the same each time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def shares_in_words(shares: Tensor, names: Sequence[str]) -> list[str]:
    r"""Return each row of shares in words, shares of one name added up, largest first.

    Args:
        shares: ``(B, N)``, as :meth:`featmix.Mixture.matrix` gives them.
        names: N names.

    Example:
        >>> shares_in_words(torch.tensor([[0.25, 0.5, 0.25], [0.0, 1.0, 0.0]]), ["cat", "dog", "cat"])
        ['0.50 cat\n0.50 dog', 'dog']
    """
    return [_in_words(row, names) for row in shares.tolist()]


def names_of(labels: Any, count: int, classes: Sequence[str] | None, subject: str) -> list[str]:
    """Return a name for each image, for its caption.

    Args:
        labels: One for each image: indices, names, or vectors; ``None`` numbers the images.
        count: How many images there are.
        classes: What indices stand for.
        subject: Who asks, for messages.

    Raises:
        FeatmixError: If there are not as many labels as images, or an index is of no class.

    Example:
        >>> names_of([0, 2], 2, ["a", "b", "c"], "show"), names_of(None, 2, None, "show")
        (['a', 'c'], ['image 0', 'image 1'])
    """
    if labels is None:
        return [f"image {row}" for row in range(count)]
    values = list(labels.tolist() if isinstance(labels, Tensor) else labels)
    if len(values) != count:
        raise FeatmixError(subject, "labels", expected=f"one for each of {count} images", got=len(values))
    if classes is None or not all(isinstance(value, int) for value in values):
        return [_one(value) for value in values]
    for value in values:
        if not 0 <= value < len(classes):
            raise FeatmixError(subject, "labels", expected=f"indices of the {len(classes)} classes", got=value)
    return [str(classes[value]) for value in values]


def as_target(labels: Any) -> Tensor | None:
    """Labels for strategies that look at them, where they are numbers."""
    if isinstance(labels, Tensor) or labels is None:
        return labels
    return torch.tensor(labels) if all(isinstance(label, int | float) for label in labels) else None


def captions(mixture: Mixture, names: Sequence[str]) -> list[str]:
    """Return the label shares of each row, in words."""
    return shares_in_words(mixture.to("cpu").matrix(), names)


def _one(value: Any) -> str:
    if isinstance(value, list):  # a vector: the class that it names most
        return str(max(range(len(value)), key=value.__getitem__)) if value else ""
    return str(value)


def _in_words(shares: Sequence[float], names: Sequence[str]) -> str:
    total: dict[str, float] = {}
    for name, share in zip(names, shares, strict=True):
        total[name] = total.get(name, 0.0) + share
    largest = sorted((item for item in total.items() if item[1] > _LEAST_SHARE), key=lambda item: -item[1])
    if len(largest) == 1:
        return largest[0][0]
    return "\n".join(f"{share:.2f} {name}" for name, share in largest)


def _lines(texts: Sequence[str]) -> int:
    return max((text.count("\n") + 1 for text in texts), default=0)


def _part(row: Row, start: int, columns: int, drawable: Callable[[str], str]) -> Row:
    """Return some of the images of a row, in letters that can be drawn."""
    here = slice(start, start + columns)
    for texts in (row.below, row.above):
        list(zip(row.images, texts, strict=bool(texts)))  # as many as images
    below, above = ([drawable(text) for text in texts[here]] for texts in (row.below, row.above))
    return replace(row, images=row.images[here], below=below, above=above)


def _ranges(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """Return for each scale the least and the greatest finite value in all of its rows, borders of maps left out."""
    found: dict[str, tuple[float, float]] = {}
    for scale in {row.scale for row in rows if row.scale}:
        maps = [image for row in rows if row.scale == scale for image in row.images]
        found[scale] = _extent([image[1:-1, 1:-1] if min(image.shape) >= _BORDERED else image for image in maps])
    return found


def _ends(rows: Sequence[Row], scale: str, limits: tuple[float, float]) -> str:
    """Return at which ends of a bar there are values that its colours do not tell apart."""
    least, greatest = _extent([image for row in rows if row.scale == scale for image in row.images])
    names = {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}
    return names[least < limits[0], greatest > limits[1]]


def _stretch(rows: Sequence[Row]) -> tuple[float, float]:
    """The range of all rows of normalized images together."""
    return _extent([image for row in rows if not row.scale and _is_normalized(row) for image in row.images])


def _range(row: Row, stretch: tuple[float, float]) -> tuple[float, float]:
    return stretch if _is_normalized(row) else (0.0, 1.0)


def _is_normalized(row: Row) -> bool:
    values = torch.cat([image.detach().flatten().float().cpu() for image in row.images])
    return float(((values < 0) | (values > 1)).float().mean()) > _OUTSIDE


def _extent(images: Sequence[Tensor]) -> tuple[float, float]:
    values = torch.cat([torch.zeros(0), *(image.detach().flatten().float().cpu() for image in images)])
    values = values[values.isfinite()]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)


def _draw_map(axis: Any, values: Tensor, scale: tuple[float, float]) -> Any:
    aspect = "auto" if values.shape[0] == 1 < values.shape[1] else "equal"
    return axis.imshow(values.detach().float().cpu().numpy(), cmap="viridis", vmin=scale[0], vmax=scale[1], aspect=aspect)


def _draw_image(axis: Any, image: Tensor, scale: tuple[float, float]) -> Any:
    x = (image.detach().float().cpu() - scale[0]) / max(scale[1] - scale[0], 1e-12)
    x = x.nan_to_num().clamp(0, 1)
    return axis.imshow((x[0] if x.shape[0] in (1, 2) else x[:3].movedim(0, -1)).numpy(), cmap="gray", vmin=0, vmax=1)
