"""Laws of label maps beyond a few classes at the features' own resolution."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Generator, Tensor

from featmix.errors import FeatmixError
from featmix.strategies.base import Strategy
from featmix.strategies.content import ContentStrategy
from featmix.testing.dense_laws import says_where
from featmix.testing.inputs import noise
from featmix.testing.law import CannotRunError, Case, demand, law, sample_shape
from featmix.testing.uses import case_apart

_FEW = 40
_IGNORED = 255


def follows_places(strategy: Strategy) -> bool:
    """Return True if the strategy says at which positions, and a position takes from the same position of the partner."""
    return says_where(strategy) and getattr(strategy, "keeps_places", True)


@law(
    "strategy",
    cause="Class indices in half precision, which counts to 2,048, or in float32, or a number that is treated as special.",
    drawn=False,
    applies=says_where,
    whom="strategies that mix labels and say at which positions",
)
def many_classes(strategy: ContentStrategy) -> None:
    """The mixed label map does not depend on the numbers of classes: thousands, millions, 255 or -100 for ignored positions.

    In each integer dtype that holds them. Where classes would be blended, maps of integers are refused. No tolerance.
    """
    tried = noise(6, *sample_shape(strategy), seed=1)
    for seed in range(3):
        case = case_apart(strategy, tried, seed)
        used: Any = case.strategy  # which says where, as its original does
        sizes = used.layout_of(tried.shape).spatial_shape(tried.shape)
        share = used.partner_share(case.params, sizes)
        labels = torch.randint(_FEW, (len(tried), *sizes), generator=Generator().manual_seed(seed))
        if share.shape[1] > 1:
            continue  # refused, which `dense_targets` demands
        if share.dtype != torch.bool:
            _demand_refusal(used, labels, case)
            continue
        mixed = used.dense_targets(labels, case.params)
        for dtype, names in _names().items():
            found = used.dense_targets(names[labels].to(dtype), case.params)
            demand(found.dtype == dtype, f"a map of {dtype} became one of {found.dtype}")
            demand(
                found.long() == names[mixed],
                f"a {dtype} map with classes up to {int(names.max())} is mixed otherwise",
            )


@law(
    "strategy",
    cause="Edges that are scaled and rounded one position off, or a map taken to the features' resolution and back.",
    drawn=False,
    applies=follows_places,
    whom="strategies that mix labels, say at which positions, and leave what they take where it is",
)
def coarse_maps(strategy: ContentStrategy) -> None:
    """At half the features' resolution a position of the mixed map has the label of one of the positions that it covers.

    Where these agree, that is the label: which of them counts where they do not is left open. No tolerance.
    """
    tried = noise(5, *sample_shape(strategy, positions=6), seed=2)
    sizes = strategy.layout_of(tried.shape).spatial_shape(tried.shape)
    if any(size % 2 for size in sizes):
        raise CannotRunError(f"it needs positions that can be halved, and the strategy takes {tuple(sizes)}")
    for seed in range(6):
        case = case_apart(strategy, tried, seed)
        used: Any = case.strategy
        share = used.partner_share(case.params, sizes)
        if share.shape[1] > 1 or share.dtype != torch.bool:
            continue
        coarse = torch.randint(_FEW, (len(tried), *(size // 2 for size in sizes)), generator=Generator().manual_seed(seed))
        fine = coarse
        for axis in range(1, coarse.ndim):
            fine = fine.repeat_interleave(2, dim=axis)
        whole = used.dense_targets(fine, case.params)
        parts = torch.stack([whole[(slice(None), *at)] for at in _strided(len(sizes))])
        found = used.dense_targets(coarse, case.params)
        demand(found.shape == coarse.shape, f"a map {tuple(coarse.shape)} became one of {tuple(found.shape)}")
        demand((found == parts).any(0), "a position of a coarse map has the label of none of the positions that it stands for")


def _strided(axes: int) -> list[tuple[slice, ...]]:
    return list(itertools.product(*[[slice(start, None, 2) for start in range(2)]] * axes))


def _names() -> dict[torch.dtype, Tensor]:
    """What the classes may be called in each dtype."""
    count = torch.arange(_FEW)
    found = {
        torch.uint8: _IGNORED - count,
        torch.int16: 2049 + 331 * count,
        torch.int32: 2**24 + 1 + 2 * count,
        torch.int64: 2**40 + 1 + count,
    }
    for dtype, names in found.items():
        names[3] = _IGNORED
        if dtype != torch.uint8:
            names[7] = -100
    found[torch.uint8][0], found[torch.uint8][3] = 0, _IGNORED
    return found


def _demand_refusal(strategy: Strategy, labels: Tensor, case: Case) -> None:
    try:
        strategy.dense_targets(labels, case.params)
    except FeatmixError:
        return
    demand(False, "shares blend, and a map of class indices was mixed all the same")
