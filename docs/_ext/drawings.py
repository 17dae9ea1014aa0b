"""Drawings of how things work: a step as a time line, and two networks with the names of their sites."""

from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from featmix.pictures import as_png

BLUE, ORANGE, GREEN, GREY = "#56B4E9", "#E69F00", "#009E73", "#DDDDDD"

# What the loop does, from when to when, and what holds the decision meanwhile.
STEPS = [("mixer.draw", "decides", 0.0, 2.0, BLUE), ("model(images)", "mixes", 2.4, 5.4, ORANGE),
         ("mix.loss", "weights the labels", 5.8, 7.8, GREEN), ("loss.backward()", "", 8.2, 10.8, GREY),
         ("optimizer.step()", "", 11.2, 13.1, GREY)]  # fmt: skip
ARMED = [("armed for the next\ntraining forward", 1.6, 2.4, BLUE),
         ("in force: the hooks at\nall sites use it", 2.4, 5.4, ORANGE),
         ("kept by mix, for the loss", 5.4, 8.2, GREEN),
         ("in force again: layers that are\nrecomputed get it (checkpointing)", 8.2, 10.8, ORANGE)]  # fmt: skip

RESNET = ["input", "conv1", "bn1", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc"]
VIT = ["input", "patch_embed", "blocks.0", "blocks.1", "blocks.10", "blocks.11", "norm", "head"]


@dataclass(frozen=True)
class Usual:
    """What often stands at some sites.

    Args:
        first: The first of the sites.
        last: The last one.
        what: The strategies.
    """

    first: str
    last: str
    what: str


USUAL_RESNET = [
    Usual("input", "input", "Mixup, CutMix,\nFMix, ResizeMix"),
    Usual("maxpool", "maxpool", "MoEx"),
    Usual("layer1", "layer2", "MixStyle, EFDMix"),
]
USUAL_VIT = [Usual("input", "input", "Mixup, CutMix"), Usual("blocks.0", "blocks.1", 'MoEx("in"), MixStyle')]


def pages() -> dict[str, bytes]:
    return {"images/step.png": time_line(), "images/sites.png": sites()}


def time_line() -> bytes:
    """A training step from left to right, and below it what holds the decision."""
    figure, axis = _canvas((11, 2.5), (-0.1, 13.2), (-1.15, 1.35))
    for name, does, start, end, color in STEPS:
        _box(axis, start, end, 0.1, 0.95, color)
        axis.text((start + end) / 2, 0.62 if does else 0.52, name, ha="center", va="center", fontsize=10, family="monospace")
        axis.text((start + end) / 2, 0.3, does, ha="center", va="center", fontsize=9)
    for what, start, end, color in ARMED:
        axis.plot([start, end], [-0.35, -0.35], color=color, linewidth=7, solid_capstyle="butt")
        axis.text((start + end) / 2, -0.55, what, ha="center", va="top", fontsize=8)
    axis.text(0, -0.35, "the decision is", ha="left", va="center", fontsize=9)
    axis.annotate("", (13.1, 1.15), (0, 1.15), arrowprops={"arrowstyle": "->", "color": "#888888"})
    axis.text(13.1, 1.18, "time", ha="right", va="bottom", fontsize=8, color="#666666")
    return as_png(figure)


def sites() -> bytes:
    """A ResNet and a ViT: the names of their sites, and what usually stands where."""
    figure, axis = _canvas((11, 3.2), (-1.4, 10.1), (-1.9, 2.1))
    for name, layers, usual, y in (("ResNet\n(torchvision)", RESNET, USUAL_RESNET, 1.0), ("ViT (timm)", VIT, USUAL_VIT, -1.1)):
        axis.text(-1.35, y, name, ha="left", va="center", fontsize=11, fontweight="bold")
        places = {site: number for number, site in enumerate(layers)}
        for site, at in places.items():
            _box(axis, at, at + 0.86, y - 0.3, y + 0.3, BLUE if site == "input" else GREY)
            axis.text(at + 0.43, y, site, ha="center", va="center", fontsize=7.5, family="monospace")
            if at:
                axis.annotate("", (at, y), (at - 0.14, y), arrowprops={"arrowstyle": "-", "color": "#888888"})
        if "blocks.1" in places:
            between = "… and all blocks between …"
            axis.text(places["blocks.10"] - 0.07, y - 0.4, between, ha="center", va="top", fontsize=8)
        for one in usual:
            left, right = places[one.first], places[one.last] + 0.86
            axis.plot([left, right], [y + 0.42, y + 0.42], color=ORANGE, linewidth=3, solid_capstyle="butt")
            axis.text((left + right) / 2, y + 0.52, one.what, ha="center", va="bottom", fontsize=8.5)
    return as_png(figure)


def _canvas(size: tuple[float, float], x: tuple[float, float], y: tuple[float, float]) -> tuple[Figure, Any]:
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    axis = figure.subplots()
    axis.set(xlim=x, ylim=y)
    axis.set_axis_off()
    return figure, axis


def _box(axis: Any, left: float, right: float, bottom: float, top: float, color: str) -> None:
    shape = f"round,pad=0,rounding_size={0.08}"
    axis.add_patch(
        FancyBboxPatch((left, bottom), right - left, top - bottom, boxstyle=shape, facecolor=color, edgecolor="#555555")
    )
