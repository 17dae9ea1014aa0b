"""Strengths, partners and gates.

Every function takes the stream of one decision, a ``numpy.random.Generator``, and returns arrays. Global generators are left
alone, except torch's default one where :func:`stream` is given no other.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from featmix.errors import FeatmixError
from featmix.sampling.words import Partner, Per

if TYPE_CHECKING:
    Stream: TypeAlias = np.random.Generator
else:
    Stream = Any  # numpy.random is imported at the first draw: it takes longer than most other modules here
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]

PARTNERS = get_args(Partner)
PER: tuple[str, ...] = get_args(Per)
TINY = 1e-300  # a smaller parameter of Beta would give infinite logarithms, whose difference is no number


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
    bits = np.random.Philox(0)
    _seed(bits, generator)
    return np.random.Generator(bits)


_SKIPPED_AT_ONCE = 2**20  # a resumed run may be long


def skip(generator: Generator, streams: int) -> None:
    """Move a generator on as if it had seeded so many streams.

    Example:
        >>> one, other = Generator().manual_seed(0), Generator().manual_seed(0)
        >>> skip(one, 2)
        >>> drawn = [stream(other) for _ in range(2)]
        >>> stream(one).random() == stream(other).random()
        True
    """
    if generator.device.type == "cuda":
        generator.set_offset(generator.get_offset() + 4 * streams)
    else:
        for begin in range(0, streams, _SKIPPED_AT_ONCE):
            torch.empty(min(streams - begin, _SKIPPED_AT_ONCE), dtype=torch.int64).random_(generator=generator)


class _Spare(threading.local):
    """Streams of a thread that nobody uses: making one takes longer than all that one decision draws from it."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []


_spare = _Spare()


class borrowed:  # noqa: N801 - used like a function, in a with statement
    """Lends a stream as :func:`stream` makes it, to be used within a ``with`` statement and not after it.

    Args:
        generator: See :func:`stream`.
        key: What :func:`key_of` gave, in place of a generator.

    Example:
        >>> with borrowed(Generator().manual_seed(0)) as random:
        ...     random.random() == stream(Generator().manual_seed(0)).random()
        True
    """

    def __init__(self, generator: Generator | None = None, *, key: tuple[int, int] | None = None) -> None:
        self._generator, self._key = generator, key

    def __enter__(self) -> Stream:
        self._stream = _spare.streams.pop() if _spare.streams else np.random.Generator(np.random.Philox(0))
        _seed(self._stream.bit_generator, self._generator, self._key)
        return self._stream

    def __exit__(self, *_: object) -> None:
        _spare.streams.append(self._stream)


def key_of(generator: Generator | None) -> tuple[int, int]:
    """Return what a generator seeds the next stream with, and move it on.

    Example:
        >>> key = key_of(Generator().manual_seed(0))
        >>> with borrowed(key=key) as random:
        ...     random.random() == stream(Generator().manual_seed(0)).random()
        True
    """
    if generator is not None and generator.device.type == "cuda":
        offset = generator.get_offset()
        generator.set_offset(offset + 4)  # a whole step of CUDA's Philox
        return generator.initial_seed() % 2**64, offset
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator)), 0


def _seed(bits: np.random.BitGenerator, generator: Generator | None, key: tuple[int, int] | None = None) -> None:
    key = key_of(generator) if key is None else key
    bits.state = {**_BEGINNING, "state": {"counter": _ZEROS, "key": np.array(key, dtype=np.uint64)}}


_ZEROS = np.zeros(4, dtype=np.uint64)
_BEGINNING = {"bit_generator": "Philox", "buffer": _ZEROS, "buffer_pos": 4, "has_uint32": 0, "uinteger": 0}


@lru_cache(maxsize=64)
def rows(n: int) -> Rows:
    """Return 0, 1, ..., n - 1; the array is shared and read-only."""
    found = np.arange(n)
    found.flags.writeable = False
    return found


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
    found = np.empty(n, dtype=np.bool_)
    found.fill(random.random() < p)
    return found


def beta(random: Stream, n: int, a: float, b: float) -> Floats:
    """Return ``n`` strengths from Beta(a, b). ``b = 0`` gives 1: no mixing.

    Drawn through logarithms of gamma variates, ``log G(a) = log G(a + 1) + log(U) / a``. For a small ``a`` the variates
    themselves underflow, and a quarter of the mass of torch's own Beta lies near one half.
    """
    if b == 0:
        return np.ones(n)
    a, b = max(a, TINY), max(b, TINY)
    if n == 1:  # the usual case, several times faster with plain numbers
        return np.array([_sigmoid(_log_gamma(random, a) - _log_gamma(random, b))])
    first, second = (np.log(random.standard_gamma(c + 1.0, n)) + np.log(1.0 - random.random(n)) / c for c in (a, b))
    drawn: Floats = np.exp(-np.logaddexp(0.0, second - first))
    return drawn


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
    n = len(partner)
    taker = np.empty(n, dtype=np.int64)
    taker.fill(-1)
    taken, taking = partner, rows(n)
    moved = partner != taking
    if np.count_nonzero(moved) < n:
        taking = np.flatnonzero(moved)
        taken = partner.take(taking)
    taker[taken] = taking
    return taker if np.count_nonzero(taker.take(taken) == taking) == len(taking) else None


def _log_gamma(random: Stream, shape: float) -> float:
    u = 1.0 - random.random()  # (0, 1]: the logarithm is finite
    return math.log(random.standard_gamma(shape + 1.0)) + math.log(u) / shape


def _sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z)) if z >= 0 else math.exp(z) / (1.0 + math.exp(z))


def _derangement(random: Stream, n: int) -> Rows:
    still = rows(n)
    while True:  # a permutation has no fixed point with probability 1/e: one of four tries is enough five times out of six
        tries = random.random((4, n)).argsort(axis=1)
        moved = np.flatnonzero((tries != still).all(axis=1)) if n > 1 else still
        if len(moved) or n == 0:
            return tries[moved[0]] if n else still


def _across_halves(random: Stream, n: int) -> Rows:
    first, rest = n // 2, n - n // 2
    return np.concatenate([first + random.permutation(rest), random.permutation(first)])


def _across_domains(random: Stream, domain: Rows) -> Rows:
    n = len(domain)
    _, code = np.unique(domain, return_inverse=True)
    largest = int(np.bincount(code).max()) if n else 0
    if n == 0 or largest == n:
        return rows(n)
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
