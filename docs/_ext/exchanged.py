"""The picture of moment exchange: features taken apart, moments swapped, and the labels that follow."""

from typing import Any

import torch
from front import photographs
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from stem import features, telling_channel

import featmix as fm
from featmix.pictures import as_png

COLUMNS = ["image", "features,\none channel", "normalized", "mean over\nchannels", "deviation over\nchannels", "after MoEx"]
SWAPPED = (3, 4)
COLORS = ("#0072B2", "#E69F00")  # Okabe and Ito's, for the two labels


def pages() -> dict[str, bytes]:
    return {"images/moment-exchange.png": picture()}


def picture() -> bytes:
    """Two photographs as a batch, through the stem of a trained network and through MoEx."""
    images, names = photographs()
    images, names = images[:2], names[:2]
    x = features(images)
    moex = fm.MoEx("pono", lam=0.9)
    params = moex.make_params(x.shape, partner=torch.tensor([1, 0]))
    normalized, moments = moex.normalizer.normalize(x)
    channel = telling_channel(x)
    after = moex.transform(x, params)
    maps = [x[:, channel], normalized[:, channel], moments.mean[:, 0], moments.std[:, 0], after[:, channel]]
    figure = Figure(figsize=(11, 4.6), layout="constrained", dpi=110)
    grid = figure.subplots(3, len(COLUMNS), height_ratios=[1, 1, 0.12])
    for row in range(2):
        grid[row, 0].imshow(images[row].clamp(0, 1).movedim(0, -1).numpy())
        grid[row, 0].set_ylabel(names[row], fontsize=11)
        for axis, values in zip(grid[row, 1:], maps, strict=True):
            axis.imshow(values[row].numpy(), cmap="viridis", vmin=float(values.min()), vmax=float(values.quantile(0.995)))
    for axis, title in zip(grid[0], COLUMNS, strict=True):
        axis.set_title(title, fontsize=10)
    for axis in grid.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for column in SWAPPED:
        _swap(figure, grid[0, column], grid[1, column])
    for axis in grid[2, :-1]:
        axis.set_axis_off()
    _labels(grid[2, -1], params.mixture.matrix()[0].tolist(), names)
    return as_png(figure)


def _swap(figure: Figure, upper: Any, lower: Any) -> None:
    """Two arrows between the panels, down and up."""
    for start, end, at in ((upper, lower, 0.35), (lower, upper, 0.65)):
        y = (0.14, 0.86) if start is upper else (0.86, 0.14)
        coordinates = ("axes fraction", "axes fraction")
        style = {"arrowstyle": "-|>", "mutation_scale": 18, "linewidth": 2.5, "color": "#D55E00"}
        figure.add_artist(ConnectionPatch((at, y[0]), (at, y[1]), *coordinates, axesA=start, axesB=end, **style))


def _labels(axis: Any, shares: list[float], names: list[str]) -> None:
    """A bar with the label of the first row."""
    left = 0.0
    for share, name, color in zip(shares, names, COLORS, strict=True):
        axis.barh(0, share, left=left, color=color)
        axis.text(left + share / 2, -0.55, f"{share:.1f} {name}", ha="center", va="top", fontsize=8)
        left += share
    axis.set(xlim=(0, 1), ylim=(-0.5, 0.5))
    axis.set_title("label of the first row", fontsize=8)
