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
    "a Strategy, a Normalizer, a class of either that needs no arguments, a function f(x, partner) or a module with such a "
    "forward, an object with moments, normalize and denormalize, or one of torch's layers "
    + ", ".join(cls.__name__ for cls in TORCH_NORMS)
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
    _refuse_without_moments(subject)
    if isinstance(subject, type):
        return adapt(_instance(subject))
    if isinstance(subject, Strategy | Normalizer):
        return subject
    if isinstance(subject, TORCH_NORMS):
        return from_torch_norm(subject)
    if all(callable(getattr(subject, method, None)) for method in METHODS):
        return from_normalizer(subject)
    if callable(subject) and _takes_two(subject):
        return from_function(subject)
    fix = "from_mixer wraps a function that draws by itself and mixes labels too."
    if isinstance(subject, str):
        fix = f"By its name: featmix.create({subject!r}), or featmix.normalizer({subject!r})."
    raise FeatmixError("adapt", "subject", expected=ACCEPTED, got=repr(subject), fix=fix)


_WITHOUT_MOMENTS = {  # the start of a class's name: what it does instead, and what to do
    "FrozenBatchNorm": (
        "a fixed map of each channel: its moments are stored numbers, not those of the features",
        "There is nothing to restore, and no law to hold it to.",
    ),
    "BatchNorm": (
        "moments over the whole batch, or running ones in eval mode",
        "featmix's own is fm.normalizer('bn'); one that leaves running moments alone can be wrapped: "
        "from_normalizer(obj, like='bn'), where obj has moments, normalize and denormalize.",
    ),
    "SyncBatchNorm": (
        "moments over the batches of all processes",
        "featmix's own over one batch is fm.normalizer('bn').",
    ),
    "RMSNorm": (
        "a division by the root of the mean square, without a mean: that is no pair of mean and standard deviation",
        "Wrap moments, normalize and denormalize of your own, with mean 0, by from_normalizer(obj); laws of the mean will "
        "then fail. fm.normalizer('pono') takes mean and standard deviation over the channels.",
    ),
}


def _refuse_without_moments(subject: Any) -> None:
    """Layers that normalize, but have no moments of a sample to give, get an answer of their own."""
    cls = subject if isinstance(subject, type) else type(subject)
    if not issubclass(cls, nn.Module) or all(callable(getattr(cls, method, None)) for method in METHODS):
        return
    names = [base.__name__ for base in cls.__mro__]
    for start, (does, fix) in _WITHOUT_MOMENTS.items():
        if any(name.startswith(start) for name in names):
            raise FeatmixError(
                "adapt", "subject", expected="a layer that takes each sample's mean and standard deviation",
                got=f"{cls.__name__}, {does}", fix=fix,
            )  # fmt: skip


def _instance(cls: type[Any]) -> Any:
    try:
        return cls()
    except (Exception, SystemExit) as error:
        raise FeatmixError(
            "adapt",
            "subject",
            expected=f"{cls.__name__}() to give an instance",
            got=f"{type(error).__name__}: {error}",
            fix="Pass an instance in place of the class.",
        ) from error


def _takes_two(function: Any) -> bool:
    if isinstance(function, nn.Module):  # two arguments alone would be an attention layer's, or a loss's
        return list(inspect.signature(function.forward).parameters)[1:2] == ["partner"]
    try:
        inspect.signature(function).bind("x", "partner")
    except TypeError:
        return False
    except ValueError:  # a builtin that does not say
        return True
    return True
