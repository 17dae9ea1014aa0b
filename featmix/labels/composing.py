"""Labels after several decisions: shares multiply, and where boxes lie over boxes they are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from featmix.labels.mixture import Mixture, made


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

    Decisions that take as much from everywhere compose as :meth:`Mixture.then <featmix.Mixture.then>` does. Where two meet at
    one place that take some positions and leave others, that is right on average only: a box may lie on what the box before
    it brought, or beside it. There the shares are followed position by position. Between two places of a model, whose
    resolutions and receptive fields differ, the average stands; so it does where a strategy does not say what it does where.

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
    found: Mixture | None = None
    for _, group in groupby((step for step in steps if step is not None), key=lambda step: step.place):
        here = list(group)
        mixture = _followed(batch, here) if _lie_over_each_other(here) else _multiplied(here)
        found = mixture if found is None else found.then(mixture)
    return Mixture.identity(batch) if found is None else found


def _lie_over_each_other(here: Sequence[LabelStep]) -> bool:
    if len(here) < 2:
        return False
    grids = [step.grid for step in here if step.spatial]
    return len(grids) > 1 and None not in grids and len(set(grids)) == 1


def _multiplied(here: Sequence[LabelStep]) -> Mixture:
    mixture = here[0].mixture
    for step in here[1:]:
        mixture = mixture.then(step.mixture)
    return mixture


def _followed(batch: int, here: Sequence[LabelStep]) -> Mixture:
    """Return shares of samples, followed at each position and averaged at the end."""
    sizes = next(filter(None, (step.grid for step in here)), ())
    index, shares, multiplied = torch.arange(batch).unsqueeze(1), torch.ones(batch, 1, 1, *sizes), _multiplied(here)
    known = batch
    for step in here:
        if step.mixture.beyond is not None:  # samples that are not in the batch: each is all of itself
            more = len(step.mixture.beyond)
            index = torch.cat([index, (known + torch.arange(more)).unsqueeze(1).expand(-1, index.shape[1])])
            alone = shares.new_zeros(more, *shares.shape[1:])
            alone[:, 0] = 1
            shares, known = torch.cat([shares, alone]), known + more
        found = step.parts(shares)
        index = torch.cat([index[rows] for rows, _ in found], dim=1)
        shares = torch.cat([part for _, part in found], dim=1)
    mask = next((step.mask for step in here if step.mask is not None), None)
    at = shares.mean(2, dtype=torch.float64)
    if mask is None:
        weight = at.flatten(2).mean(2)
    else:
        real = mask.unsqueeze(1).flatten(2)
        count = real.sum(2)
        own = torch.zeros(index.shape, dtype=torch.float64)
        own[:, 0] = 1  # of a sample that is all padding: the first is always the sample itself
        weight = torch.where(count > 0, (at.flatten(2) * real).sum(2) / count.clamp(min=1), own)
    return Mixture.identity(batch).then(made(index, weight.float(), multiplied.beyond, multiplied.scale))
