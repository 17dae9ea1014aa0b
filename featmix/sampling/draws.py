"""All randomness of featmix: strengths, partners, gates and boxes.

Every function takes a ``torch.Generator``; ``None`` means torch's default one. With a generator given, global state is
left alone. Draws are made in float64 on the generator's device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Generator, Tensor

from featmix.errors import FeatmixError
from featmix.sampling.words import Partner

PARTNERS = get_args(Partner)


def uniform(n: int, generator: Generator | None = None) -> Tensor:
    """``n`` numbers from U[0, 1), float64."""
    return torch.rand(n, dtype=torch.float64, generator=generator, device=_device(generator))


def normal(shape: Sequence[int], generator: Generator | None = None) -> Tensor:
    """Standard normal noise of this shape, float64."""
    return torch.randn(tuple(shape), dtype=torch.float64, generator=generator, device=_device(generator))


def gate(n: int, p: float, *, per: str, generator: Generator | None = None) -> Tensor:
    """Which of ``n`` rows are mixed: ``(n,)`` bool, all alike with ``per="batch"``. ``r < p``: 0 never, 1 always."""
    draws = uniform(n if per == "sample" else 1, generator)
    return (draws < p).expand(n).clone()


def beta(n: int, alpha: float, *, per: str, generator: Generator | None = None) -> Tensor:
    """``n`` strengths from Beta(alpha, alpha), float64, one for all with ``per="batch"``. ``alpha`` 0 gives 1: no mixing.

    Through logarithms of gamma variates, ``log G(a) = log G(a + 1) + log(U) / a``: for a small ``alpha`` the variates
    themselves underflow, and torch's own Beta then piles up a quarter of its mass near one half.
    """
    count = n if per == "sample" else 1
    if alpha == 0:
        return torch.ones(n, dtype=torch.float64, device=_device(generator))
    shape = torch.full((2, count), alpha + 1.0, dtype=torch.float64, device=_device(generator))
    u = 1.0 - torch.rand(2, count, dtype=torch.float64, generator=generator, device=shape.device)  # (0, 1]: log is finite
    log_gamma, log_u = torch._standard_gamma(shape, generator).log(), u.log()
    return torch.sigmoid(log_gamma[0] - log_gamma[1] + (log_u[0] - log_u[1]) / alpha).expand(n).clone()


def partners(n: int, kind: str = "derangement", *, domain: Tensor | None = None, generator: Generator | None = None) -> Tensor:
    """Who takes from whom: ``(n,)`` int64, row ``i`` takes from row ``partner[i]``.

    Args:
        n: Rows in the batch.
        kind: ``derangement`` (uniform among permutations without fixed point), ``permutation`` (the papers' ``randperm``)
            or ``crossdomain``.
        domain: ``(n,)`` domain labels for ``crossdomain``. Each row then takes from a row of another domain; where there
            is no other domain in the batch, from itself. Without labels the two halves of the batch take from each other,
            and in an odd batch the middle row belongs to the first half (Dassl's reading of MixStyle).
        generator: Source of randomness.
    """
    if kind == "derangement":
        return _derangement(n, generator)
    if kind == "permutation":
        return _permutation(n, generator)
    if kind == "crossdomain":
        return _across_halves(n, generator) if domain is None else _across_domains(domain, generator)
    raise FeatmixError("partners", "kind", expected=f"one of {', '.join(PARTNERS)}", got=repr(kind))


def boxes(sizes: Sequence[int], lam: Tensor, generator: Generator | None = None, *, per: str = "batch") -> Tensor:
    """CutMix boxes (Yun et al., ICCV 2019, eq. 2), in any number of dimensions.

    A box has side ``int(S * (1 - lam) ** (1 / d))`` along a dimension of size ``S`` (``d`` dimensions), a centre uniform
    over the integers in ``[0, S)`` and edges ``centre -+ side // 2``, clipped to the map.

    Args:
        sizes: Sizes of the position axes.
        lam: ``(n,)`` strengths drawn: the share that should stay.
        generator: Source of randomness.
        per: One centre for the ``batch`` or one per ``sample``.

    Returns:
        ``(n, d, 2)`` int64: first position inside and first position past the box.
    """
    n, d = len(lam), len(sizes)
    size = torch.tensor(sizes, dtype=torch.float64, device=lam.device)
    side = (size * (1 - lam.double()).pow(1 / d).unsqueeze(1)).long()
    draws = uniform((n if per == "sample" else 1) * d, generator).to(lam.device).view(-1, d)
    centre = (draws * size).long().expand(n, d)
    edges = torch.stack([centre - side // 2, centre + side // 2], dim=-1)
    return torch.minimum(edges.clamp(min=0), size.long().view(1, d, 1))


def _device(generator: Generator | None) -> torch.device:
    return generator.device if generator is not None else torch.device("cpu")


def _permutation(n: int, generator: Generator | None) -> Tensor:
    return torch.randperm(n, generator=generator, device=_device(generator))


def _derangement(n: int, generator: Generator | None) -> Tensor:
    rows = torch.arange(n, device=_device(generator))
    while True:  # a permutation has no fixed point with probability 1/e, so this takes 2.7 rounds on average
        drawn = _permutation(n, generator)
        if n < 2 or not bool((drawn == rows).any()):
            return drawn


def _across_halves(n: int, generator: Generator | None) -> Tensor:
    first, rest = n // 2, n - n // 2
    return torch.cat([first + _permutation(rest, generator), _permutation(first, generator)])


def _across_domains(domain: Tensor, generator: Generator | None) -> Tensor:
    device, n = _device(generator), len(domain)
    rows = torch.arange(n, device=device)
    _, code = torch.unique(domain.to(device), return_inverse=True)
    largest = int(code.bincount().max()) if n else 0
    if n == 0 or largest == n:
        return rows
    if 2 * largest > n:  # no permutation can serve the largest domain: every row chooses for itself
        return torch.multinomial((code[:, None] != code[None, :]).double(), 1, generator=generator).squeeze(1)
    # Domains lie end to end around a circle; a step of `largest` to `n - largest` leaves every one of them.
    shuffled = _permutation(n, generator)
    circle = shuffled[_permutation(int(code.max()) + 1, generator)[code[shuffled]].argsort(stable=True)]
    step = largest + int(uniform(1, generator) * (n - 2 * largest + 1))
    return torch.empty_like(rows).scatter_(0, circle, circle.roll(-step))
