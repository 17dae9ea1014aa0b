"""One function that takes whatever can be held to the laws."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from featmix.errors import FeatmixError
from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy
from featmix.testing.adapters.functions import from_function
from featmix.testing.adapters.normalizers import METHODS, from_normalizer
from featmix.testing.adapters.torch_layers import TORCH_NORMS, from_torch_norm

ACCEPTED = (
    "a Strategy, a Normalizer, a class of either that needs no arguments, a function f(x, partner), an object with moments, "
    "normalize and denormalize, or one of torch's layers " + ", ".join(cls.__name__ for cls in TORCH_NORMS)
)


def adapt(subject: Any) -> Strategy | Normalizer:
    """A strategy or normalizer that the laws can be tried on, made of ``subject``.

    Strategies and normalizers come out as they are, classes are instantiated without arguments, and everything else goes
    through :func:`from_function`, :func:`from_normalizer` or :func:`from_torch_norm` with their defaults.

    Raises:
        FeatmixError: If it is none of these, or a class that cannot be instantiated without arguments.

    Example:
        >>> adapt(nn.GroupNorm(2, 4)).name
        'GroupNorm'
        >>> adapt(lambda x, partner: 0.5 * (x + x[partner]))
        from_function(<lambda>)
        >>> adapt(nn.ReLU())
        Traceback (most recent call last):
        featmix.errors.FeatmixError: adapt: subject: expected a Strategy, ..., got ReLU(). ...
    """
    if isinstance(subject, type):
        return adapt(_instance(subject))
    if isinstance(subject, Strategy | Normalizer):
        return subject
    if isinstance(subject, TORCH_NORMS):
        return from_torch_norm(subject)
    if all(callable(getattr(subject, method, None)) for method in METHODS):
        return from_normalizer(subject)
    if callable(subject) and not isinstance(subject, nn.Module) and _takes_two(subject):
        return from_function(subject)
    raise FeatmixError(
        "adapt",
        "subject",
        expected=ACCEPTED,
        got=repr(subject),
        fix="from_mixer wraps a function that draws by itself and mixes labels too.",
    )


def _instance(cls: type[Any]) -> Any:
    try:
        return cls()
    except Exception as error:
        raise FeatmixError(
            "adapt",
            "subject",
            expected=f"{cls.__name__}() to give an instance",
            got=f"{type(error).__name__}: {error}",
            fix="Pass an instance in place of the class.",
        ) from error


def _takes_two(function: Any) -> bool:
    try:
        inspect.signature(function).bind("x", "partner")
    except TypeError:
        return False
    except ValueError:  # a builtin that does not say
        return True
    return True
