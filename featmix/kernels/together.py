"""Mixing rows on the CPU, many small samples at once."""

from __future__ import annotations

import torch
from torch import Tensor

from featmix.kernels import pages
from featmix.kernels.blocks import blocks, copy_rows
from featmix.kernels.partners import Partners

Box = tuple[slice, ...]
SMALL = 1 << 16  # elements; up to here, operations cost more than memory


class Blend:
    """Rows ``lam * x_i + (1 - lam) * x_j``.

    Args:
        partner: ``(B,)``, the row that each row takes from; itself where it is idle.
        lam: ``(B,)``, the own share; 1 where a row is idle.
    """

    def __init__(self, partner: Tensor, lam: Tensor) -> None:
        self.partners, self.lam = Partners(partner), lam
        shares = lam.tolist()
        found = {shares[row] for row in self.partners.mixed}
        self.same = found.pop() if len(found) == 1 else None

    def mixed(self, x: Tensor) -> Tensor:
        """Return the mixed batch in new memory."""
        if not self.partners.mixed:
            return pages.copied(x)
        if self.same is not None and x.numel() <= SMALL and x.is_contiguous():
            y = x.index_select(0, self.partners.index).lerp_(x, self.same)
        else:
            y = self._in_blocks(x)
        copy_rows(x, y, self.partners.idle)
        return y

    def _in_blocks(self, x: Tensor) -> Tensor:
        y = pages.empty_like(x)
        for own, to, partner, lam in blocks(_flat(x), _flat(y), self.partners.index, self.lam):
            self._blend(own, torch.index_select(_flat(x), 0, partner, out=to), lam, to)
        return y

    def _blend(self, own: Tensor, other: Tensor, lam: Tensor, to: Tensor) -> None:
        """Write ``lam * own + (1 - lam) * other``."""
        if self.same is not None:
            torch.lerp(other, own, self.same, out=to)
        elif own.dtype in (torch.float16, torch.bfloat16):
            to.copy_(torch.lerp(other.float(), own.float(), lam.unsqueeze(1)))
        else:
            torch.lerp(other, own, lam.to(own.dtype).unsqueeze(1), out=to)

    def mix_in_place(self, x: Tensor) -> Tensor:
        """Return the mixed batch in the memory of ``x``, by way of new memory: the batch is small."""
        return x.copy_(self.mixed(x))

    def returned(self, g: Tensor, like: Tensor) -> Tensor:
        """Return the gradient of the batch."""
        if not self.partners.mixed:
            return g
        takers = self.partners.takers
        if takers is not None and self.same is not None and g.numel() <= SMALL and g.is_contiguous():
            to = g.index_select(0, takers).lerp_(g, self.same)
            copy_rows(g, to, self.partners.idle)
            return to
        to = pages.empty_like(like)
        flat, back = _flat(_as(g, like)), _flat(to)
        if takers is not None and self.same is not None:
            torch.lerp(torch.index_select(flat, 0, takers, out=back), flat, self.same, out=back)
            copy_rows(g, to, self.partners.idle)
            return to
        torch.mul(flat, self.lam.to(flat.dtype).unsqueeze(1), out=back)
        copy_rows(g, to, self.partners.idle)
        rows = torch.tensor(self.partners.mixed, dtype=torch.int64)
        lent = flat.index_select(0, rows) * (1 - self.lam[rows]).to(flat.dtype).unsqueeze(1)
        back.index_add_(0, self.partners.index[rows], lent)
        return to


class Paste:
    """Rows that are the partner's inside one box for all: what lies in it is gathered and written at once.

    Args:
        partner: ``(B,)``.
        box: The part of each sample.
    """

    def __init__(self, partner: Tensor, box: Box) -> None:
        self.partner, self.box = partner, (slice(None), *box)

    def mixed(self, x: Tensor) -> Tensor:
        """Return the mixed batch in new memory."""
        y = pages.copied(x)
        torch.index_select(x[self.box], 0, self.partner, out=y[self.box])
        return y

    def mix_in_place(self, x: Tensor) -> Tensor:
        """Return the mixed batch in the memory of ``x``."""
        x[self.box] = x[self.box].index_select(0, self.partner)
        return x

    def returned(self, g: Tensor, like: Tensor) -> Tensor:
        """Return the gradient of the batch."""
        partners = Partners(self.partner)
        if not partners.mixed:
            return g
        to, taken = pages.copied(_as(g, like)), g[self.box]
        if partners.takers is None:
            to[self.box] = torch.zeros_like(taken).index_add_(0, self.partner, taken)
        else:
            to[self.box] = taken.index_select(0, partners.takers)
        return to


class Select:
    """Rows ``x_i + share * (x_j - x_i)``; with a bool share ``x_j`` where it is true.

    Args:
        partner: ``(B,)``.
        share: Bool or in [0, 1], broadcastable to the features and with as many axes; one for all rows, or one for each.
    """

    def __init__(self, partner: Tensor, share: Tensor) -> None:
        self.partners = Partners(partner)
        self.share = share if share.stride(0) else share[:1]  # one for all, spread out

    def mixed(self, x: Tensor) -> Tensor:
        """Return the mixed batch in new memory."""
        if not self.partners.mixed:
            return pages.copied(x)
        y = pages.empty_like(x)
        self._choose(x, x, self.partners.index, y)
        copy_rows(x, y, self.partners.idle)
        return y

    def mix_in_place(self, x: Tensor) -> Tensor:
        """Return the mixed batch in the memory of ``x``, by way of new memory."""
        return x.copy_(self.mixed(x))

    def returned(self, g: Tensor, like: Tensor) -> Tensor:
        """Return the gradient of the batch."""
        if not self.partners.mixed:
            return g
        to, g = pages.empty_like(like), _as(g, like)
        if self.partners.takers is not None and len(self.share) == 1:  # a row loses where another one takes
            self._choose(g, g, self.partners.takers, to)
            return to
        for h, back, share in blocks(g, to, self._shares(g)):
            back.copy_(h - h * share if share.dtype != torch.bool else h.masked_fill(share, 0))
        copy_rows(g, to, self.partners.idle)
        for row in self.partners.mixed:
            share = self.share[row % len(self.share)]
            to[self.partners.rows[row]].add_(torch.where(share, g[row], 0) if share.dtype == torch.bool else share * g[row])
        return to

    def _choose(self, own: Tensor, lender: Tensor, rows: Tensor, to: Tensor) -> None:
        """Write the own rows, and what ``rows`` of the lender have in their share."""
        for block, result, share, index in blocks(own, to, self._shares(own), rows):
            lent = lender[int(index)].unsqueeze(0) if len(index) == 1 else lender.index_select(0, index)
            if share.dtype == torch.bool:
                torch.where(share, lent, block, out=result)
            else:
                wide = torch.promote_types(block.dtype, torch.float32)
                blend = torch.lerp(block.to(wide), lent.to(wide), share.to(wide))
                result.copy_(torch.where(share > 0, blend.to(block.dtype), block))

    def _shares(self, x: Tensor) -> Tensor:
        return self.share.expand(len(x), *self.share.shape[1:])


def _flat(x: Tensor) -> Tensor:
    """Return a batch as ``(B, n)`` in the order of its memory: a view."""
    if x.is_contiguous():
        return x.view(len(x), -1)
    return x.movedim(1, -1).reshape(len(x), -1)


def _as(g: Tensor, like: Tensor) -> Tensor:
    """Return a gradient with the strides of the features."""
    return g if g.stride() == like.stride() else torch.empty_like(like, device=g.device).copy_(g)
