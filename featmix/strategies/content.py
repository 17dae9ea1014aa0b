"""Base of the strategies that mix the values at positions: blend them, or paste some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, NoReturn

import torch
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.kernels.dispatch import RowKernels, row_kernels
from featmix.kernels.mixing import Rows, mix
from featmix.labels.composing import LabelStep
from featmix.labels.mixture import Mixture
from featmix.sampling.draws import Stream
from featmix.strategies.base import Strategy
from featmix.strategies.memory import Memory, RecalledFeatures, check_can_remember, recalled_features
from featmix.strategies.params import P
from featmix.strategies.pieces import Piece


class ContentStrategy(Strategy[P]):
    """A strategy that says how much of each position is the partner's.

    From :meth:`partner_share` follow the labels of padded samples, label maps, and the labels of several strategies that
    meet at one place. A subclass whose partner does not stand still (ResizeMix shrinks it) also writes :meth:`partner_map`.
    One that takes from :meth:`lent` rather than from a partner can remember: its constructor calls :meth:`_remember_last`.

    Attributes:
        keeps_places: True if a position takes from the same position of the partner.
        recalling: The decisions of one that remembers.
    """

    keeps_places: ClassVar[bool] = True
    recalling: ClassVar[type[RecalledFeatures]] = RecalledFeatures

    def partner_share(self, params: P, sizes: Sequence[int]) -> Tensor:
        """Return how much of the result is the partner's, at each position.

        Args:
            params: From ``make_params``.
            sizes: The sizes of the position axes.

        Returns:
            Broadcastable to ``(B, C, *sizes)``: bool where the partner's values replace the sample's, shares in [0, 1] where
            they blend, for active rows.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how much of a position is the partner's")

    def partner_map(self, maps: Tensor, params: P) -> Tensor:
        """Return what would be the partner's at each position of maps ``(B, K, *positions)``, of any resolution."""
        return maps.index_select(0, params.partner)

    def grid_of(self, params: P) -> tuple[int, ...] | None:
        """Return the sizes of the positions that a decision is about; ``None`` where it treats all of them alike."""
        return params.sizes if self.tags.spatial else None  # type: ignore[attr-defined] # decisions with places have sizes

    def lent(self, x: Tensor, params: P) -> Tensor:
        """Return what each row takes from: its partner's features, or those remembered."""
        partner, recalled = x.index_select(0, params.partner), recalled_features(params)
        return partner if recalled is None else recalled.features_instead_of(partner)

    def _remember_last(self, memory: int | None) -> None:
        """Remember so many samples, with their labels; ``None`` for none. The setting becomes the attribute ``memory``."""
        self.memory = None if memory is None else self._whole("memory", memory, least=1)
        self._memory = None if self.memory is None else Memory(self.memory, ("features",))

    @property
    def takes_masks(self) -> bool:
        """True: the label weights of real content follow from :meth:`partner_share`."""
        return self.tags.masks

    def rows(self, x: Tensor, params: P, kernels: RowKernels, taker: Tensor | None) -> Rows | None:
        """Return the mixed rows as a fast path makes them; ``None`` where there is none, and ``act`` has to do.

        Args:
            x: The features.
            params: The decision.
            kernels: The fast path.
            taker: The takers of the decision, if the path has a use for them.
        """
        return None

    def recall(self, params: P, shape: Sequence[int], target: Tensor | None, random: Stream) -> P:
        """Return a decision that draws from the memory, if there is one, with the labels that its samples had."""
        memory, shape = getattr(self, "_memory", None), self.body_shape(shape)
        if not isinstance(memory, Memory) or not shape[0]:
            return params
        target = check_can_remember(self._who, shape, target)
        if params.mask is not None:
            raise FeatmixError(
                self._who, "memory", expected="no mask", got="one", fix="What is remembered of a position may be padding."
            )
        recalled: P = memory.decided(self.recalling, params, shape[1:], target, random)  # type: ignore[assignment]
        return recalled

    def lent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of what is remembered of one sample."""
        return tuple(self.body_shape(shape)[1:])

    def remember(self, x: Tensor, params: P) -> None:
        """Keep the features of this batch, as they were before they were mixed, if there is a memory."""
        memory, recalled = getattr(self, "_memory", None), recalled_features(params)
        if isinstance(memory, Memory) and recalled is not None:
            memory.keep({"features": self.body_of(x)}, recalled)

    def gated(self, x: Tensor, params: P) -> Tensor:
        """Return the mixed features by the fast path where there is one for this tensor, by ``act`` elsewhere."""
        kernels = row_kernels(x) if params.mask is None and recalled_features(params) is None else None
        rows = self.rows(x, params, kernels, params.taker if kernels.BY_TAKER else None) if kernels else None
        return mix(x, rows, inplace=self.inplace) if rows else super().gated(x, params)

    def with_mask(self, params: P, mask: Tensor) -> P:
        """Return a decision that knows of padding, with label weights that count real positions only."""
        params = params.replaced(mask=mask)
        if not self.tags.mixes_labels:
            return params
        share = self.partner_share(params, mask.shape[1:])
        taken = (share.double() * self.reach(params, mask).unsqueeze(1)).mean(1).flatten(1).sum(1)
        own = 1 - taken / mask.flatten(1).sum(1).clamp(min=1)
        pair = Mixture.pair(params.partner, torch.where(params.active, own, 1.0))
        return params.replaced(mixture=Mixture(pair.index, pair.weight, scale=params.mixture.scale))

    def label_step(self, place: str, params: P) -> LabelStep | None:
        """Return what a decision does to labels, position by position where it has places."""
        step = super().label_step(place, params)
        return None if step is None else replace(step, grid=self.grid_of(params), mask=params.mask)

    def parts(self, shares: Tensor, params: P) -> list[tuple[Tensor, Tensor]]:
        """Return what each position is made of after this decision; see :meth:`featmix.Strategy.parts`."""
        if not self.tags.spatial:
            return super().parts(shares, params)
        taken = self.partner_share(params, shares.shape[3:])
        taken = (taken * self._gate(params, taken)).to(shares.dtype).unsqueeze(1)
        rows = torch.arange(len(params.partner))
        if recalled_features(params) is not None:  # of the rows beyond the batch too, which have places of their own
            lenders = params.mixture.index[:, 1]
            return [(rows, shares[rows] * (1 - taken)), (lenders, shares[lenders] * taken)]
        lent = self.partner_map(shares.flatten(1, 2), params).view(shares.shape)
        return [(rows, shares * (1 - taken)), (params.partner, lent * taken)]

    def dense_targets(self, target_map: Tensor, params: P) -> Tensor:
        """Return label maps for the mixed batch; see :meth:`featmix.Strategy.dense_targets`."""
        sizes = self.grid_of(params)
        if not self.tags.mixes_labels or sizes is None:
            return super().dense_targets(target_map, params)
        if recalled_features(params) is not None:
            expected, got = "a decision within one batch", "one that takes from remembered samples"
            fix = "A memory keeps no label maps: leave out memory=."
            raise FeatmixError(self._who, "dense_targets", expected=expected, got=got, fix=fix)
        maps = self._checked_maps(target_map, params, sizes)
        params = params.to(maps.device).tied()
        share = self.partner_share(params, sizes)
        self._check_share(share, maps)
        gate = self._gate(params, share)
        share, gate = (nearest(t.expand(-1, -1, *sizes), maps.shape[2:]) for t in (share, gate))
        partner = self.partner_map(maps, params)
        blends = share.dtype != torch.bool
        mixed = torch.lerp(maps, partner, share.to(maps.dtype)) if blends else torch.where(share, partner, maps)
        return torch.where(gate, mixed, maps).view(target_map.shape).to(target_map.dtype)

    def pieces(self, params: P) -> list[Piece]:
        """Return the sample and its partner; see :meth:`featmix.Strategy.pieces`.

        Raises:
            FeatmixError: If labels are not the content, or that is not in one place: a memory, padding, soft masks.
        """
        own = torch.arange(len(params.partner), device=params.partner.device)
        if not self.tags.mixes_labels:
            self._no_pieces("one that mixes content and leaves labels")
        if self.remembers:
            self._no_pieces("one that takes from remembered samples, whose boxes are not kept: leave out memory=")
        if params.mask is not None:
            self._no_pieces("a mask for padding")
        sizes = self.grid_of(params)
        if sizes is None:
            lam = torch.where(params.active, params.own_share(), 1.0)
            return [Piece(own, weight=lam), Piece(params.partner, weight=1 - lam)]
        share = self.partner_share(params, sizes)
        if share.dtype != torch.bool or share.shape[1] != 1:
            self._no_pieces("one that blends some positions, or channels by themselves")
        taken = (share & self._gate(params, share)).squeeze(1).expand(-1, *sizes)
        scale, shift = (None, None) if self.keeps_places else self.partner_moved(params)
        return [Piece(own, ~taken), Piece(params.partner, taken, scale=scale, shift=shift)]

    def partner_moved(self, params: P) -> tuple[Tensor, Tensor]:
        """Return where a partner's positions have gone, of a strategy whose partner does not stand still.

        Returns:
            ``scale`` and ``shift``, each ``(B, d)``; see :class:`~featmix.strategies.pieces.Piece`.

        Raises:
            FeatmixError: If the strategy does not say it.
        """
        self._no_pieces("one that moves its partner, and does not say where")

    def _no_pieces(self, got: str) -> NoReturn:
        expected = "a strategy that says which sample is seen where, such as cutmix, mosaic or mixup"
        raise FeatmixError(self._who, "boxes", expected=expected, got=got)

    def _gate(self, params: P, share: Tensor) -> Tensor:
        """Return where the decision applies: active rows, and of these what padding lets be reached."""
        gate = params.active.view(-1, *[1] * (share.ndim - 1))
        return gate if params.mask is None else gate & self.reach(params, params.mask).unsqueeze(1)

    def _checked_maps(self, target_map: Tensor, params: P, sizes: tuple[int, ...]) -> Tensor:
        """Return label maps as ``(B, K, *positions)``."""
        rows = len(params.partner)
        if not isinstance(target_map, Tensor) or target_map.ndim - len(sizes) not in (1, 2) or len(target_map) != rows:
            got = f"shape {tuple(target_map.shape)}" if isinstance(target_map, Tensor) else type(target_map).__name__
            expected = f"label maps (B, *positions) or (B, K, *positions) for {rows} samples, {len(sizes)}-D positions"
            raise FeatmixError(self._who, "target_map", expected=expected, got=got)
        return target_map.unsqueeze(1) if target_map.ndim == len(sizes) + 1 else target_map

    def _check_share(self, share: Tensor, maps: Tensor) -> None:
        if share.shape[1] != 1:
            raise FeatmixError(
                self._who,
                "dense_targets",
                expected="a strategy that treats all channels of a position alike",
                got="one with a place of its own for each channel",
                fix="A label map has no channels to follow: use cutmix, fmix or resizemix.",
            )
        if share.dtype != torch.bool and not maps.is_floating_point():
            raise FeatmixError(
                self._who,
                "target_map",
                expected="floating maps (B, K, *positions)",
                got=f"{maps.dtype}, whose classes cannot be blended",
                fix="One-hot maps, or max_soft=0.",
            )


def nearest(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return values ``(B, C, *positions)`` of any dtype at another resolution, by nearest neighbour (``floor(i * S / T)``).

    Example:
        >>> nearest(torch.tensor([[[1, 2]]]), [4])
        tensor([[[1, 1, 2, 2]]])
    """
    for axis, size in enumerate(sizes, start=2):
        if size != values.shape[axis]:
            values = values.index_select(axis, torch.arange(size, device=values.device) * values.shape[axis] // max(size, 1))
    return values
