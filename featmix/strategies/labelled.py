"""The part of a strategy that says what becomes of labels, label maps, boxes and masks."""

from __future__ import annotations

from typing import Any, Generic

from torch import Tensor

from featmix.errors import FeatmixError
from featmix.labels.composing import LabelStep
from featmix.strategies.params import P
from featmix.strategies.pieces import Piece
from featmix.strategies.tags import Tags


class Labelled(Generic[P]):
    """The part of a strategy that says what becomes of labels."""

    tags: Tags
    _who: Any

    def label_step(self, place: str, params: P) -> LabelStep | None:
        """Return what a decision does to labels, for composing it with others; ``None`` where it leaves them alone."""
        if not self.tags.mixes_labels or not params.acts():
            return None
        return LabelStep(
            place, params.mixture, grid=None, spatial=self.tags.spatial, parts=lambda shares: self.parts(shares, params)
        )

    def parts(self, shares: Tensor, params: P) -> list[tuple[Tensor, Tensor]]:
        """Return what each position is made of after this decision: here as much from everywhere, as the labels are.

        Args:
            shares: ``(B, K, C, *positions)``: how much of each of K samples stands at a position; C is 1 unless channels
                differ.
            params: The decision.

        Returns:
            Pairs ``(rows (B,), shares (B, K, C, *positions))``: so much of what was in these rows is now here.
        """
        columns = zip(params.mixture.index.T, params.mixture.weight.T, strict=True)
        return [(rows, shares[rows] * weight.view(-1, *[1] * (shares.ndim - 1))) for rows, weight in columns]

    def dense_targets(self, target_map: Tensor, params: P) -> Tensor:
        """Return label maps for the mixed batch: a position's label comes from where its features came from.

        Args:
            target_map: Class indices ``(B, *positions)`` of an integer dtype, or ``(B, K, *positions)`` of any dtype, of the
                features' resolution or another: boxes and masks are then taken to it by nearest neighbour.
            params: The decision that the features were mixed by.

        Returns:
            A map of the same shape and dtype; the same tensor where the strategy leaves labels alone.

        Raises:
            FeatmixError: If the strategy mixes labels without saying where, or the map does not fit.
        """
        if not self.tags.mixes_labels:
            return target_map
        raise FeatmixError(
            self._who,
            "dense_targets",
            expected="a strategy that says which position comes from where, such as cutmix",
            got="one whose label shares have no place",
            fix="For label maps use spatial strategies, or those that leave labels alone.",
        )

    def pieces(self, params: P) -> list[Piece] | None:
        """Return what each row is put together of, for boxes and masks of instances that go along.

        Args:
            params: The decision.

        Returns:
            ``None`` where the strategy leaves labels alone: what lies on a sample then stays where it is.

        Raises:
            FeatmixError: If the strategy mixes labels without saying what is seen where.
        """
        if not self.tags.mixes_labels:
            return None
        raise FeatmixError(
            self._who,
            "boxes",
            expected="a strategy that says what is seen where, such as cutmix, mosaic or mixup",
            got="one whose label shares have no place",
            fix="For detection use content strategies, or those that leave labels alone.",
        )
