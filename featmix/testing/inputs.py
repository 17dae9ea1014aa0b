"""Hypothesis strategies: features whose rows are structured, because noise alone does not find numerical faults.

For tests of one's own: :func:`features`, :func:`features_for`, :func:`targets`, :func:`params_for`, :func:`normalizers` and
:func:`strategies`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from hypothesis import reject
from hypothesis import strategies as st
from torch import Generator, Tensor

from featmix.errors import FeatmixError, nearest
from featmix.layouts import layout as layout_named
from featmix.normalizers.base import Normalizer
from featmix.normalizers.kinds import normalizer
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params
from featmix.strategies.registry import create, list_strategies, strategy_class
from featmix.testing.instances import choices, example_normalizers, has_use_for
from featmix.testing.needs import channel_multiple, decide, layout_name, needs, prefix_count
from featmix.testing.seen import made_by

TARGET_KINDS = ("indices", "one-hot", "soft", "multi-label", "regression", "regression-2d")


def _normal(x: Tensor, magnitude: float, big: float) -> Tensor:
    return x


def _constant(x: Tensor, magnitude: float, big: float) -> Tensor:
    return torch.full_like(x, magnitude)


def _relu_ties(x: Tensor, magnitude: float, big: float) -> Tensor:
    return x.round().clamp(min=0)


def _spike(x: Tensor, magnitude: float, big: float) -> Tensor:
    spike = torch.zeros_like(x)
    spike.view(-1)[:1] = magnitude
    return spike


def _tiny(x: Tensor, magnitude: float, big: float) -> Tensor:
    return x * 1e-4


def _big(x: Tensor, magnitude: float, big: float) -> Tensor:
    return x * big


def _offset(x: Tensor, magnitude: float, big: float) -> Tensor:
    return x + magnitude


ROW_MODES: dict[str, Callable[[Tensor, float, float], Tensor]] = {  # simple ones first: there the search ends
    "normal": _normal,
    "constant": _constant,
    "relu_ties": _relu_ties,
    "spike": _spike,
    "tiny": _tiny,
    "big": _big,
    "offset": _offset,
}


def rows(
    modes: Sequence[str], shape: Sequence[int], *, seed: int, magnitude: float, dtype: torch.dtype, whole: bool = False
) -> Tensor:
    """A batch with one row for each mode.

    Args:
        modes: Names from ``ROW_MODES``.
        shape: Shape of one sample.
        seed: Of the noise.
        magnitude: Of constants, spikes and offsets.
        dtype: Of the result; float16 gets smaller big rows, so that a legal exchange does not overflow.
        whole: Round the noise, for counter-examples that people can read.
    """
    noise = torch.randn(len(modes), *shape, generator=Generator().manual_seed(seed), dtype=torch.float64)
    noise = (2 * noise).round() if whole else noise
    big = 1e2 if dtype == torch.float16 else 1e4
    made = [ROW_MODES[mode](row, magnitude, big) for mode, row in zip(modes, noise, strict=True)]
    given = (
        f"{list(modes)}, {tuple(shape)}, seed={seed}, magnitude={magnitude!r}, dtype={dtype}{', whole=True' if whole else ''}"
    )
    return made_by(torch.stack(made).to(dtype) if made else noise.to(dtype), f"rows({given})")


def noise(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal features that say how they were made.

    Example:
        >>> noise(2, 3, seed=0).shape
        torch.Size([2, 3])
    """
    made = torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=dtype)
    return made_by(made, f"noise({', '.join(map(str, shape))}, seed={seed}, dtype={dtype})")


@st.composite
def features(
    draw: st.DrawFn,
    *,
    layout: str = "bchw",
    dtype: torch.dtype = torch.float32,
    channel_multiple: int = 1,
    min_batch: int = 1,
    batch: int | None = None,
    channels: int | None = None,
    shapes: Sequence[Sequence[int]] = (),
    prefix: int = 0,
) -> Tensor:
    """Feature maps of 1-6 rows, 1-4 channel groups and 1-9 positions an axis, each row of a mode of its own.

    Args:
        draw: Given by hypothesis.
        layout: Names the axes.
        dtype: Of the tensor.
        channel_multiple: What the number of channels is a multiple of.
        min_batch: Fewest rows.
        batch: How many rows, in place of a drawn number.
        channels: The number of channels, where there is one to choose only.
        shapes: Of one sample, without the batch, in place of drawn sizes.
        prefix: Positions at the front besides those that are drawn: class tokens.

    Example:
        >>> from hypothesis import find
        >>> find(features(layout="bnc"), lambda _: True).ndim
        3
        >>> find(features(batch=4, shapes=[(3, 32, 32)]), lambda _: True).shape
        torch.Size([4, 3, 32, 32])
    """
    if shapes:
        shape = list(draw(st.sampled_from([tuple(one) for one in shapes])))
    else:
        lay = layout_named(layout)
        shape = [draw(st.integers(1, 9)) for _ in range(lay.ndim - 1)]
        if prefix:
            shape[lay.positions[0] - 1] += prefix
        shape[lay.channel - 1] = channels or channel_multiple * draw(st.integers(1, 4))
    count = draw(st.integers(min_batch, 6)) if batch is None else batch
    code = draw(st.integers(0, len(ROW_MODES) ** count - 1))  # one draw for all rows: each costs more than the law it is for
    modes = [list(ROW_MODES)[code // len(ROW_MODES) ** row % len(ROW_MODES)] for row in range(count)]
    power = draw(st.floats(-3.5, 3.5))
    magnitude = math.copysign(10 ** abs(power), power)
    seed, whole = draw(st.integers(0, 2**32 - 1)), not draw(st.booleans())  # hypothesis shrinks towards False
    return rows(modes, shape, seed=seed, magnitude=magnitude, dtype=dtype, whole=whole)


def features_for(subject: Strategy | Normalizer, *, dtype: torch.dtype = torch.float32) -> st.SearchStrategy[Tensor]:
    """Features that a strategy or a normalizer takes: in its layout, with channels that its groups divide, or its own shapes.

    Example:
        >>> from hypothesis import find
        >>> find(features_for(normalizer("gn2", layout="bnc")), lambda _: True).shape[2] % 2
        0
    """
    said = needs(subject)
    drawn = features(
        layout=layout_name(subject),
        dtype=dtype,
        channel_multiple=channel_multiple(subject),
        channels=said.channels,
        shapes=said.shapes,
        prefix=prefix_count(subject),
    )
    smallest = getattr(subject, "min_group", 1)
    if isinstance(subject, Normalizer) and smallest > 1:
        return drawn.filter(lambda x: subject.group_size(x.shape) >= smallest)
    return drawn


@st.composite
def targets(draw: st.DrawFn, batch: int, *, kind: str | None = None, num_classes: int | None = None) -> Tensor:
    """Labels of every kind that :meth:`featmix.Mixture.dense` takes.

    Args:
        draw: Given by hypothesis.
        batch: Rows.
        kind: ``indices`` ``(B,)`` int64, ``one-hot`` ``(B, L)`` int64, ``soft`` ``(B, L)`` float32 with rows that add up to 1,
            ``multi-label`` ``(B, L)`` float32 of zeros and ones, ``regression`` ``(B,)`` or ``regression-2d`` ``(B, L)``
            float32; any of them where not given.
        num_classes: ``L``; 1 to 5 where not given.

    Raises:
        FeatmixError: If there is no such kind.

    Example:
        >>> from hypothesis import find
        >>> find(targets(3, kind="soft", num_classes=4), lambda _: True).shape
        torch.Size([3, 4])
    """
    if kind is not None and kind not in TARGET_KINDS:
        raise FeatmixError("targets", "kind", expected="a kind", got=repr(kind), fix=nearest(str(kind), TARGET_KINDS))
    chosen = draw(st.sampled_from(TARGET_KINDS)) if kind is None else kind
    columns = draw(st.integers(1, 5)) if num_classes is None else num_classes

    def table(entries: st.SearchStrategy[Any], columns: int = columns) -> list[list[Any]]:
        return draw(st.lists(st.lists(entries, min_size=columns, max_size=columns), min_size=batch, max_size=batch))

    if chosen in ("indices", "one-hot"):
        index = torch.tensor(table(st.integers(0, columns - 1), 1), dtype=torch.int64).view(batch)
        return index if chosen == "indices" else torch.nn.functional.one_hot(index, columns)
    if chosen == "soft":
        parts = torch.tensor(table(st.integers(0, 9)), dtype=torch.float32).view(batch, columns)
        parts[:, 0] += (parts.sum(1) == 0).float()
        return parts / parts.sum(1, keepdim=True)
    entry = st.sampled_from([0.0, 1.0]) if chosen == "multi-label" else st.floats(-1e3, 1e3, width=32)
    if chosen == "regression":
        return torch.tensor(table(entry, 1), dtype=torch.float32).view(batch)
    return torch.tensor(table(entry), dtype=torch.float32).view(batch, columns)


def params_for(strategy: Strategy, shape: Sequence[int]) -> st.SearchStrategy[Params]:
    """Decisions of a strategy for features of this shape, each from a seed of its own; with labels, where it needs them.

    Example:
        >>> import featmix as fm
        >>> from hypothesis import find
        >>> find(params_for(fm.MoEx(), (4, 8, 6, 6)), lambda _: True).partner.shape
        torch.Size([4])
    """
    seeds = st.integers(0, 2**31 - 1)
    return seeds.map(lambda seed: decide(strategy, shape, seed))


@st.composite
def normalizers(draw: st.DrawFn, *, layout: str | None = None, exchangeable: bool | None = None) -> Normalizer:
    """Normalizers of every kind, with any divisor, support and eps.

    Args:
        draw: Given by hypothesis.
        layout: Names the axes.
        exchangeable: Whether samples have moments of their own; either where not given.

    Example:
        >>> from hypothesis import find
        >>> find(normalizers(exchangeable=True), lambda _: True).exchangeable
        True
    """
    names = [n for n in example_normalizers(layout) if exchangeable in (None, normalizer(n, layout=layout).exchangeable)]
    return normalizer(
        draw(st.sampled_from(names)),
        layout=layout,
        eps=draw(st.sampled_from([1e-5, 1e-6, 1e-3])),
        unbiased=draw(st.booleans()),
        positive_only=draw(st.booleans()),
    )


@st.composite
def strategies(draw: st.DrawFn, /, *, layout: str | None = None, **tags: Any) -> Strategy:
    """Strategies of the registry, always mixing or half of the time, with their settings drawn together.

    Args:
        draw: Given by hypothesis.
        layout: Names the axes; those that have no use for it are left out.
        tags: As for :func:`featmix.list_strategies`: ``mixes_labels=True``, for example.

    Example:
        >>> from hypothesis import find
        >>> find(strategies(layout="bct", mixes_labels=True), lambda _: True).layout
        'bct'
    """
    fitting = [name for name in list_strategies(**tags) if layout is None or has_use_for(create(name, layout=layout))]
    if not fitting:
        raise FeatmixError("strategies", "tags", expected="tags that a strategy has", got=f"layout={layout!r}, {tags}")
    name = draw(st.sampled_from(fitting))
    defaults = strategy_class(name)().settings()
    chosen: dict[str, Any] = {"p": draw(st.sampled_from([1.0, 0.5])), "layout": layout}
    for setting, values in choices(strategy_class(name)()).items():
        if setting in defaults and setting != "layout":
            chosen[setting] = draw(st.sampled_from(list(dict.fromkeys([defaults[setting], *values]))))
    try:
        return create(name, **chosen)
    except FeatmixError:  # settings that do not go together
        reject()
