"""Strengths, partners and gates.

Every function takes the stream of one decision, a ``numpy.random.Generator``, and returns arrays. Global generators are left
alone, except torch's default one where :func:`stream` is given no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.random import Philox
from numpy.typing import NDArray
from torch import Generator

from featmix.errors import FeatmixError

Stream = np.random.Generator
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]

Per = Literal["batch", "sample"]
PARTNERS = ("derangement", "permutation", "crossdomain")
PER: tuple[str, ...] = get_args(Per)


def stream(generator: Generator | None = None) -> Stream:
    """Return a NumPy stream that is seeded by one number of a torch generator.

    Args:
        generator: ``None`` is torch's default generator. One that lives on a CUDA device gives its seed and offset and moves
            on by one step, so that the host does not wait for the device.

    Example:
        >>> one, other = (stream(Generator().manual_seed(0)) for _ in range(2))
        >>> one.random() == other.random()
        True
    """
    if generator is not None and generator.device.type == "cuda":
        offset = generator.get_offset()
        generator.set_offset(offset + 4)  # a whole step of CUDA's Philox
        return Stream(Philox([generator.initial_seed(), offset]))
    return Stream(Philox(int(torch.empty((), dtype=torch.int64).random_(generator=generator))))


def uniform(random: Stream, n: int) -> Floats:
    """Return ``n`` numbers from U[0, 1)."""
    return random.random(n)


def normal(random: Stream, shape: Sequence[int]) -> NDArray[np.float32]:
    """Return standard normal noise of this shape, float32."""
    return random.standard_normal(tuple(shape), dtype=np.float32)


def gate(random: Stream, n: int, p: float, *, per: str) -> Flags:
    """Return which of ``n`` rows are mixed, all alike with ``per="batch"``. ``r < p``: 0 never, 1 always."""
    if per == "sample":
        return random.random(n) < p
    return np.full(n, random.random() < p)


def beta(random: Stream, n: int, a: float, b: float, *, per: str) -> Floats:
    """Return ``n`` strengths from Beta(a, b), one for all with ``per="batch"``. ``b = 0`` gives 1: no mixing.

    Drawn through logarithms of gamma variates, ``log G(a) = log G(a + 1) + log(U) / a``. For a small ``a`` the variates
    themselves underflow, and a quarter of the mass of torch's own Beta lies near one half.
    """
    if b == 0:
        return np.ones(n)
    count = n if per == "sample" else 1
    first, second = _log_gamma(random, a, count), _log_gamma(random, b, count)
    drawn: Floats = np.exp(-np.logaddexp(0.0, second - first))
    return drawn if per == "sample" else np.full(n, drawn[0])


def partners(random: Stream, n: int, kind: str = "derangement", *, domain: Rows | None = None) -> Rows:
    """Return who takes from whom: row ``i`` takes from row ``partner[i]``.

    Args:
        random: The stream of this decision.
        n: Rows in the batch.
        kind: ``derangement`` (uniform among permutations without fixed point), ``permutation`` (the papers' ``randperm``)
            or ``crossdomain``.
        domain: ``(n,)`` domain labels for ``crossdomain``. Each row then takes from a row of another domain; where there
            is no other domain in the batch, from itself. Without labels the two halves of the batch take from each other,
            and in an odd batch the middle row belongs to the first half (Dassl's reading of MixStyle).

    Raises:
        FeatmixError: If there is no such kind.

    Example:
        >>> drawn = partners(stream(Generator().manual_seed(0)), 5)
        >>> sorted(drawn.tolist()), (drawn == np.arange(5)).any()
        ([0, 1, 2, 3, 4], np.False_)
    """
    if kind == "derangement":
        return _derangement(random, n)
    if kind == "permutation":
        return random.permutation(n)
    if kind == "crossdomain":
        return _across_halves(random, n) if domain is None else _across_domains(random, domain)
    raise FeatmixError("partners", "kind", expected=f"one of {', '.join(PARTNERS)}", got=repr(kind))


def takers(partner: Rows) -> Rows | None:
    """Return for each row the row that took from it: the inverse of the partners, -1 where nobody but itself did.

    Args:
        partner: ``(n,)``, rows that take from nobody their own partners.

    Returns:
        ``(n,)``, or ``None`` where two rows took from the same one.

    Example:
        >>> takers(np.array([1, 2, 0, 3])).tolist(), takers(np.array([1, 1, 1])) is None
        ([2, 0, 1, -1], True)
    """
    rows = np.arange(len(partner))
    taking = rows[partner != rows]
    taker = np.full(len(partner), -1)
    taken = partner[taking]
    taker[taken] = taking
    return taker if np.array_equal(taker[taken], taking) else None


def _log_gamma(random: Stream, shape: float, count: int) -> Floats:
    u = 1.0 - random.random(count)  # (0, 1]: the logarithm is finite
    logs: Floats = np.log(random.standard_gamma(shape + 1.0, count)) + np.log(u) / shape
    return logs


def _derangement(random: Stream, n: int) -> Rows:
    rows = np.arange(n)
    while True:  # a permutation has no fixed point with probability 1/e, so this takes 2.7 rounds on average
        drawn = random.permutation(n)
        if n < 2 or np.count_nonzero(drawn == rows) == 0:
            return drawn


def _across_halves(random: Stream, n: int) -> Rows:
    first, rest = n // 2, n - n // 2
    return np.concatenate([first + random.permutation(rest), random.permutation(first)])


def _across_domains(random: Stream, domain: Rows) -> Rows:
    n = len(domain)
    _, code = np.unique(domain, return_inverse=True)
    largest = int(np.bincount(code).max()) if n else 0
    if n == 0 or largest == n:
        return np.arange(n)
    if 2 * largest > n:  # no permutation can serve the largest domain: every row chooses for itself
        wishes = np.where(code[:, None] != code[None, :], random.random((n, n)), -1.0)
        choice: Rows = wishes.argmax(1)
        return choice
    # Domains lie end to end around a circle; a step of `largest` to `n - largest` leaves every one of them.
    shuffled = random.permutation(n)
    circle = shuffled[np.argsort(random.permutation(int(code.max()) + 1)[code[shuffled]], kind="stable")]
    step = largest + int(random.random() * (n - 2 * largest + 1))
    drawn = np.empty(n, dtype=np.int64)
    drawn[circle] = np.roll(circle, -step)
    return drawn
