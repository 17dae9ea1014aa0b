"""A failure that reads like an explanation."""

from __future__ import annotations

import textwrap
import traceback
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from featmix.testing.law import Law

_WIDTH = 118


def explanation(one: Law, subject: Any, error: BaseException, *, x: Tensor | None, seed: int, tried: int) -> str:
    """Return a text for people: the law, what was measured and allowed, the smallest input found, and the usual cause.

    Args:
        one: The law.
        subject: What it was held against.
        error: What the law raised.
        x: The smallest input found, where the law is drawn.
        seed: Of the decision made for it.
        tried: How many inputs were tried.
    """
    parts = [("demanded", one.statement), ("measured", measured(error))]
    if not isinstance(error, AssertionError):
        parts.append(("raised at", _place(error)))
    if one.tolerance:
        parts.append(("tolerance", one.tolerance))
    if x is not None:
        decision = f"\nparams = strategy.make_params(x.shape, generator=torch.Generator().manual_seed({seed}))"
        parts.append(("smallest input", f"x = {pasteable(x)}{'' if one.kind == 'normalizer' else decision}"))
    parts.append(("usual cause", one.cause))
    count = f" ({tried} inputs tried)" if one.drawn else ""
    return "\n".join([f"{subject} breaks the law {one.name!r}{count}.", *_columns(parts)])


def measured(error: BaseException) -> str:
    """Return the words of a law that failed, or the error that was raised instead."""
    return str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"


def pasteable(x: Tensor) -> str:
    """A tensor as an expression that makes it again, bit for bit.

    Example:
        >>> import torch
        >>> pasteable(torch.tensor([[1.0, -2.5]], dtype=torch.float16))
        'torch.tensor([[1.0, -2.5]], dtype=torch.float16)'
    """
    if x.numel() == 0:
        return f"torch.zeros({tuple(x.shape)}, dtype={x.dtype})"
    numbers = str(x.double().tolist())  # every dtype's values are float64 values, and repr of those is exact
    for word in ("nan", "inf"):
        numbers = numbers.replace(word, f"float('{word}')")
    return f"torch.tensor({numbers}, dtype={x.dtype})"


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}, in {frame.name}"


def _columns(parts: Iterable[tuple[str, str]]) -> list[str]:
    lines = []
    for title, text in parts:
        rows = [row for line in text.split("\n") for row in (textwrap.wrap(line, _WIDTH) or [""])]
        lines += [f"  {title:<15} {rows[0]}", *(f"  {'':<15} {row}" for row in rows[1:])]
    return lines
