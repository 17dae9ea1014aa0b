"""Tags: facts about a strategy that are known without running it."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Tags:
    """Facts about a strategy that the rest of featmix knows without running it.

    Args:
        mixes_labels: Whether the labels change with the features.
        moments: Which moments it changes; empty for strategies that do not look at moments.
        default_site: Where it usually stands: ``input``, ``hidden`` for an early hidden layer, or ``one of several`` for one of
            the input and the first stages in each step.
        spatial: Needs positions that form a grid, and decides for one resolution.
        needs_float: Computes with values, so that integers are refused.
        stops_gradient: Its published form treats the statistics as constants.
        batch_coupled: A row depends on more of the batch than its partner.
        masks: Takes padding masks.
        partnered: Rows take from a partner; if False, no partners are drawn.
        labels_by_decree: Its label shares are not the shares of content in the features, for example those of a spherical
            interpolation.
        channels: The number of channels that it takes; ``None`` for any.
        shapes: The shapes of a sample, without the batch, that it takes; empty for any.
        classes: The number of classes that it takes; ``None`` for any.
        needs_target: Decides by labels: ``make_params`` needs ``target=``.
        dtypes: The dtypes of features that it takes; empty for all floating ones.
        paper: Citation.
        url: Where to read it.
    """

    mixes_labels: bool
    paper: str
    url: str = ""
    moments: str = ""
    default_site: str = "input"
    spatial: bool = False
    needs_float: bool = True
    stops_gradient: bool = False
    batch_coupled: bool = False
    masks: bool = True
    partnered: bool = True
    labels_by_decree: bool = False
    channels: int | None = None
    shapes: tuple[tuple[int, ...], ...] = ()
    classes: int | None = None
    needs_target: bool = False
    dtypes: tuple[torch.dtype, ...] = ()

    @property
    def where(self) -> str:
        """In which places it works."""
        return "input, hidden" + (" (grids)" if self.spatial else "")
