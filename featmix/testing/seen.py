"""What a law is looking at, so that a failure can say it: the input, and the decision, each as Python that makes it again."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary


@dataclass(frozen=True)
class Sight:
    """An input and the decision made for it.

    Args:
        x: The input; ``None`` where the law looks at draws alone.
        seed: Of the decision.
        decision: Python that makes ``params`` of ``subject``, ``x`` and what ``featmix.testing`` has; empty where that is
            ``make_params`` with the seed.
    """

    x: Tensor | None
    seed: int | None = None
    decision: str = ""


_last: list[Sight] = []
_recipes = WeakTensorKeyDictionary()


def seen(x: Tensor | None, seed: int | None = None, decision: str = "") -> None:
    """Say what the law looks at from now on."""
    _last[:] = [Sight(x, seed, decision)]


def last_seen() -> Sight | None:
    """What was said last since :func:`forget`."""
    return _last[0] if _last else None


def forget() -> None:
    """Nothing has been looked at yet."""
    _last.clear()


def made_by(x: Tensor, recipe: str) -> Tensor:
    """Remember Python that makes this tensor, which is shorter than its values; returns the tensor.

    Example:
        >>> import torch
        >>> recipe_of(made_by(torch.zeros(1000), "torch.zeros(1000)"))
        'torch.zeros(1000)'
    """
    _recipes[x] = recipe
    return x


def recipe_of(x: Tensor) -> str:
    """Return the Python that makes this tensor; empty where none was remembered."""
    return str(_recipes[x]) if x in _recipes else ""
