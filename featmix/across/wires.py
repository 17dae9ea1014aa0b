"""Gathers moments of all ranks: one all-gather forward, one reduce-scatter backward, both traced by compilers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from featmix.across.link import Link


class Gathering:
    """An asynchronous all-gather of tensors.

    Args:
        x: ``(B, ...)`` of this rank; other ranks may only differ in ``B``.
        room: Largest number of rows of a rank; ranks with fewer rows are padded with zeros.
        link: The ranks.
    """

    def __init__(self, x: Tensor, room: int, link: Link) -> None:
        self._link = link
        if len(x) < room:
            x = torch.cat([x, x.new_zeros(room - len(x), *x.shape[1:])])
        self._own = x.contiguous()
        self._pending = _operators().all_gather_into_tensor(self._own.detach(), link.size, link.name)

    def wait(self) -> Tensor:
        """Return the tensors of all ranks, ``(ranks * room, ...)``; gradients of a row are summed on its own rank."""
        found: Tensor = _Arrived.apply(self._own, self._pending, self._link.size, self._link.name)  # type: ignore[no-untyped-call]
        return found


class _Arrived(torch.autograd.Function):
    """The gathered tensor as a function of this rank's part."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, pending: Tensor, size: int, name: str) -> Tensor:
        ctx.size, ctx.name = size, name
        found: Tensor = _operators().wait_tensor(pending)
        return found

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        return _Added.apply(g.contiguous(), ctx.size, ctx.name), None, None, None  # type: ignore[no-untyped-call]


class _Added(torch.autograd.Function):
    """The sum of the parts for this rank over all ranks."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, size: int, name: str) -> Tensor:
        ctx.size, ctx.name = size, name
        operators = _operators()
        found: Tensor = operators.wait_tensor(operators.reduce_scatter_tensor(parts, "sum", size, name))
        return found

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        operators = _operators()
        pending = operators.all_gather_into_tensor(g.contiguous(), ctx.size, ctx.name)
        return _Arrived.apply(g, pending, ctx.size, ctx.name), None, None  # type: ignore[no-untyped-call]


def _operators() -> Any:
    return torch.ops._c10d_functional
