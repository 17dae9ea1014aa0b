"""What the kernels are compared with, written with ordinary operations."""

import torch

from tests.kernels.gpu.devices import DEVICE


def features(shape, dtype=torch.float32, last=False, ratio=0.0, seed=1):
    """Random features whose mean is ``ratio`` deviations away from 0."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + ratio
    form = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim) if last else torch.contiguous_format
    return x.to(dtype).contiguous(memory_format=form).to(DEVICE)


def takers(partner):
    """The row that took from each; ``None`` where some row is taken twice."""
    rows = torch.arange(len(partner), device=partner.device)
    real = partner != rows
    if partner[real].unique().numel() < real.sum():
        return None
    return torch.full_like(partner, -1).index_put_((partner[real],), rows[real])


def like_rows(values, x):
    """A value for each row, broadcastable to ``x``."""
    return values.view(-1, *[1] * (x.ndim - 1))


def mixed_rows(partner, x):
    """Which rows are not their own partner, broadcastable to ``x``."""
    return like_rows(partner != torch.arange(len(partner), device=partner.device), x)


def exchanged(x, blend):
    """Moment exchange; whether moments are constants is as ``blend`` says."""
    mean = x.mean(blend.dims, keepdim=True)
    std = x.var(blend.dims, keepdim=True, correction=int(blend.unbiased)).add(blend.eps).sqrt()
    if blend.detach:
        mean, std = mean.detach(), std.detach()
    lent = [m[blend.partner].detach() if blend.detach_partner else m[blend.partner] for m in (mean, std)]
    share = 0.0 if blend.lam is None else like_rows(blend.lam.to(x.dtype), x)
    new_mean, new_std = (share * own + (1 - share) * other for own, other in zip((mean, std), lent, strict=True))
    y = (x - mean) * (new_std / (std + blend.outside)) + new_mean
    return torch.where(mixed_rows(blend.partner, x), y, x)


def near(found, exact, formula, dtype, roundings=4):
    """No more than twice as far off as the formula in float32, and some roundings of the largest value."""
    off, allowed = ((value.double() - exact).abs().max() for value in (found, formula))
    assert off <= 2 * allowed + roundings * torch.finfo(dtype).eps * exact.abs().max()
