"""Laws of padding and prefix tokens: what is not real is left alone, and reaches nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from featmix.layouts import layout
from featmix.strategies.base import Strategy
from featmix.strategies.moments import MomentStrategy
from featmix.strategies.params import Params
from featmix.testing.allowances import slack
from featmix.testing.inputs import noise
from featmix.testing.label_laws import content, sources
from featmix.testing.law import (
    CannotRunError,
    Case,
    decide,
    demand,
    demand_close,
    law,
    layout_name,
    mixes_content,
    same_bits,
    sample_shape,
    takes,
    transformed,
    without_prefix,
)
from featmix.testing.needs import decision_in_words, needs
from featmix.testing.seen import made_by, seen

TAKERS = "strategies with positions that take masks"


def takes_masks(strategy: Strategy) -> bool:
    """Return whether there can be padding, and the strategy, with its normalizer, knows what to do about it."""
    plain = not isinstance(strategy, MomentStrategy) or strategy.normalizer.is_plain
    return strategy.takes_masks and plain and bool(layout(layout_name(strategy)).positions)


def mixes_content_under_masks(strategy: Strategy) -> bool:
    """Return whether label shares are shares of what is in the real positions."""
    return mixes_content(strategy) and takes_masks(strategy)


def takes_prefix(strategy: Strategy) -> bool:
    """Return whether the strategy can be made again with prefix tokens."""
    return "num_prefix_tokens" in strategy.setting_names() and _remade(strategy, num_prefix_tokens=0) is not None


@law(
    "strategy",
    cause="The mask multiplies (0 * NaN is NaN) instead of selecting, or a mean is taken over all positions.",
    applies=takes_masks,
    whom=TAKERS,
)
def padding(case: Case) -> None:
    """Padding comes back bit for bit, and its values, NaN included, change no real position and no gradient.

    No tolerance: what is not selected is not computed with.
    """
    real, params = masked(case)
    at = layout(layout_name(case.strategy)).spread(real).expand(case.x.shape)
    y = case.transform(params=params)
    demand(same_bits(y[~at], case.x[~at]), "padding changed")
    if _by_position(case.strategy):
        alone = at & ~at[torch.where(params.active, params.partner, torch.arange(len(real)))]
        demand(same_bits(y[alone], case.x[alone]), "a position took from the partner's padding")
    spoilt = torch.where(at, case.x, float("nan"))
    demand(same_bits(case.transform(spoilt, params)[at], y[at]), "what lies in the padding reached a real position")
    leaf = spoilt.requires_grad_()
    torch.autograd.backward(case.transform(leaf, params)[at].float().sum())
    clean = case.x.clone().requires_grad_()
    torch.autograd.backward(case.transform(clean, params)[at].float().sum())
    found, expected = (torch.zeros_like(t) if t.grad is None else t.grad for t in (leaf, clean))
    demand(found[~at] == 0, "a gradient reached the padding")
    demand(found[at].isfinite() | ~expected[at].isfinite(), "what lies in the padding reached a gradient")


@law(
    "strategy",
    cause="Counts of real positions that are off by one, or n - 1 taken of all positions.",
    applies=takes_masks,
    whom=TAKERS,
)
def full_mask(case: Case) -> None:
    """A mask that is true everywhere changes nothing.

    As in ``identity``: sums may run in another order.
    """
    sizes = layout(layout_name(case.strategy)).spatial_shape(case.x.shape)
    params = decide(case.strategy, case.x.shape, case.seed, mask=torch.ones(len(case.x), *sizes, dtype=torch.bool))
    plain = case.params
    demand(params.active == (plain.active & params.active), "a mask made a row active")
    demand_close(params.mixture.matrix(), plain.mixture.matrix(), 1e-6, "label shares under a full mask")
    demand_close(case.transform(params=params), case.transform(), slack(case), "result under a full mask")


@law(
    "strategy",
    cause="Moments or ranks that count padding, or positions of the longest sample.",
    drawn=False,
    applies=lambda strategy: takes_masks(strategy) and not strategy.needs_grid,
    whom=f"{TAKERS}, of positions that are no grid",
)
def padded_as_short(strategy: Strategy) -> None:
    """Samples padded at the end become the same as without padding.

    1e-5 of values of order 1: float32 sums may run in another order. For strategies that decide alike for any size.
    """
    strategy = without_prefix(strategy)
    lay = layout(layout_name(strategy))
    long = sample_shape(strategy, positions=6)
    first = lay.positions[0]
    short = tuple(4 if axis == first else size for axis, size in enumerate((5, *long)))
    _demand_sizes(strategy, long, short[1:])
    for seed in range(5):
        x = noise(5, *long, seed=seed)
        seen(x, seed)
        real = torch.zeros(5, *lay.spatial_shape(x.shape), dtype=torch.bool)
        real.narrow(1, 0, 4).fill_(True)
        alone = decide(strategy, short, seed)
        y = transformed(strategy, x, dataclasses.replace(alone, mask=real)).narrow(first, 0, 4)
        expected = transformed(strategy, x.narrow(first, 0, 4).contiguous(), alone)
        demand_close(y, expected, 1e-5 * (1 + expected.abs()), "padded sample against the short one")


@law(
    "strategy",
    cause="Label shares of all positions, padding included, or a partner's padding taken for content.",
    drawn=False,
    applies=mixes_content_under_masks,
    whom=f"{TAKERS}, whose labels are shares of what is in the features",
)
def padded_labels_measure_content(strategy: Strategy) -> None:
    """Under a mask, label shares are the shares of content found in the real positions of the result, within 1e-5.

    As ``labels_measure_content``, measured where a sample is real; a sample without any real position keeps its label.
    """
    strategy = without_prefix(strategy)
    for seed in range(20):
        x = sources(strategy, 4 + seed % 3)
        case = Case(strategy, made_by(x[0], f"sources(subject, {len(x)})[0]"), seed)
        real, params = masked(case)
        seen = torch.stack([content(strategy, case.transform(each, params), real) for each in x], dim=1)
        counted = real.flatten(1).any(1)
        demand_close(seen[counted], params.mixture.matrix()[counted], 1e-5, "label share against content of real positions")
        own = torch.eye(len(real))
        demand(params.mixture.matrix()[~counted] == own[~counted], "a sample that is all padding lost its label")


@law(
    "strategy",
    cause="Prefix tokens counted among the positions, or cut off.",
    drawn=False,
    applies=takes_prefix,
    whom="strategies with a setting num_prefix_tokens",
)
def prefix(strategy: Strategy) -> None:
    """Prefix tokens come back bit for bit, and the rest is as without them.

    No tolerance on the prefix; 1e-6 on the rest, whose strides differ. Tried on tokens, or on sequences where tokens are no
    grid, and only in a layout that the strategy takes where there is no prefix.
    """
    refused = []
    for name in ("btc", "bct") if strategy.needs_grid else ("bnc", "bcn"):
        with_prefix, without = (_remade(strategy, layout=name, num_prefix_tokens=count) for count in (2, 0))
        if with_prefix is None or without is None:
            continue
        if needs(strategy).shapes:
            raise CannotRunError(f"it needs tokens of two lengths, and the strategy takes {needs(strategy).in_words}")
        shape = sample_shape(without, positions=7)
        lay = layout(name)
        axis = lay.positions[0]
        x = noise(5, *shape, seed=0)
        body = x.narrow(axis, 2, 5)
        try:
            transformed(without, body, decide(without, body.shape, 0))
        except Exception as error:
            refused.append(f"{name} features without a prefix gave {type(error).__name__}: {error}")
            continue
        for seed in range(5):
            made = f"subject = type(subject)(**{{**subject.settings(), 'layout': {name!r}, 'num_prefix_tokens': 2}})"
            seen(x, seed, f"{made}\nparams = {decision_in_words(with_prefix, 'x.shape', seed)}")
            params = decide(with_prefix, x.shape, seed)
            alone = decide(without, body.shape, seed)
            demand(params.mixture.matrix() == alone.mixture.matrix(), "labels count the prefix")
            y = transformed(with_prefix, x, params)
            demand(y.shape == x.shape, f"shape {tuple(x.shape)} became {tuple(y.shape)}")
            demand(same_bits(y.narrow(axis, 0, 2), x.narrow(axis, 0, 2)), "prefix tokens changed")
            demand_close(y.narrow(axis, 2, 5), transformed(without, body, alone), 1e-6, "the rest, against itself alone")
    if len(refused) == 2:
        raise CannotRunError(f"it is for strategies that take tokens or sequences: {'; '.join(refused)}")


def _demand_sizes(strategy: Strategy, *samples: Sequence[int]) -> None:
    """Say that a law cannot be tried on a strategy that does not take samples of these shapes."""
    if not all(takes(strategy, sample) for sample in samples):
        raise CannotRunError(f"it needs samples of two lengths, and the strategy takes {needs(strategy).in_words}")


def _by_position(strategy: Strategy) -> bool:
    """Return True if a position takes from the same position of the partner."""
    if isinstance(strategy, MomentStrategy):
        return not (strategy.normalizer.over_positions or strategy.normalizer.partly_over_positions)
    return mixes_content(strategy) and getattr(strategy, "keeps_places", True)


def masked(case: Case) -> tuple[Tensor, Params]:
    """A mask with rows of any length, empty ones among them, and holes; and a decision that knows of it."""
    sizes = layout(layout_name(case.strategy)).spatial_shape(case.x.shape)
    generator = Generator().manual_seed(case.seed)
    share = torch.rand(len(case.x), *[1] * len(sizes), generator=generator) * 1.4 - 0.2
    real = torch.rand(len(case.x), *sizes, generator=generator) < share
    seen(case.x, case.seed, f"real, params = masked(Case(subject, x, {case.seed}))")
    return real, decide(case.strategy, case.x.shape, generator, mask=real)


def _remade(strategy: Strategy, **changes: Any) -> Strategy | None:
    """The same strategy with other settings; ``None`` where its constructor does not take its settings, or not these."""
    try:
        return type(strategy)(**{**strategy.settings(), **changes})
    except (TypeError, ValueError, AttributeError):
        return None
