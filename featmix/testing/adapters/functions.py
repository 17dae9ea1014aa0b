"""A plain function ``f(x, partner)`` as a strategy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from featmix.errors import FeatmixError
from featmix.normalizers.base import Normalizer
from featmix.normalizers.moments import Moments
from featmix.strategies.base import Strategy
from featmix.strategies.moments import MomentStrategy
from featmix.strategies.params import Draw, Params
from featmix.strategies.tags import Tags
from featmix.testing.source import remember

PlainFunction = Callable[..., Tensor]


class FunctionNeeds(TypedDict, total=False):
    """What a function takes and no more, in the words of :class:`featmix.Tags`."""

    channels: int
    shapes: Sequence[Sequence[int]]
    dtypes: Sequence[torch.dtype]
    labels_by_decree: bool


def from_function(
    f: PlainFunction,
    *,
    norm: str | Normalizer | None = None,
    label_share: float | None = None,
    layout: str | None = None,
    name: str | None = None,
    batch_coupled: bool = False,
    stops_gradient: bool = False,
    masks: bool | None = None,
    p: float = 1.0,
    **needs: Unpack[FunctionNeeds],
) -> Strategy:
    """A plain function as a strategy that the laws can be tried on. featmix draws the partners.

    Args:
        f: ``f(x, partner) -> y``: features ``(B, ...)`` and ``(B,)`` int64 rows of the batch, where row ``i`` takes from row
            ``partner[i]``. A row that is its own partner should come out as it went in. An ``nn.Module`` with such a
            ``forward`` will do.
        norm: What the function claims to do: give each row its partner's moments under this normalizer. The laws of moments
            then apply. Without it only the laws that hold for any mixing do.
        label_share: The weight of the sample's own label, in [0, 1]; the partner's label has the rest. Labels stay where not
            given. With it, and without ``norm``, it must be the share of the row itself that is found in the result.
        layout: Names the axes of ``x``; ``None`` goes by their number.
        name: What reports call it; the function's own name where not given.
        batch_coupled: Say that a row depends on more of the batch than its partner: laws that take rows apart do not apply.
        stops_gradient: Say that statistics are constants in backward.
        masks: Say whether it knows what to do about padding, so that the laws of padding apply: because a position depends on
            the same position of its partner alone, or because it takes a third argument ``mask``, ``(B, *positions)`` bool or
            ``None``. Where not given, it does if it has an argument of that name. Labels that change know of no padding.
        p: Probability that a batch is mixed.
        needs: ``channels``, ``shapes``, ``dtypes``, ``labels_by_decree``: what it takes and no more, as :class:`featmix.Tags`
            has it. Laws are tried on such features alone.

    Raises:
        FeatmixError: If the normalizer, the layout or the share is none.

    Example:
        >>> from featmix.testing import check_strategy
        >>> def fade(x, partner):
        ...     return 0.75 * x + 0.25 * x[partner]
        >>> strategy = from_function(fade, label_share=0.75)
        >>> laws = ["partner_direction", "labels_measure_content"]
        >>> {r.law: r.status for r in check_strategy(strategy, only=laws, examples=5)}["partner_direction"]
        'passed'
    """
    if not callable(f):
        raise FeatmixError("from_function", "f", expected="a function f(x, partner)", got=repr(f))
    called = name or str(getattr(f, "__name__", type(f).__name__))
    told = _takes_mask(f)
    given: dict[str, Any] = {"norm": norm, "label_share": label_share, "layout": layout, "name": name, "masks": masks, **needs}
    switches = {"batch_coupled": batch_coupled, "stops_gradient": stops_gradient}
    listed: dict[str, Any] = {**needs, "dtypes": tuple(needs.get("dtypes", ()))}
    listed["shapes"] = tuple(tuple(shape) for shape in needs.get("shapes", ()))
    tags = Tags(
        mixes_labels=label_share is not None,
        paper="",
        moments="" if norm is None else norm if isinstance(norm, str) else norm.name,
        masks=told if masks is None else masks,
        batch_coupled=batch_coupled,
        stops_gradient=stops_gradient,
        **listed,
    )
    about: dict[str, Any] = {"tags": tags, "label_share": label_share, "called": called, "layout": layout, "told": told, "p": p}
    made: Strategy
    if norm is None:
        made = FunctionStrategy(f, **about)
    else:
        made = MomentFunctionStrategy(f, norm, stops_gradient=stops_gradient, **about)
    said = {setting: value for setting, value in {**given, **switches}.items() if value is not None and value is not False}
    if masks is False:
        said["masks"] = False
    remember(made, from_function, f, **said, **({} if p == 1.0 else {"p": p}))
    return made


class FunctionStrategy(Strategy[Params]):
    """The strategy that :func:`from_function` makes of a function; see there for the arguments."""

    def __init__(
        self, f: PlainFunction, *, tags: Tags, label_share: float | None, called: str, layout: str | None, told: bool, p: float
    ) -> None:
        super().__init__(p=p, layout=layout)
        self.tags, self.f, self.told = tags, f, told
        vars(self)["name"] = called
        self.label_share = None if label_share is None else self._in_range("label_share", label_share, 0, 1)

    f: PlainFunction

    def decide(self, shape: Sequence[int], draw: Draw) -> Params:
        """Draw nothing: the function decides by itself what it does with a partner."""
        return Params.of(draw, self.label_share)

    def act(self, x: Tensor, params: Params) -> Tensor:
        """Call the function."""
        return _called(self, x, params)

    def __repr__(self) -> str:
        return f"from_function({self.name})"


class MomentFunctionStrategy(MomentStrategy[Params]):
    """The strategy that :func:`from_function` makes of a function that claims to give the partner's moments; see there."""

    def __init__(
        self,
        f: PlainFunction,
        norm: str | Normalizer,
        *,
        tags: Tags,
        label_share: float | None,
        called: str,
        layout: str | None,
        told: bool,
        stops_gradient: bool,
        p: float,
    ) -> None:
        super().__init__(norm, eps=1e-5, detach=stops_gradient, p=p, layout=layout)
        self.tags, self.f, self.told = tags, f, told
        vars(self)["name"] = called
        self.label_share = None if label_share is None else self._in_range("label_share", label_share, 0, 1)

    f: PlainFunction

    def decide(self, shape: Sequence[int], draw: Draw) -> Params:
        """Draw nothing: the function decides by itself what it does with a partner."""
        return Params.of(draw, self.label_share)

    def new_moments(self, own: Moments, partner: Moments, params: Params) -> Moments:
        """The partner's, as the function claims."""
        return partner

    def act(self, x: Tensor, params: Params) -> Tensor:
        """Call the function, also where a mean is over one element: it has to say itself what it does there."""
        return _called(self, x, params)

    def __repr__(self) -> str:
        return f"from_function({self.name}, norm={self.norm!r})"


def _called(strategy: FunctionStrategy | MomentFunctionStrategy, x: Tensor, params: Params) -> Tensor:
    more = {"mask": params.mask} if strategy.told else {}
    y = strategy.f(x, params.partner, **more)
    # The base class would cast and broadcast a result; a plain function has nobody to do so.
    if not isinstance(y, Tensor) or y.shape != x.shape or y.dtype != x.dtype:
        raise FeatmixError(
            strategy.name,
            "result",
            expected=f"{x.dtype} of shape {tuple(x.shape)}, as the features",
            got=f"{y.dtype} of shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__,
        )
    return y


def _takes_mask(f: Any) -> bool:
    try:
        return "mask" in inspect.signature(f.forward if isinstance(f, nn.Module) else f).parameters
    except ValueError:  # a builtin that does not say
        return False
