"""A failure that reads like an explanation."""

from __future__ import annotations

import re
import textwrap
import traceback
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from featmix.testing.law import Law
from featmix.testing.needs import decision_in_words
from featmix.testing.seen import Sight, recipe_of
from featmix.testing.source import source

_WIDTH = 118
_LEGIBLE = 64  # numbers that are printed where there is a shorter way to make them
_HELPERS = {  # what the lines may use, and where it is
    "reproduce": "featmix.testing",
    "rows": "featmix.testing.inputs",
    "noise": "featmix.testing.inputs",
    "sources": "featmix.testing.label_laws",
    "masked": "featmix.testing.padding_laws",
    "Case": "featmix.testing.law",
    "target_for": "featmix.testing.needs",
    "large": "featmix.testing.large",
    "spaced": "featmix.testing.large",
    "in_sixes": "featmix.testing.large",
    "repeated": "featmix.testing.large",
    "large_sources": "featmix.testing.size_laws",
    "decide": "featmix.testing.needs",
    "batch": "featmix.testing.host",
    "host": "featmix.testing.host",
    "SITE": "featmix.testing.host",
    "attach": "featmix",
    "gated_apart": "featmix.testing.uses",
    "twin": "featmix.testing.uses",
    "linear": "featmix.schedule",
}


def explanation(
    one: Law,
    subject: Any,
    error: BaseException,
    *,
    sight: Sight | None = None,
    tried: int = 1,
    dtype: torch.dtype | None = None,
) -> str:
    """Return a text for people: the law, what was measured and allowed, the usual cause, and Python to see it again.

    Args:
        one: The law.
        subject: What it was held against.
        error: What the law raised.
        sight: What the law was looking at: the smallest input found, where it is drawn.
        tried: How many inputs were tried.
        dtype: In which it was tried.
    """
    parts = [("demanded", one.statement), ("measured", measured(error))]
    if not isinstance(error, AssertionError):
        parts.append(("raised at", _place(error)))
    if one.tolerance:
        parts.append(("tolerance", one.tolerance))
    parts.append(("usual cause", one.cause))
    if sight is not None and sight.seed is not None:
        parts.append(("seed", str(sight.seed)))
    title = "smallest input" if one.drawn else "input"
    parts.append((title, "in the Python below, which can be pasted as it is and fails in the same way:"))
    count = f" ({tried} inputs tried)" if one.drawn else ""
    again = python_again(one, subject, sight, dtype)
    return "\n".join([f"{called(subject)} breaks the law {one.name!r}{count}.", *_columns(parts), "", *again])


def python_again(one: Law, subject: Any, sight: Sight | None, dtype: torch.dtype | None) -> list[str]:
    """Return lines of Python, to be pasted, that make the subject and the input and hold the one to the law on the other."""
    imports, made = source(subject)
    lines, arguments = (
        [f"subject = {made}" if made else f"# subject = {called(subject)}  # as you made it"],
        [repr(one.name), "subject"],
    )
    if sight is not None:
        if sight.x is not None:
            recipe = recipe_of(sight.x) if sight.x.numel() > _LEGIBLE else ""
            lines.append(f"x = {recipe or pasteable(sight.x)}")
        decision = sight.decision
        if not decision and sight.seed is not None and one.kind != "normalizer":
            decision = f"params = {decision_in_words(subject, 'x.shape', sight.seed)}"
        lines += decision.split("\n") if decision else []
    if one.drawn and sight is not None:
        arguments += ["x"] if one.kind == "normalizer" else ["x", f"seed={sight.seed}"]
    elif one.every_dtype:
        arguments.append(f"dtype={dtype}")
    lines.append(f"reproduce({', '.join(arguments)})")
    words = set(re.findall(r"\w+", "\n".join(lines)))
    for module in sorted(set(_HELPERS.values())):
        names = sorted(name for name, home in _HELPERS.items() if home == module and name in words)
        imports |= {f"from {module} import {', '.join(names)}"} if names else set()
    return ["import torch", *sorted(imports), *lines]


def called(subject: Any) -> str:
    """Return what a subject prints, or its class's name where it cannot be printed."""
    try:
        return str(subject)
    except Exception:
        return type(subject).__name__


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
