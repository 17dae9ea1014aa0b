"""Detection targets of one step, changed by its decisions as the images are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from featmix.errors import FeatmixError
from featmix.mixer.tree import INPUT, At
from featmix.pipeline.detection import Detections
from featmix.pipeline.names import Name
from featmix.pipeline.parts import Part, parts_after
from featmix.strategies.params import Params

MIN_VISIBLE = 0.1


@dataclass(frozen=True)
class Following:
    """How detection targets follow the images.

    Args:
        least: Boxes are dropped if a smaller share of them is visible.
        stay: Entries that do not move, even if they look like boxes, keypoints or masks.
        forms: Formats of boxes, by their names in the ``sample`` part.
    """

    least: float = MIN_VISIBLE
    stay: tuple[Name, ...] = ()
    forms: Mapping[str, str] = field(default_factory=dict)

    def of(self, target: Any, images: Tensor, leaves: Sequence[At], mask: Any = None) -> Followed:
        """Read the targets of a batch, before a decision.

        Args:
            target: A list of dictionaries, or a dictionary of lists.
            images: ``(B, C, H, W)``.
            leaves: The strategies of the tree, in the order in which they act.
            mask: Padding mask, which must be ``None``.

        Raises:
            FeatmixError: If they are no detection targets, or if an entry or a strategy does not allow boxes to follow.
        """
        if images.ndim != 4:
            expected, got = "images (B, C, H, W), for boxes", f"shape {tuple(images.shape)}"
            raise FeatmixError("Mixer.draw", "images", expected=expected, got=got)
        if mask is not None:
            fix = "Boxes know of no padding: crop or resize in sample=."
            raise FeatmixError("Mixer.draw", "mask", expected="None, beside boxes", got="a mask", fix=fix)
        for leaf in leaves:
            _check_can_follow(leaf, tuple(images.shape))
        size = (int(images.shape[2]), int(images.shape[3]))
        return Followed(Detections.of(target, len(images), size, self.stay, self.forms), tuple(leaves), size, self.least)


class Followed:
    """Targets of one batch, and after a decision those of the mixed images.

    Args:
        given: The original targets.
        leaves: The strategies, in the order in which they act.
        size: Height and width of the images.
        least: Boxes are dropped if a smaller share of them is visible.

    Attributes:
        targets: Targets for the detector after a decision; ``None`` before.
    """

    def __init__(self, given: Detections, leaves: tuple[At, ...], size: tuple[int, int], least: float) -> None:
        self.given, self._leaves, self._size, self._least = given, leaves, size, least
        self.targets: Any = None

    def stay(self) -> None:
        """Set the targets of a step in which nothing is mixed."""
        self._after([[Part(row)] for row in range(len(self.given.targets))])

    def go(self, decisions: Sequence[Params]) -> None:
        """Set the targets after decisions on the host, one for each strategy."""
        steps = []
        for leaf, params in zip(self._leaves, decisions, strict=True):
            pieces = leaf.strategy.pieces(params)  # asked each time, so that a refusal does not wait for a draw that mixes
            if pieces is not None and params.acts():
                steps.append((pieces, params.mixture.scale))
        self._after(parts_after(len(self.given.targets), steps))

    def _after(self, parts: Sequence[Sequence[Part]]) -> None:
        self.targets = self.given.after(parts, self._size, self._least)


def _check_can_follow(leaf: At, shape: tuple[int, ...]) -> None:
    """Refuse strategies for which the visible part of a box is unknown: they mix labels in hidden layers, or from memory."""
    strategy = leaf.strategy
    if strategy.tags.mixes_labels and leaf.site != INPUT:
        expected = "strategies that mix labels at the input, beside boxes"
        raise FeatmixError("Mixer.draw", "target", expected=expected, got=f"{type(strategy).__name__} at {leaf.place!r}")
    if strategy.tags.mixes_labels and strategy.remembers:
        expected, got = "a strategy within one batch, beside boxes", f"{type(strategy).__name__} with memory="
        raise FeatmixError("Mixer.draw", "target", expected=expected, got=got, fix="What is remembered has no boxes.")
    if leaf.site == INPUT and strategy.tags.mixes_labels:
        lay = strategy.layout_of(shape)
        if lay.letters(lay.positions) != "hw" or lay.channel != 1:
            expected, got = "a strategy that reads images as 'bchw', beside boxes", f"layout {lay.name!r}"
            raise FeatmixError("Mixer.draw", "target", expected=expected, got=got)
