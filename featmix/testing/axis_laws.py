"""Laws of axes, of one prefix token, and of the masks that a strategy can be given."""

from __future__ import annotations

import inspect

import torch
from torch import Generator, Tensor

from featmix.layouts import layout
from featmix.strategies.base import Strategy
from featmix.testing.inputs import noise
from featmix.testing.law import (
    CannotRunError,
    Case,
    demand,
    demand_close,
    law,
    layout_name,
    rounding,
    same_bits,
    sample_shape,
    transformed,
)
from featmix.testing.padding_laws import TAKERS, takes_masks, takes_prefix
from featmix.testing.uses import decide_for, decided, difference, ordinary, remade, tell

_UNNAMED = ("bc", "bnc", "bcdhw")  # what 2, 3 and 5 axes are where nobody names them; 4 are tried everywhere


def masks_when_acting(strategy: Strategy) -> bool:
    """Return whether ``transform`` of a strategy that takes masks has an argument for one."""
    arguments = inspect.signature(strategy.transform).parameters.values()
    return takes_masks(strategy) and any(one.name == "mask" or one.kind is one.VAR_KEYWORD for one in arguments)


@law(
    "strategy",
    cause="The channels are looked for where images have them, whatever the number of axes.",
    drawn=False,
    applies=lambda strategy: "layout" in strategy.setting_names(),
    whom="strategies with a setting layout",
)
def unnamed_layout(strategy: Strategy) -> None:
    """Without a layout, features of 2, 3 and 5 axes are treated as ``bc``, ``bnc`` and ``bcdhw``.

    Decisions and results. Only where the strategy takes such features at all. No tolerance: the same axes.
    """
    tried, refused = False, ["its constructor does not take its settings"]
    for name in _UNNAMED:
        named, unnamed = remade(strategy, layout=name), remade(strategy, layout=None)
        if named is None or unnamed is None:
            continue
        x = noise(5, *sample_shape(named, positions=3), seed=1)
        tell(x, 1, "type(subject)(**{**subject.settings(), 'layout': None})")
        try:
            params = decide_for(named, x.shape, 1)
            expected = transformed(named, x, params)
        except Exception as error:
            refused = [f"{name} features gave {type(error).__name__}: {error}"]
            continue
        tried = True
        own = decide_for(unnamed, x.shape, 1)
        demand(not difference(params, own), f"{x.ndim} axes without a layout are decided on otherwise than as {name!r}")
        demand(same_bits(transformed(unnamed, x, own), expected), f"{x.ndim} axes without a layout are not treated as {name!r}")
    if not tried:
        raise CannotRunError(f"it is for strategies that take features of 2, 3 or 5 axes: {refused[0]}")


@law(
    "strategy",
    cause="A prefix put back in the dtype of the arithmetic, or a count of prefix tokens that is off by one.",
    drawn=False,
    every_dtype=True,
    applies=takes_prefix,
    whom="strategies with a setting num_prefix_tokens",
)
def one_prefix_token(strategy: Strategy, dtype: torch.dtype) -> None:
    """One prefix token, such as a class token, comes back bit for bit in every dtype, and the rest is as without it.

    On the rest one unit in the last place, and 1e-6 where it is computed in float32: its strides differ. Labels are the same.
    """
    tried = False
    for name in ("bct", "btc") if strategy.needs_grid else ("bnc", "bcn"):
        one, none = remade(strategy, layout=name, num_prefix_tokens=1), remade(strategy, layout=name, num_prefix_tokens=0)
        if one is None or none is None:
            continue
        if getattr(none.tags, "shapes", ()):
            raise CannotRunError("it needs tokens of two lengths, and the strategy takes samples of one shape")
        x = noise(5, *sample_shape(none, positions=6), seed=2, dtype=dtype)
        axis = layout(name).positions[0]
        body = x.narrow(axis, 1, 5)
        made = f"type(subject)(**{{**subject.settings(), 'layout': {name!r}, 'num_prefix_tokens': 1}})"
        for seed in range(2):
            tell(x, seed, made)
            try:
                alone = decide_for(none, body.shape, seed)
                expected = transformed(none, body, alone)
            except Exception:
                break  # which `prefix` reports
            tried = True
            params = decide_for(one, x.shape, seed)
            demand(params.mixture.matrix() == alone.mixture.matrix(), "labels count the prefix")
            y = transformed(one, x, params)
            demand(y.dtype == dtype and y.shape == x.shape, f"{dtype} {tuple(x.shape)} became {y.dtype} {tuple(y.shape)}")
            demand(same_bits(y.narrow(axis, 0, 1), x.narrow(axis, 0, 1)), "the prefix token changed")
            allowed = 2 * rounding(dtype) * expected.double().abs() + 1e-6 * (1 + expected.double().abs().amax())
            demand_close(y.narrow(axis, 1, 5), expected, allowed, "the rest, against itself alone")
    if not tried:
        raise CannotRunError("it is for strategies that take tokens or sequences")


@law(
    "strategy",
    cause="Indexing with a mask of numbers, which takes rows 0 and 1, or arithmetic that expects truth values.",
    drawn=False,
    applies=takes_masks,
    whom=TAKERS,
)
def integer_mask(strategy: Strategy) -> None:
    """Masks of zeros and ones of any integer dtype, as tokenizers give them, work like the same mask of bool.

    No tolerance.
    """
    for seed, dtype in enumerate((torch.int64, torch.uint8, torch.int32)):
        x, _ = ordinary(strategy, seed=seed)
        real = _real(strategy, x, seed)
        said = f"mask=torch.tensor({real.long().tolist()}, dtype={dtype})"
        params = decided(strategy, x, seed, said=said, mask=real.to(dtype))
        expected = decide_for(strategy, x.shape, seed, mask=real)
        found = difference(expected, params, besides=("mask",))
        demand(not found, f"a mask of {dtype} gives another {found} than one of truth values")
        demand(
            same_bits(transformed(strategy, x, params), transformed(strategy, x, expected)), f"a mask of {dtype} acts otherwise"
        )


@law(
    "strategy",
    cause="A mask that is taken and not used, or used for the decision alone.",
    drawn=False,
    applies=masks_when_acting,
    whom=f"{TAKERS}, also with a decision that was made without",
)
def mask_at_transform(strategy: Strategy) -> None:
    """A mask given to ``transform``: padding comes back bit for bit, and its values, NaN included, change nothing else.

    Where the same seed decides the same with the mask, the result is the same. Integer masks too. No tolerance.
    """
    for seed in range(3):
        x, _ = ordinary(strategy, seed=seed)
        real = _real(strategy, x, seed)
        params = Case(strategy, x, seed).params
        at = layout(layout_name(strategy)).spread(real).expand(x.shape)
        y = strategy.transform(x.clone(), params, mask=real)
        demand(same_bits(y[~at], x[~at]), "padding changed")
        spoilt = torch.where(at, x, float("nan"))
        demand(
            same_bits(strategy.transform(spoilt, params, mask=real)[at], y[at]),
            "what lies in the padding reached a real position",
        )
        whole = strategy.transform(x.clone(), params, mask=real.long())
        demand(same_bits(whole, y), "an integer mask gives another result than one of truth values")
        known = decide_for(strategy, x.shape, seed, mask=real)
        if not difference(params, known, besides=("mask", "mixture")):
            demand(
                same_bits(transformed(strategy, x, known), y),
                "a mask given to transform does something else than one given before",
            )


def _real(strategy: Strategy, x: Tensor, seed: int) -> Tensor:
    """A mask with holes in which every row has the first positions of each axis: any two rows have real positions in common."""
    sizes = layout(layout_name(strategy)).spatial_shape(x.shape)
    real = torch.rand(len(x), *sizes, generator=Generator().manual_seed(seed)) < 0.6
    real[(slice(None), *(slice(0, 3) for _ in sizes))] = True
    return real
