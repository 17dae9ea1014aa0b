"""Parameters of functions, looked up once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1024)
def parameters_of(function: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    """Return the parameters of a function, ``self`` included.

    Example:
        >>> [one.name for one in parameters_of(parameters_of.__wrapped__)]
        ['function']
    """
    return tuple(inspect.signature(function).parameters.values())
