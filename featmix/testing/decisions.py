"""Reordering and restricting decisions, so that laws can ask what a row would have become elsewhere in the batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from featmix.labels.mixture import Mixture
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


def with_partner(params: Params, partner: Tensor) -> Params:
    """The same decision with other partners (the labels stay as they are)."""
    return dataclasses.replace(params, partner=partner)


def all_idle(params: Params) -> Params:
    """The same decision with no row active."""
    return dataclasses.replace(params, active=torch.zeros_like(params.active))
