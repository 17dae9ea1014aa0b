"""Labels after several decisions: shares multiply, and where boxes lie over boxes they are measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from featmix.labels.mixture import Mixture
from featmix.strategies.params import Params

if TYPE_CHECKING:
    from featmix.strategies.base import Strategy


def composed(batch: int, steps: Iterable[tuple[str, Strategy, Params]]) -> Mixture:
    """The labels after all decisions.

    Decisions that take as much from everywhere compose as :meth:`Mixture.then <featmix.Mixture.then>` does. Where two meet at
    one place that take some positions and leave others, that is right on average only: a box may lie on what the box before
    it brought, or beside it. There the shares are followed position by position. Between two places of a model, whose
    resolutions and receptive fields differ, the average stands; so it does where a strategy does not say what it does where.

    Args:
        batch: How many rows.
        steps: Place, strategy and decision, in the order of the forward pass; the decisions on the CPU.

    Example:
        >>> import featmix as fm
        >>> cutmix, x = fm.CutMix(), torch.rand(4, 3, 8, 8)
        >>> one, two = cutmix.make_params(x.shape), cutmix.make_params(x.shape)
        >>> labels = composed(4, [("input", cutmix, one), ("input", cutmix, two)])
        >>> sources = torch.arange(4.0).view(4, 1, 1, 1).expand(-1, -1, 8, 8)
        >>> found = cutmix.transform(cutmix.transform(sources, one), two)
        >>> bool(((found == 3).float().mean((1, 2, 3)) - labels.matrix()[:, 3]).abs().max() < 1e-6)
        True
    """
    mixture = Mixture.identity(batch)
    for _, group in groupby((step for step in steps if step[1].tags.mixes_labels), key=lambda step: step[0]):
        here = [(strategy, params) for _, strategy, params in group if bool(params.active.any())]
        mixture = mixture.then(_followed(batch, here) if _lie_over_each_other(here) else _multiplied(batch, here))
    return mixture


def parts(strategy: Strategy, shares: Tensor, params: Params) -> list[tuple[Tensor, Tensor]]:
    """What each position is made of after one more decision.

    Args:
        strategy: Spatial with a ``partner_share``, or one that takes as much from everywhere.
        shares: ``(B, K, C, *positions)``: how much of each of K samples stands at a position; C is 1 unless channels differ.
        params: The decision.

    Returns:
        Pairs ``(rows (B,), shares (B, K, C, *positions))``: so much of what was in these rows is now here.
    """
    if not strategy.tags.spatial:
        columns = zip(params.mixture.index.T, params.mixture.weight.T, strict=True)
        return [(rows, shares[rows] * weight.view(-1, *[1] * (shares.ndim - 1))) for rows, weight in columns]
    taken = strategy.partner_share(params, shares.shape[3:])
    if taken is None:
        raise NotImplementedError(f"{type(strategy).__name__} is spatial, and has neither partner_share nor parts")
    gate = params.active.view(-1, *[1] * (taken.ndim - 1))
    if params.mask is not None:
        gate = gate & strategy.reach(params, params.mask).unsqueeze(1)
    taken = (taken * gate).to(shares.dtype).unsqueeze(1)
    lent = strategy.partner_map(shares.flatten(1, 2), params).view(shares.shape)
    return [(torch.arange(len(shares)), shares * (1 - taken)), (params.partner, lent * taken)]


def _lie_over_each_other(here: Sequence[tuple[Strategy, Params]]) -> bool:
    grids = [strategy.grid_of(params) for strategy, params in here if strategy.tags.spatial]
    within = all(params.mixture.beyond is None for _, params in here)  # what is not in the batch has no positions
    return len(grids) > 1 and None not in grids and len(set(grids)) == 1 and within


def _multiplied(batch: int, here: Sequence[tuple[Strategy, Params]]) -> Mixture:
    mixture = Mixture.identity(batch)
    for _, params in here:
        mixture = mixture.then(params.mixture)
    return mixture


def _followed(batch: int, here: Sequence[tuple[Strategy, Params]]) -> Mixture:
    """Shares of samples, followed at each position and averaged at the end, over real positions where there is padding."""
    sizes = next(filter(None, (strategy.grid_of(params) for strategy, params in here)), ())
    index, shares = torch.arange(batch).unsqueeze(1), torch.ones(batch, 1, 1, *sizes)
    for strategy, params in here:
        found = strategy.parts(shares, params)
        index = torch.cat([index[rows] for rows, _ in found], dim=1)
        shares = torch.cat([part for _, part in found], dim=1)
    mask = next((params.mask for _, params in here if params.mask is not None), None)
    at = shares.mean(2, dtype=torch.float64)
    if mask is None:
        weight = at.flatten(2).mean(2)
    else:
        real = mask.unsqueeze(1).flatten(2)
        count = real.sum(2)
        own = torch.zeros(index.shape, dtype=torch.float64)
        own[:, 0] = 1  # of a sample that is all padding: the first is always the sample itself
        weight = torch.where(count > 0, (at.flatten(2) * real).sum(2) / count.clamp(min=1), own)
    return Mixture.identity(batch).then(Mixture(index, weight.float(), scale=_multiplied(batch, here).scale))
