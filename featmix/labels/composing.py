"""Labels after several decisions: shares multiply, and where boxes lie over boxes they are followed position by position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from featmix.labels.mixture import Mixture, made

_POOLS: dict[int, Callable[..., Tensor]] = {  # by the number of axes that positions have
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}


@dataclass(frozen=True)
class LabelStep:
    """The effect of one decision on labels, and on the content of each position.

    Args:
        place: Where in the model it acts.
        mixture: What the labels become by it alone, on the CPU.
        grid: The sizes of the positions that the decision is about, where it says what it does at each of them.
        spatial: Whether it takes some positions and leaves others.
        parts: From the shares of samples at each position to pairs of rows and of what comes from them; see
            :meth:`featmix.Strategy.parts`.
        mask: Padding, ``(B, *positions)`` bool.
    """

    place: str
    mixture: Mixture
    grid: tuple[int, ...] | None
    spatial: bool
    parts: Callable[[Tensor], list[tuple[Tensor, Tensor]]]
    mask: Tensor | None = None


def composed(batch: int, steps: Iterable[LabelStep | None]) -> Mixture:
    """Return the labels after all decisions.

    Decisions that take as much from everywhere compose as :meth:`Mixture.then <featmix.Mixture.then>` does. Boxes and masks do
    not: a second box may lie on what the first one brought, or beside it. So the shares are followed position by position.
    Between two places of different resolution they are averaged over the cells of the coarser one, as layers that keep the
    grid do with features. Where this cannot be done (see :func:`followable`), shares are multiplied: right on average only.

    Args:
        batch: How many rows.
        steps: In the order of the forward pass; ``None`` for decisions that leave labels alone.

    Example:
        >>> import featmix as fm
        >>> cutmix, x = fm.CutMix(), torch.rand(4, 3, 8, 8)
        >>> one, two = cutmix.make_params(x.shape), cutmix.make_params(x.shape)
        >>> labels = composed(4, [cutmix.label_step("input", one), cutmix.label_step("input", two)])
        >>> sources = torch.arange(4.0).view(4, 1, 1, 1).expand(-1, -1, 8, 8)
        >>> found = cutmix.transform(cutmix.transform(sources, one), two)
        >>> bool(((found == 3).float().mean((1, 2, 3)) - labels.matrix()[:, 3]).abs().max() < 1e-6)
        True
    """
    places = [list(group) for _, group in groupby((step for step in steps if step is not None), key=lambda step: step.place)]
    spatial = [number for number, here in enumerate(places) if any(step.spatial for step in here)]
    if len(spatial) > 1:  # from the first place with boxes to the last one they are followed together
        between = [step for here in places[spatial[0] : spatial[-1] + 1] for step in here]
        if followable(between):
            places[spatial[0] : spatial[-1] + 1] = [between]
    found: Mixture | None = None
    for here in places:
        several = sum(step.spatial for step in here) > 1
        mixture = _followed(batch, here) if several and followable(here) else _multiplied(here)
        found = mixture if found is None else found.then(mixture)
    return Mixture.identity(batch) if found is None else found


def followable(steps: Iterable[LabelStep | None]) -> bool:
    """Return whether the labels of several boxes or masks can be exact: each says where it acts, on one kind of grid."""
    grids = [step.grid for step in steps if step is not None and step.spatial]
    if len(grids) < 2 or len(set(grids)) == 1:
        return len(grids) < 2 or grids[0] is not None
    return None not in grids and len({len(grid or ()) for grid in grids}) == 1 and len(grids[0] or ()) in _POOLS


def _multiplied(here: Sequence[LabelStep]) -> Mixture:
    mixture = here[0].mixture
    for step in here[1:]:
        mixture = mixture.then(step.mixture)
    return mixture


def _followed(batch: int, here: Sequence[LabelStep]) -> Mixture:
    """Return shares of samples, followed at each position and averaged at the end."""
    sizes = next(step.grid for step in here if step.grid is not None)
    index, shares, multiplied = torch.arange(batch).unsqueeze(1), torch.ones(batch, 1, 1, *sizes), _multiplied(here)
    known, place, real, masked = batch, here[0].place, None, False
    for step in here:
        if step.place != place:  # layers between them mix channels
            place, shares, masked = step.place, shares.mean(2, keepdim=True), False
            shares, real = _resampled(shares, real, step.grid or shares.shape[3:])
        if step.mask is not None and not masked:
            real, masked = step.mask.unsqueeze(1), True
        if step.mixture.beyond is not None:  # samples that are not in the batch: each is all of itself
            more = len(step.mixture.beyond)
            index = torch.cat([index, (known + torch.arange(more)).unsqueeze(1).expand(-1, index.shape[1])])
            alone = shares.new_zeros(more, *shares.shape[1:])
            alone[:, 0] = 1
            shares, known = torch.cat([shares, alone]), known + more
        found = step.parts(shares)
        index = torch.cat([index[rows] for rows, _ in found], dim=1)
        shares = torch.cat([part for _, part in found], dim=1)
    at = shares.mean(2, dtype=torch.float64)
    if real is None:
        weight = at.flatten(2).mean(2)
    else:
        counted = real.flatten(2)
        count = counted.sum(2)
        own = torch.zeros(index.shape, dtype=torch.float64)
        own[:, 0] = 1  # of a sample that is all padding: the first is always the sample itself
        weight = torch.where(count > 0, (at.flatten(2) * counted).sum(2) / count.clamp(min=1e-6), own)
    return Mixture.identity(batch).then(made(index, weight.float(), multiplied.beyond, multiplied.scale))


def _resampled(shares: Tensor, real: Tensor | None, sizes: Sequence[int]) -> tuple[Tensor, Tensor | None]:
    """Return shares ``(B, K, 1, *positions)``, and how real positions are, as means over the cells of a grid of these sizes."""
    if tuple(shares.shape[3:]) == tuple(sizes):
        return shares, real
    pool, size = _POOLS[len(sizes)], tuple(sizes)
    if real is None:
        return pool(shares.squeeze(2), size).unsqueeze(2), None
    weight = real.to(shares.dtype)
    there = pool(weight, size)
    means = torch.where(there > 0, pool(shares.squeeze(2) * weight, size) / there, pool(shares.squeeze(2), size))
    return means.unsqueeze(2), there
