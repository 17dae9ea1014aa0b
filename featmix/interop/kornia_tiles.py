"""kornia's mixers with several partners for each sample, as strategies. Made by :func:`featmix.interop.kornia.from_kornia`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.interop.kornia_mixers import corners, drawn, take
from featmix.labels.composing import LabelStep
from featmix.labels.mixture import Mixture
from featmix.sampling.words import Partner, Per
from featmix.strategies.base import Strategy
from featmix.strategies.params import Draw, Params, decided_sizes
from featmix.strategies.tags import Tags


@dataclass(frozen=True, eq=False)
class TileParams(Params):
    """A decision that says which sample, line and column each position comes from.

    Args:
        partner: ``(B,)`` the first of the other samples.
        active: See :class:`~featmix.strategies.params.Params`.
        lam: ``(B,)`` the share of positions that are the sample's own.
        mixture: With the shares of all samples that are in a row.
        rows: ``(B, H, W)`` int64, which sample a position is from.
        down: ``(B, H)`` int64, which line of it.
        across: ``(B, W)`` int64, which column of it.
        sizes: ``(H, W)``.
    """

    rows: Tensor
    down: Tensor
    across: Tensor
    sizes: tuple[int, ...]


class KorniaTiles(Strategy[TileParams]):
    """Base of the mixers that compose a result from several samples; label shares are shares of positions.

    Args:
        mixer: Of kornia's.
        p: Probability that a batch (or a row) is mixed.
        per: Whether ``p`` gates the whole ``batch`` or each ``sample``.
        partner: ``permutation``: kornia draws who is in whom.
        num_classes: For class indices in ``strategy(x, target)``.

    Raises:
        FeatmixError: If partners are to be chosen in another way.
    """

    tags = Tags(mixes_labels=True, paper="", spatial=True, needs_float=False, batch_coupled=True, masks=False)

    def __init__(self, mixer: Any, *, p: float, per: Per, partner: Partner, num_classes: int | None) -> None:
        super().__init__(p=p, per=per, partner=partner, layout="bchw", num_classes=num_classes)
        if partner != "permutation":
            raise FeatmixError(
                self._who,
                "partner",
                expected="'permutation'",
                got=repr(partner),
                fix="With several partners a sample kornia draws who is in whom.",
            )
        take(self, mixer)

    mixer: Any

    def lay_out(self, found: dict[str, Tensor], partner: Tensor, sizes: tuple[int, int]) -> tuple[Tensor, ...]:
        """Make of what kornia drew: the samples in each row ``(B, K)``, and ``which`` of them, ``down`` and ``across``."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it lays out its tiles")

    def decide(self, shape: Sequence[int], draw: Draw) -> TileParams:
        """Take the places from kornia, and count the shares."""
        batch, sizes = len(draw), (int(shape[2]), int(shape[3]))
        own, partner, active = torch.arange(batch), torch.from_numpy(draw.partner), torch.from_numpy(draw.active)
        down, across = torch.arange(sizes[0]).expand(batch, -1), torch.arange(sizes[1]).expand(batch, -1)
        candidates, which = own.unsqueeze(1), torch.zeros(batch, *sizes, dtype=torch.int64)
        if draw.active.any():
            candidates, laid, lines, columns = self.lay_out(drawn(self, shape, draw.random), partner, sizes)
            rows = active.view(-1, 1)
            which = torch.where(rows.unsqueeze(2), laid, which)
            down, across = torch.where(rows, lines, down), torch.where(rows, columns, across)
        count = torch.arange(candidates.shape[1])
        share = (which.flatten(1).unsqueeze(2) == count).double().mean(1).float()
        rows = candidates.gather(1, which.flatten(1)).view_as(which)
        lam = torch.where(candidates == own.unsqueeze(1), share, 0).sum(1).numpy()
        mixture = Mixture(candidates, share)
        return TileParams.of(draw, lam, mixture=mixture, rows=rows, down=down, across=across, sizes=sizes)

    def act(self, x: Tensor, params: TileParams) -> Tensor:
        """Gather."""
        sizes = self.layout_of(x.shape).spatial_shape(x.shape)
        decided_sizes(self._who, params.sizes, sizes, "tiles")
        channels = torch.arange(x.shape[1], device=x.device).view(1, -1, 1, 1)
        return x[params.rows.unsqueeze(1), channels, params.down[:, None, :, None], params.across[:, None, None, :]]

    def label_step(self, place: str, params: TileParams) -> LabelStep | None:
        """Return what a decision does to labels, position by position."""
        step = super().label_step(place, params)
        return None if step is None else dataclasses.replace(step, grid=params.sizes)

    def parts(self, shares: Tensor, params: TileParams) -> list[tuple[Tensor, Tensor]]:
        """Return each of the samples where it lies; see :meth:`featmix.Strategy.parts`."""
        moved = self.act(shares.flatten(1, 2), params).view(shares.shape)
        free = torch.ones_like(params.rows, dtype=torch.bool)  # where one sample is a candidate twice it counts once
        found = []
        for rows in params.mixture.index.T:
            here = free & (params.rows == rows.view(-1, 1, 1))
            free = free & ~here
            found.append((rows, moved * here[:, None, None]))
        return found

    def dense_targets(self, target_map: Tensor, params: TileParams) -> Tensor:
        """Label maps ``(B, H, W)`` or ``(B, K, H, W)`` of the images' own size, put together as they are."""
        flat = isinstance(target_map, Tensor) and target_map.ndim == 3
        maps = target_map.unsqueeze(1) if flat else target_map
        mixed = self.transform(maps, params)
        return mixed.squeeze(1) if flat else mixed

    def oracle(self, x: NDArray[np.float64], params: TileParams) -> NDArray[np.float64]:
        """One position after the other."""
        y = x.copy()
        for i, row, column in np.ndindex(len(x), *params.sizes):
            if params.active[i]:
                source = int(params.rows[i, row, column])
                y[i, :, row, column] = x[source, :, int(params.down[i, row]), int(params.across[i, column])]
        return y


class KorniaCutMixes(KorniaTiles):
    """``RandomCutMixV2`` with ``num_mix`` above 1: boxes of several samples, later ones over earlier ones.

    Args:
        mixer: Of kornia's.
        partner: ``permutation``.
        num_classes: For class indices in ``strategy(x, target)``.
    """

    def __init__(self, mixer: Any, *, partner: Partner = "permutation", num_classes: int | None = None) -> None:
        super().__init__(mixer, p=mixer.p_batch, per="batch", partner=partner, num_classes=num_classes)

    def lay_out(self, found: dict[str, Tensor], partner: Tensor, sizes: tuple[int, int]) -> tuple[Tensor, ...]:
        """The sample itself, and its boxes one over the other; the first of them is of the partner that featmix drew."""
        own, device = torch.arange(len(partner), device=partner.device), partner.device
        candidates = torch.stack([own, partner, *found["mix_pairs"][1:]], dim=1)
        lines, columns = (torch.arange(size, device=device) for size in sizes)
        which = torch.zeros(len(own), *sizes, dtype=torch.int64, device=device)
        for k, box in enumerate(corners(found["crop_src"]), start=1):
            high = (lines >= box[:, 0, :1]) & (lines < box[:, 0, 1:])
            wide = (columns >= box[:, 1, :1]) & (columns < box[:, 1, 1:])
            which = torch.where(high.unsqueeze(2) & wide.unsqueeze(1), k, which)
        return candidates, which, lines.expand(len(own), -1), columns.expand(len(own), -1)


class KorniaMosaic(KorniaTiles):
    """``RandomMosaic`` that keeps the size of the images: a window of a sheet of samples, the sample itself at its top left.

    Args:
        mixer: Of kornia's, with ``output_size=None`` and ``cropping_mode="slice"``, whose windows stay on the sheet.
        partner: ``permutation``.
        num_classes: For class indices in ``strategy(x, target)``.

    Raises:
        FeatmixError: If it changes sizes, resamples, or shows what is beyond the sheet.
    """

    def __init__(self, mixer: Any, *, partner: Partner = "permutation", num_classes: int | None = None) -> None:
        super().__init__(mixer, p=mixer.p, per="sample", partner=partner, num_classes=num_classes)
        flags, furthest = mixer.flags, max(mixer.start_ratio_range)
        if flags["output_size"] is not None or flags["cropping_mode"] != "slice":
            got = f"output_size={flags['output_size']}, cropping_mode={flags['cropping_mode']!r}"
            raise FeatmixError(
                self._who,
                "mixer",
                expected="output_size=None and cropping_mode='slice'",
                got=got,
                fix="A strategy keeps the shape of what it mixes: resize before or after it.",
            )
        if min(mixer.start_ratio_range) < 0 or any(furthest > side - 1 for side in flags["mosaic_grid"]):
            raise FeatmixError(
                self._who,
                "mixer",
                expected="windows that stay on the sheet: start_ratio_range from 0 up to the grid less 1",
                got=f"mosaic_grid={flags['mosaic_grid']}, start_ratio_range={mixer.start_ratio_range}",
                fix="Beyond the sheet there is nothing, and no label for it.",
            )

    def lay_out(self, found: dict[str, Tensor], partner: Tensor, sizes: tuple[int, int]) -> tuple[Tensor, ...]:
        """The sheet has its tiles column by column; the second one is the partner that featmix drew."""
        order = found["permutation"]
        candidates = torch.cat([order[:, :1], partner.unsqueeze(1), order[:, 2:]], dim=1) if order.shape[1] > 1 else order
        start = found["src"][:, 0].long()  # it has the width first
        lines = start[:, 1:] + torch.arange(sizes[0], device=partner.device)
        columns = start[:, :1] + torch.arange(sizes[1], device=partner.device)
        tall = self.mixer.flags["mosaic_grid"][1]
        which = (columns // sizes[1]).unsqueeze(1) * tall + (lines // sizes[0]).unsqueeze(2)
        return candidates, which, lines % sizes[0], columns % sizes[1]
