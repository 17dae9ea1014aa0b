"""Reordering and restricting decisions, so that laws can ask what a row would have become elsewhere in the batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from featmix.labels.mixture import Mixture, made
from featmix.strategies.params import Params


def restrict(params: Params, rows: Sequence[int]) -> Params:
    """The decision for ``rows`` of the batch, in that order. A partner that is left out becomes the row itself.

    Example:
        >>> import featmix as fm
        >>> params = fm.MoEx().make_params((3, 4, 2, 2), partner=torch.tensor([1, 2, 0]))
        >>> restrict(params, [2, 0]).partner
        tensor([1, 1])
    """
    place = {row: k for k, row in enumerate(rows)}

    def moved(index: Tensor) -> Tensor:
        kept = [[place.get(int(j), k) for j in row] for k, row in enumerate(index[list(rows)].view(len(rows), -1))]
        return torch.tensor(kept, dtype=torch.int64).view(len(rows), *index.shape[1:])

    changes: dict[str, Any] = {name: value[list(rows)] for name, value in params.per_row().items()}
    changes["partner"] = moved(params.partner)
    changes["mixture"] = Mixture(moved(params.mixture.index), params.mixture.weight[list(rows)])
    return dataclasses.replace(params, **changes)


def with_itself(params: Params) -> Params:
    """The same decision with each row as its own partner, in the features and in the labels.

    Example:
        >>> import featmix as fm
        >>> with_itself(fm.Mixup().make_params((2, 1, 2, 2))).mixture.index
        tensor([[0, 0],
                [1, 1]])
    """
    rows, mixture = torch.arange(len(params.partner)), params.mixture
    index = torch.where(mixture.index == params.partner.view(-1, 1), rows.view(-1, 1), mixture.index)
    own = Mixture(index, mixture.weight, mixture.beyond, mixture.scale)
    return dataclasses.replace(params, partner=rows, mixture=own)


def in_double(params: Params) -> Params:
    """The same decision with its strengths, which are float32, in float64: a share and its complement then add up to 1 there.

    Example:
        >>> import featmix as fm
        >>> params = fm.Mixup().make_params((2, 1, 2, 2))
        >>> in_double(params).mixture.weight.sum(1), params.lam.dtype
        (tensor([1., 1.], dtype=torch.float64), torch.float32)
    """
    changes: dict[str, Any] = {name: t.double() for name, t in params.per_row().items() if t.dtype == torch.float32}
    weight = params.mixture.weight.double()
    weight = torch.cat([weight[:, :-1], 1 - weight[:, :-1].sum(1, keepdim=True)], 1)
    changes["mixture"] = made(params.mixture.index, weight, params.mixture.beyond, params.mixture.scale)
    return dataclasses.replace(params, **changes)


def all_idle(params: Params) -> Params:
    """The same decision with no row active."""
    return dataclasses.replace(params, active=torch.zeros_like(params.active))
