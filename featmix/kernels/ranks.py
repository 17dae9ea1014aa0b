"""Exact distribution matching on the CPU: each value moves towards the partner's value of the same rank.

Ranks come from one sort of whole numbers that hold a value and, below it, its place: they are never equal, so that any sort is
a stable one, and NumPy's for whole numbers is several times faster than a sort of values that keeps track of places.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.kernels.blocks import copy_rows
from featmix.kernels.partners import Partners

THREADED = 1 << 17  # values from which on threads share a sort
_LARGEST = (1 << 31) - 1


def takes(x: Tensor) -> bool:
    """Whether values and places fit into one number of 64 bits."""
    return x.dtype in (torch.float32, torch.float16, torch.bfloat16)


def match(x: Tensor, partner: Tensor, lam: Tensor, *, keep_own: bool) -> Tensor:
    """``lam * x_i + (1 - lam) * m``, where ``m`` has the partner's values in the order of one's own; equal values keep theirs.

    Args:
        x: ``(B, C, L)``, of a dtype that :func:`takes`.
        partner: ``(B,)``, the row that each row takes from; itself where it is idle, and then it is copied.
        lam: ``(B,)``, the own share.
        keep_own: Whether a value's own gradient is 1, as published, and not ``lam``.
    """
    partners = Partners(partner)
    if not partners.mixed:
        return x.clone()
    result: Tensor = _Match.apply(x, partners, lam, keep_own)  # type: ignore[no-untyped-call]
    return result


class _Match(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, partners: Partners, lam: Tensor, keep_own: bool) -> Tensor:
        wide = x.float()
        places = order(wide.flatten(0, 1)).view(x.shape)
        lent = wide.gather(2, places).index_select(0, partners.index)
        y = torch.empty_like(lent).scatter_(2, places, lent)
        y = y.lerp_(wide, lam.view(-1, 1, 1)).to(x.dtype)  # from the nearer end, so that both ends are exact
        copy_rows(x, y, partners.idle)
        ctx.partners, ctx.keep_own = partners, keep_own
        ctx.save_for_backward(places, lam)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        places, lam = ctx.saved_tensors
        partners: Partners = ctx.partners
        own = lam.view(-1, 1, 1)
        wide = g.float()
        lent = ((1 - own) * wide).gather(2, places)  # of idle rows nothing: their share is 1
        if partners.takers is None:
            lent = torch.zeros_like(lent).index_add(0, partners.index, lent)
        else:
            lent = lent.index_select(0, partners.takers)
        back = (wide if ctx.keep_own else own * wide).scatter_add(2, places, lent)
        return back.to(g.dtype), None, None, None


def order(rows: Tensor) -> Tensor:
    """Return the places of each row's values in ascending order, int64; equal values in the order of their places, NaN last.

    Args:
        rows: ``(P, L)`` float32.

    Example:
        >>> order(torch.tensor([[2.0, -1.0, 2.0, -0.0, 0.0]]))
        tensor([[1, 3, 4, 0, 2]])
    """
    numbers = (rows + 0.0).view(torch.int32)  # both zeros are one value
    numbers ^= (numbers >> 31).bitwise_and_(_LARGEST)  # the order of floats becomes that of whole numbers
    if bool(rows.sum().isnan()):
        numbers.masked_fill_(rows.isnan(), _LARGEST)
    keys = torch.add(torch.arange(rows.shape[1]), numbers, alpha=1 << 32)
    _sort(keys.numpy())
    return keys.bitwise_and_((1 << 32) - 1)


def _sort(keys: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    """Sort each row in place."""
    threads = min(torch.get_num_threads(), len(keys))
    if threads < 2 or keys.size < THREADED:
        keys.sort(axis=1)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: part.sort(axis=1), np.array_split(keys, threads)))
