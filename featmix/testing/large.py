"""Large inputs, and decisions for them, beside the many small ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod

import torch
from torch import Generator, Tensor

from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params
from featmix.testing.inputs import rows
from featmix.testing.law import Case
from featmix.testing.needs import channel_multiple, decide, layout_name, sample_shape, takes
from featmix.testing.seen import made_by, seen

SIXES = (3, 0, 4, 5, 1, 2)  # one cycle, in which nobody takes from a neighbour and no two rows from each other
MANY_ROWS = 300  # more than a byte counts
MODES = ("normal", "offset", "relu_ties")
OFFSET = 30.0


def many_channels(subject: Strategy | Normalizer) -> tuple[int, ...]:
    """A sample of some thousand channels, a number that nothing divides but the subject's groups, and few positions."""
    return shaped(subject, 1031, (2, 3, 2))


def many_positions(subject: Strategy | Normalizer) -> tuple[int, ...]:
    """A sample of some 50,000 positions, an odd number, on a grid 224 wide or more where it has two axes."""
    return shaped(subject, 2, {0: (), 1: (50401,), 2: (225, 227)}.get(_dimensions(subject), (37, 37, 37)))


def many_of_all(subject: Strategy | Normalizer) -> tuple[int, ...]:
    """A sample that is larger than those usually tried in every axis."""
    return shaped(subject, 19, {0: (), 1: (323,), 2: (17, 19)}.get(_dimensions(subject), (7, 8, 9)))


def shaped(subject: Strategy | Normalizer, channels: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of a sample: about so many channels, two groups of them at least, and the sizes of positions.

    Example:
        >>> import featmix as fm
        >>> shaped(fm.MoEx("gn4"), 10, (5, 6)), shaped(fm.MoEx(layout="bnc"), 3, (5, 6))
        ((12, 5, 6), (5, 3))
    """
    multiple, left = channel_multiple(subject), [*sizes, 2, 2, 2, 2]
    groups = max(-(-channels // multiple), 2)
    shape = tuple(multiple * groups if letter == "c" else left.pop(0) for letter in layout_name(subject)[1:])
    return shape if takes(subject, shape) else sample_shape(subject)


def large_samples(subject: Strategy | Normalizer) -> list[tuple[int, ...]]:
    """Shapes of batches: many channels, many positions, and many of everything, rows among them."""
    found = [(3, *many_channels(subject)), (17, *many_of_all(subject))]
    return found if _dimensions(subject) == 0 else [*found, (3, *many_positions(subject))]


def large(shape: Sequence[int], *, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Features of this shape, one row after the other normal, far from zero, and with ties; they say how they were made.

    Example:
        >>> large((2, 3, 4, 4), seed=0).shape
        torch.Size([2, 3, 4, 4])
    """
    modes = [MODES[row % len(MODES)] for row in range(shape[0])]
    x = rows(modes, shape[1:], seed=seed, magnitude=OFFSET, dtype=dtype)
    return made_by(x, f"large({tuple(shape)}, seed={seed}, dtype={dtype})")


def spaced(shape: Sequence[int], *, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Evenly spaced numbers in any order, none near 0: no small step changes their order or a sign.

    Example:
        >>> spaced((2, 2), seed=0).sort().values.tolist()
        [[-1.75, -0.75], [0.75, 1.75]]
    """
    count = prod(shape)
    order = torch.randperm(count, generator=Generator().manual_seed(seed)).double()
    even = (4 * (order + 0.5) / max(count, 1) - 2).view(tuple(shape))
    apart = torch.where(even < 0, even - 0.25, even + 0.25)
    return made_by(apart.to(dtype), f"spaced({tuple(shape)}, seed={seed}, dtype={dtype})")


def in_sixes(batch: int) -> Tensor:
    """Partners ``(B,)`` among each six rows; those left over at the end take from the first ones.

    Example:
        >>> in_sixes(8).tolist()
        [3, 0, 4, 5, 1, 2, 0, 1]
    """
    whole = batch - batch % len(SIXES)
    return torch.tensor([row - row % 6 + SIXES[row % 6] if row < whole else row - whole for row in range(batch)])


def repeated(batch: int) -> Tensor:
    """Partners ``(B,)`` of whom two lend to nearly all others, and nobody to itself.

    Example:
        >>> repeated(6).tolist()
        [1, 0, 0, 1, 0, 0]
    """
    return torch.tensor([int(row % 3 == 0) for row in range(batch)])


@contextmanager
def gated(strategy: Strategy, p: float) -> Iterator[None]:
    """Let a strategy mix with this probability for a while."""
    kept = strategy.p
    strategy.p = p
    try:
        yield
    finally:
        strategy.p = kept


def case_of(strategy: Strategy, x: Tensor, seed: int, partner: str = "", p: float = 1.0) -> Case:
    """A case whose decision is made with ``p``, and with partners by an expression of ``in_sixes`` or ``repeated``."""
    case = Case(strategy, x, seed)
    said = f", partner={partner}(len(x))" if partner else ""
    seen(x, seed, f"subject.p = {p}\nparams = decide(subject, x.shape, {seed}{said})")
    chosen = {"in_sixes": in_sixes, "repeated": repeated}.get(partner)
    with gated(strategy, p):
        params: Params = decide(strategy, x.shape, seed, **({} if chosen is None else {"partner": chosen(len(x))}))
    vars(case)["params"] = params
    return case


def size_of(shape: Sequence[int]) -> str:
    """Return a shape in words, for messages: ``3 x 2 x 225 x 227 (306450 elements)``."""
    return f"{' x '.join(str(size) for size in shape)} ({prod(shape)} elements)"


def _dimensions(subject: Strategy | Normalizer) -> int:
    return len(layout_name(subject)) - 2
