"""Any object that takes moments and gives them back, as a normalizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featmix.errors import FeatmixError
from featmix.normalizers.base import Normalizer
from featmix.normalizers.kinds import normalizer
from featmix.normalizers.moments import Moments
from featmix.testing.source import remember

METHODS = ("moments", "normalize", "denormalize")


class NormalizerLike(Protocol):
    """The interface that :func:`from_normalizer` needs; an ``nn.Module`` may have it as well."""

    def moments(self, x: Tensor) -> Any:
        """:class:`~featmix.Moments`, or ``(mean, std)``, with ``std = sqrt(var + eps)``; both broadcastable to ``x``."""

    def normalize(self, x: Tensor) -> Any:
        """``(x - mean) / std``, alone or in a tuple with the moments."""

    def denormalize(self, xh: Tensor, moments: Any, /) -> Tensor:
        """``xh * std + mean``, for moments in the form in which :meth:`moments` gives them."""


def from_normalizer(
    obj: Any,
    *,
    like: str | Normalizer | None = None,
    layout: str | None = None,
    eps: float | None = None,
    unbiased: bool | None = None,
    positive_only: bool | None = None,
    exchangeable: bool | None = None,
    min_group: int = 1,
    channels: int | None = None,
    shapes: Sequence[Sequence[int]] | None = None,
    dtypes: Sequence[torch.dtype] | None = None,
    name: str | None = None,
) -> ForeignNormalizer:
    """Any object with ``moments``, ``normalize`` and ``denormalize`` as a normalizer that the laws, and strategies, take.

    What is not given is read off the object's attribute of that name, then off ``like``; then it is the default given below.

    Args:
        obj: See :class:`NormalizerLike`. An ``nn.Module`` is used in the mode in which it is.
        like: The normalizer of featmix's own that it claims to agree with, with its name, groups and oracle. Without it the
            law of the oracle does not apply, and moments must be broadcastable to ``x`` itself.
        layout: Names the axes of ``x``; ``None`` (the default) goes by their number.
        eps: Added to the variance, inside the root; 1e-5 by default.
        unbiased: Whether the variance is over ``n - 1``; true by default.
        positive_only: Whether only positive entries count; false by default.
        exchangeable: Whether each sample has moments of its own; true by default.
        min_group: Fewest elements of a group that it is tried on.
        channels: The one number of channels that it takes; any by default.
        shapes: The shapes of a sample, without the batch, that it takes; any by default.
        dtypes: The dtypes that it takes; all floating ones by default.
        name: What reports call it; the name of its class where not given.

    Raises:
        FeatmixError: If a method is missing, or ``like`` is no normalizer.

    Example:
        >>> class Instance:
        ...     def moments(self, x):
        ...         mean = x.mean((2, 3), keepdim=True)
        ...         return mean, ((x - mean).square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
        ...     def normalize(self, x):
        ...         mean, std = self.moments(x)
        ...         return (x - mean) / std, (mean, std)
        ...     def denormalize(self, xh, moments):
        ...         return xh * moments[1] + moments[0]
        >>> from featmix.testing import check_normalizer
        >>> {r.status for r in check_normalizer(Instance(), only=["restores"], examples=5, dtypes=[torch.float64])}
        {'passed'}
    """
    missing = [method for method in METHODS if not callable(getattr(obj, method, None))]
    if missing:
        raise FeatmixError(
            "from_normalizer", "obj", expected="an object with " + ", ".join(METHODS), got=f"none of {', '.join(missing)}"
        )
    said = {"like": like, "layout": layout, "eps": eps, "unbiased": unbiased, "positive_only": positive_only}
    said |= {"exchangeable": exchangeable, "min_group": None if min_group == 1 else min_group, "name": name}
    takes: dict[str, Any] = {"channels": channels, "shapes": shapes, "dtypes": dtypes}
    said |= takes
    takes = {need: getattr(obj, need, None) if value is None else value for need, value in takes.items()}
    defaults: dict[str, Any] = {"layout": None, "eps": 1e-5, "unbiased": True, "positive_only": False}
    given: dict[str, Any] = {"layout": layout, "eps": eps, "unbiased": unbiased, "positive_only": positive_only}
    model = normalizer(like) if isinstance(like, str) else like
    for setting, default in defaults.items():
        if given[setting] is None:
            given[setting] = getattr(obj, setting, getattr(model, setting, default))
    if isinstance(like, str):
        model = normalizer(like, **given)
    apart = exchangeable if exchangeable is not None else getattr(obj, "exchangeable", model is None or model.exchangeable)
    made = ForeignNormalizer(
        **given,
        groups=None if model is None else model.groups,
        width=None if model is None else model.width,
        wrapped=obj,
        like=model,
        called=name or type(obj).__name__,
        apart=bool(apart),
        min_group=min_group,
        **{need: value for need, value in takes.items() if value is not None},
    )
    remember(made, from_normalizer, obj, **{setting: value for setting, value in said.items() if value is not None})
    return made


@dataclass(frozen=True)
class ForeignNormalizer(Normalizer):
    """The normalizer that :func:`from_normalizer` makes of an object; see there for the arguments."""

    wrapped: Any = None
    like: Normalizer | None = None
    called: str = ""
    apart: bool = True
    min_group: int = 1
    channels: int | None = None
    shapes: Sequence[Sequence[int]] = ()
    dtypes: Sequence[torch.dtype] = ()

    kind: ClassVar[str] = "foreign"

    def __post_init__(self) -> None:
        # Groups are checked by `like`, which knows what they are for.
        Normalizer(self.layout, self.eps)

    @property
    def name(self) -> str:
        """The name in reports."""
        return self.called

    @property
    def exchangeable(self) -> bool:
        """True where each sample has moments of its own."""
        return self.apart

    @property
    def has_oracle(self) -> bool:
        """True where it claims to agree with a normalizer of featmix."""
        return self.like is not None

    def moments(self, x: Tensor, mask: Tensor | None = None) -> Moments:
        """The object's own, as :class:`~featmix.Moments`; it knows no masks."""
        if mask is not None:
            raise FeatmixError(self.name, "mask", expected="None", got="a mask", fix="The object's own methods take none.")
        return self._read(self.wrapped.moments(x), x)

    def normalize(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Moments]:
        """The object's own; the moments too, where it gives them."""
        if mask is not None:
            return super().normalize(x, mask)
        result = self.wrapped.normalize(x)
        if isinstance(result, Tensor):
            return result, self.moments(x)
        if not isinstance(result, tuple) or len(result) not in (2, 3) or not isinstance(result[0], Tensor):
            raise FeatmixError(
                self.name, "normalize", expected="the normalized features, or (features, moments)", got=_describe(result)
            )
        return result[0], self._read(result[1] if len(result) == 2 else result[1:], x)

    def denormalize(self, xh: Tensor, m: Moments) -> Tensor:
        """The object's own, given moments in the form that it knows."""
        given = m.given if isinstance(m, _Read) else m
        restored: Tensor = self.wrapped.denormalize(xh, given)
        return restored

    def view(self, x: Tensor) -> Tensor:
        """Return the view of ``like``; ``x`` where there is none."""
        return x if self.like is None else self.like.view(x)

    def group_size(self, shape: Sequence[int]) -> int:
        """Return the group size of ``like``; elements for each moment, of features of zeros, where there is none."""
        if self.like is not None:
            return self.like.group_size(shape)
        zeros = torch.zeros(tuple(shape), dtype=self.dtypes[0] if self.dtypes else torch.float32)
        return prod(shape) // max(self.moments(zeros).mean.numel(), 1)

    def oracle(self, sample: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """That of ``like``.

        Raises:
            NotImplementedError: Without one.
        """
        if self.like is None:
            raise NotImplementedError(f"{self.name} does not say which normalizer it is like")
        return self.like.oracle(sample)

    def __repr__(self) -> str:
        return f"{self.name} (as a normalizer{'' if self.like is None else ' like ' + self.like.name})"

    def _read(self, given: Any, x: Tensor) -> Moments:
        mean, std = (given.mean, given.std) if hasattr(given, "mean") and hasattr(given, "std") else _pair(self.name, given)
        view = self.view(x)
        if not all(isinstance(t, Tensor) and _broadcastable(t, view) for t in (mean, std)):
            raise FeatmixError(
                self.name,
                "moments",
                expected=f"mean and std broadcastable to features of shape {tuple(view.shape)}",
                got=f"{_describe(mean)} and {_describe(std)}",
                fix="Keep reduced axes with size 1; for moments of groups say like='gn<G>'.",
            )
        return _Read(mean, std, given)


@dataclass(frozen=True)
class _Read(Moments):
    """Moments that remember the form in which they came."""

    given: Any


def _pair(name: str, given: Any) -> tuple[Any, Any]:
    if not (isinstance(given, tuple | list) and len(given) == 2):
        raise FeatmixError(name, "moments", expected="featmix.Moments, or (mean, std)", got=_describe(given))
    return given[0], given[1]


def _broadcastable(t: Tensor, like: Tensor) -> bool:
    return t.ndim == like.ndim and all(a in (1, b) for a, b in zip(t.shape, like.shape, strict=True))


def _describe(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
