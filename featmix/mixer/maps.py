"""Label maps in a loss: which targets are maps of the features' positions, and the map of this step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

from torch import Tensor

from featmix.errors import FeatmixError
from featmix.labels.mixture import Mixture, made
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params

Acting = Sequence[tuple[Strategy, Params]]


def mapped(acting: Acting, output: Tensor, target: Tensor, label_map: bool | None) -> tuple[Mixture, Tensor] | None:
    """Return what is left to weigh, and the label map that the boxes and masks of this step make; ``None`` for other targets.

    Args:
        acting: Strategies that mix labels in this step, in the order in which labels compose, and their decisions.
        output: Of the model.
        target: What the loss is told.
        label_map: Whether the target is a map of the features' positions; ``None`` goes by shapes.

    Raises:
        FeatmixError: If it cannot be told whether the target is such a map, or a strategy cannot take maps.
    """
    placed = [(strategy, params) for strategy, params in acting if strategy.tags.spatial]
    if label_map is False or not placed or not isinstance(output, Tensor) or not isinstance(target, Tensor):
        return None
    if label_map is None and not all(_is_map(output, target, _sizes(params)) for _, params in placed):
        return None
    rest: Mixture | None = None
    for strategy, params in acting:
        if not strategy.tags.spatial:
            rest = params.mixture if rest is None else rest.then(params.mixture)
            continue
        if rest is not None and rest.index.shape[1] > 1:
            raise FeatmixError(
                "Mix.loss",
                "target",
                expected=f"{strategy.name} before strategies whose label shares have no place",
                got="a label map, and shares of whole samples before it",
                fix="List strategies with places first.",
            )
        if params.mixture.beyond is not None:
            raise FeatmixError("Mix.loss", "target", expected="partners of the batch", got="maps that are not in it")
        target = strategy.dense_targets(target, params)
        if params.mixture.scale is not None:
            counted = _counting(params.mixture)
            rest = counted if rest is None else rest.then(counted)
    return Mixture.identity(len(target), target.device) if rest is None else rest, target


def _counting(mixture: Mixture) -> Mixture:
    """Return the mixture that leaves labels to the map, and counts rows as often as this one does."""
    still = Mixture.identity(len(mixture), mixture.index.device)
    return made(still.index, still.weight, scale=mixture.scale)


def _sizes(params: Params) -> tuple[int, ...] | None:
    """Return the sizes of the positions that a decision was drawn for, where it says them."""
    sizes: tuple[int, ...] | None = getattr(params, "sizes", None)
    return sizes


def _is_map(output: Tensor, target: Tensor, sizes: tuple[int, ...] | None) -> bool:
    """Return whether a target has a label for each position of the features.

    Raises:
        FeatmixError: If it has positions, and they may be others than those of the features.
    """
    grid = 2 if sizes is None else len(sizes)
    found = _positions(output, target, grid)
    if found is None and sizes != tuple(target.shape[1:]):  # several labels, as many as there are positions, could be either
        return False
    alone = target.ndim == output.ndim == grid + 1  # without channels: as well a vector or a matrix to be regressed
    fits = found is not None and (sizes is None or found == sizes or (not alone and in_steps(sizes, found)))
    if not fits:
        raise FeatmixError(
            "Mix.loss",
            "target",
            expected=f"labels of whole samples, or a label map of positions {sizes}, of so many times as many, or as few",
            got=f"shape {tuple(target.shape)} for an output {tuple(output.shape)}",
            fix="Say label_map=False to weigh it by the shares of whole samples, or label_map=True to take boxes and masks to "
            "its resolution.",
        )
    return True


def _positions(output: Tensor, target: Tensor, grid: int) -> tuple[int, ...] | None:
    """Return the sizes of a target's axes of positions; ``None`` where it has none.

    Class indices have no axis for the classes, which the output has. In others the last axes are positions, as many as the
    features have. A single position is a whole sample.
    """
    if target.ndim < 2 or (target.ndim == 2 and output.ndim != 3):
        return None
    first = 1 if target.ndim == output.ndim - 1 else max(target.ndim - grid, 1)
    found = tuple(target.shape[first:])
    return found if prod(found) > 1 else None


@lru_cache(maxsize=256)
def in_steps(sizes: tuple[int, ...], others: tuple[int, ...]) -> bool:
    """Return True if the finer of two grids has whole numbers of positions to each of the coarser, alike along all axes.

    A last step may be left out on all axes, or be counted on all: strides and poolings do either.

    Example:
        >>> in_steps((32, 48), (8, 12)), in_steps((33, 33), (17, 17)), in_steps((8, 8), (32, 32)), in_steps((32, 32), (17, 2))
        (True, True, True, False)
    """
    fine, coarse = (sizes, others) if max(sizes) >= max(others) else (others, sizes)
    for step in range(1, max(fine) + 1):
        down = tuple(size // step for size in fine)
        up = tuple(-(-size // step) for size in fine)
        if coarse in (down, up):
            return True
    return False
