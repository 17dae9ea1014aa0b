"""Laws of label maps: a position's label comes from where its features come from."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from featmix.errors import FeatmixError
from featmix.strategies.base import Strategy
from featmix.strategies.content import ContentStrategy
from featmix.strategies.params import Params
from featmix.testing.law import Case, decide, demand, demand_close, law, rounding, without_a_prefix

CLASSES = 200


def says_where(strategy: Strategy) -> bool:
    """Return True if the strategy mixes labels and says at which positions."""
    says = isinstance(strategy, ContentStrategy) and strategy.tags.mixes_labels and strategy.tags.spatial
    return says and not getattr(strategy, "own_term", None)  # a part of the loss has no place: maps are refused


@law(
    "strategy",
    cause="The map is mixed by another box, mask or partner than the features, or by a share that padding does not know of.",
    exact=True,
    applies=says_where,
    whom="strategies that mix labels and say at which positions",
)
def dense_targets(case: Case) -> None:
    """An image whose values are the label map becomes the mixed label map, with and without padding; idle rows keep theirs.

    The classes' shares of real positions are the label shares. Where channels differ in their places, maps are refused. No
    tolerance where values are copied; where they are blended, four roundings to float32, which is what shares are, of the
    largest class, and eight where the image is float32 too. Label shares: four units in the last place, as in ``labels``.
    """
    case = without_a_prefix(case)
    strategy: ContentStrategy = case.strategy  # type: ignore[assignment] # says_where
    lay = strategy.layout_of(case.x.shape)
    sizes = lay.spatial_shape(case.x.shape)
    for params in _decisions(case, sizes):
        share: Tensor = strategy.partner_share(params, sizes)
        if share.shape[1] > 1:
            _demand_refusal(strategy, _labels(case, sizes), params)
            continue
        copies = share.dtype == torch.bool
        labels = _labels(case, sizes) if copies else _labels(case, sizes).double().unsqueeze(1)
        mixed = strategy.dense_targets(labels, params)
        demand(mixed.shape == labels.shape and mixed.dtype == labels.dtype, "a map of another shape or dtype came out")
        demand(mixed[~params.active] == labels[~params.active], "the map of an idle row changed")
        flat = labels if copies else labels.squeeze(1)
        image = case.transform(lay.spread(flat).expand(case.x.shape).to(case.x.dtype).contiguous(), params)
        expected = lay.spread(mixed if copies else mixed.squeeze(1)).expand(image.shape)
        roundings = 4 if image.dtype == torch.float64 else 8
        tolerance = 0.0 if copies else roundings * CLASSES * rounding(torch.float32)
        demand_close(image.double(), expected.double(), tolerance, "an image of the label map against the mixed map")
        demand_close(_shares(strategy, params, sizes), params.mixture.matrix(), 5e-7, "a class's share of the map")


@law(
    "strategy",
    cause="Edges are scaled and rounded on their own, or the map is resampled where it should follow the features' positions.",
    every_dtype=False,
    applies=says_where,
    whom="strategies that mix labels and say at which positions",
)
def dense_resolution(case: Case) -> None:
    """At twice the features' resolution the mixed label map is that at their own resolution, with each position doubled.

    No tolerance: labels are copied, and blends are the same blends.
    """
    case = without_a_prefix(case)
    strategy: ContentStrategy = case.strategy  # type: ignore[assignment] # says_where
    lay = strategy.layout_of(case.x.shape)
    sizes = lay.spatial_shape(case.x.shape)
    for params in _decisions(case, sizes):
        share: Tensor = strategy.partner_share(params, sizes)
        if share.shape[1] > 1:
            continue  # refused, which is the law above
        labels = _labels(case, sizes).unsqueeze(1)
        labels = labels if share.dtype == torch.bool else labels.double()
        fine = strategy.dense_targets(_doubled(labels), params)
        demand(fine == _doubled(strategy.dense_targets(labels, params)), "the map at twice the resolution")


def _decisions(case: Case, sizes: tuple[int, ...]) -> Iterator[Params]:
    """Without padding, and with padding anywhere but at one position."""
    yield case.params
    seed = Generator().manual_seed(case.seed)
    mask = torch.rand(len(case.x), *sizes, generator=seed) < 0.7
    mask.view(len(mask), -1)[:, :1] = True
    yield decide(case.strategy, case.x.shape, seed, mask=mask)


def _labels(case: Case, sizes: tuple[int, ...]) -> Tensor:
    return torch.randint(CLASSES, (len(case.x), *sizes), generator=Generator().manual_seed(case.seed))


def _shares(strategy: Strategy, params: Params, sizes: tuple[int, ...]) -> Tensor:
    """Return the share of each row's real positions that is labelled with each sample, ``(B, B)``."""
    batch = len(params.partner)
    own = torch.eye(batch, dtype=torch.float64).view(batch, batch, *[1] * len(sizes)).expand(batch, batch, *sizes)
    mixed = strategy.dense_targets(own, params).flatten(2)
    real = torch.ones(batch, mixed.shape[2]) if params.mask is None else params.mask.flatten(1)
    return (mixed * real.unsqueeze(1)).sum(2) / real.sum(1, keepdim=True)


def _demand_refusal(strategy: Strategy, labels: Tensor, params: Params) -> None:
    try:
        strategy.dense_targets(labels, params)
    except FeatmixError:
        return
    demand(False, "channels differ in their places, and a label map was mixed all the same")


def _doubled(maps: Tensor) -> Tensor:
    for axis in range(2, maps.ndim):
        maps = maps.repeat_interleave(2, dim=axis)
    return maps
