"""Checks of what a user hands to a strategy: done once, at the border. What the library makes itself is not checked again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Generator, Tensor

from featmix.errors import FeatmixError
from featmix.labels.diagnosis import how_to_tensor
from featmix.labels.targets import INTEGERS
from featmix.strategies.params import Params

Partners: TypeAlias = Tensor | Sequence[int]
"""``(B,)`` rows of the batch: who takes from whom."""
Chosen: TypeAlias = Tensor | Sequence[bool]
"""``(B,)`` bool: which rows may be mixed."""
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_generator(who: str, generator: Generator | None) -> None:
    """Check that a generator is one.

    Raises:
        FeatmixError: If it is not.
    """
    if generator is not None and not isinstance(generator, Generator):
        fix = f"Write torch.Generator().manual_seed({generator})." if isinstance(generator, int) else ""
        raise FeatmixError(who, "generator", expected="a torch.Generator", got=repr(generator), fix=fix)


def check_rows(
    who: str, batch: int, *, target: Tensor | None = None, domain: Tensor | None = None, partner: Tensor | None = None
) -> None:
    """Check that labels, domains and partners are of a batch of this size.

    Raises:
        FeatmixError: If they are not.
    """
    for argument, value in (("target", target), ("domain", domain), ("partner", partner)):
        if value is not None and (not isinstance(value, Tensor) or value.ndim == 0 or value.shape[0] != batch):
            got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            fix = how_to_tensor(argument, value)
            raise FeatmixError(who, argument, expected=f"a tensor of {batch} rows", got=got, fix=fix)
    if domain is not None and domain.ndim != 1:
        raise FeatmixError(who, "domain", expected="one label a row", got=f"shape {tuple(domain.shape)}")
    if partner is not None:
        fits = partner.ndim == 1 and partner.dtype == torch.int64
        if not fits or (batch and not 0 <= int(partner.min()) <= int(partner.max()) < batch):
            expected = f"int64 rows of a batch of {batch}, one for each"
            raise FeatmixError(who, "partner", expected=expected, got=f"{partner.dtype} {partner.tolist()}")


def check_classes_known(who: str, target: Tensor | None, num_classes: int | None) -> None:
    """Check that class indices come with their number.

    Raises:
        FeatmixError: If they do not, before anything is drawn.

    Example:
        >>> check_classes_known("Mixup", torch.tensor([0, 1, 2]), None)
        Traceback (most recent call last):
        featmix.errors.FeatmixError: Mixup: num_classes: expected the number of classes, for class indices (3,), got None. ...
    """
    if num_classes is None and isinstance(target, Tensor) and target.ndim == 1 and target.dtype in INTEGERS:
        expected = f"the number of classes, for class indices {tuple(target.shape)}"
        fix = f"Write {who}(num_classes=10), or pass num_classes=10 in the call."
        raise FeatmixError(who, "num_classes", expected=expected, got="None", fix=fix)


def own_partners(who: str, batch: int, partner: Partners | None) -> Tensor | None:
    """Return given partners as a tensor on the host, where decisions are made.

    Raises:
        FeatmixError: If they are no rows of a batch of this size.

    Example:
        >>> own_partners("draw", 3, [1, 2, 0])
        tensor([1, 2, 0])
    """
    if partner is None:
        return None
    there = _on_the_host(who, "partner", partner, expected=f"int64 rows of a batch of {batch}, one for each")
    check_rows(who, batch, partner=there)
    return there


def own_rows(who: str, batch: int, rows: Chosen | None) -> Tensor | None:
    """Return which rows may be mixed as a tensor on the host.

    Raises:
        FeatmixError: If it is not one truth value a row.

    Example:
        >>> own_rows("draw", 2, [True, False])
        tensor([ True, False])
    """
    if rows is None:
        return None
    expected = f"{batch} truth values, one a row: False for those that stay as they are"
    there = _on_the_host(who, "rows", rows, expected=expected)
    if there.dtype != torch.bool or there.shape != (batch,):
        raise FeatmixError(who, "rows", expected=expected, got=f"{there.dtype} of shape {tuple(there.shape)}")
    return there


def _on_the_host(who: str, argument: str, value: Tensor | Sequence[int], *, expected: str) -> Tensor:
    if isinstance(value, Tensor):
        return value.cpu()
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FeatmixError(who, argument, expected=expected, got=repr(value)) from error


def check_params(who: str, params: Params, kind: type[Params], batch: int) -> None:
    """Check that a decision is of a strategy's own kind, for a batch of this size.

    Raises:
        FeatmixError: If it is not.
    """
    if not isinstance(params, kind):
        expected = f"a decision of this strategy, {kind.__name__}, as make_params gives"
        raise FeatmixError(who, "params", expected=expected, got=type(params).__name__)
    if params.partner.shape[0] != batch:
        raise FeatmixError(
            who,
            "params",
            expected=f"a decision for the {batch} rows of x",
            got=f"one for {params.partner.shape[0]} rows",
            fix="Draw for the batch that goes through the model; under data parallelism each rank draws for its own.",
        )


def check_features(who: str, x: Tensor, *, needs_float: bool) -> None:
    """Check that features are a dense tensor, and a floating one where values are computed with.

    Raises:
        FeatmixError: If they are not.
    """
    if not isinstance(x, Tensor) or x.layout != torch.strided:
        got = f"layout {x.layout}" if isinstance(x, Tensor) else type(x).__name__
        raise FeatmixError(who, "x", expected="a tensor", got=got, fix=how_to_batch(x))
    if needs_float and x.dtype not in _FLOATS:
        raise FeatmixError(who, "x", expected="a floating tensor", got=str(x.dtype), fix=how_to_float(x.dtype))


def how_to_batch(x: object) -> str:
    """Return how to make a batch of something that is none.

    Example:
        >>> how_to_batch([torch.ones(3, 8, 8)])
        'Stack samples of one shape: torch.stack(list(x)).'
    """
    kind = type(x)
    if isinstance(x, list | tuple) and len(x) == 2 and all(isinstance(part, Tensor) for part in x) and x[0].ndim > x[1].ndim:
        return "Images and labels are two arguments: strategy(*batch)."
    if isinstance(x, list | tuple) and x and isinstance(x[0], list | tuple | dict):
        return "Samples are collated first, as in collate_fn=lambda samples: strategy(*default_collate(samples))."
    if isinstance(x, list | tuple):
        return "Stack samples of one shape: torch.stack(list(x))."
    if kind.__module__.partition(".")[0] == "numpy":
        axes: tuple[int, ...] = getattr(x, "shape", ())
        channels_last = len(axes) in (3, 4) and axes[-1] in (1, 3, 4)
        moved = ".movedim(-1, -3)" if channels_last else ""
        alone = ".unsqueeze(0)" if len(axes) == 3 else ""
        scaled = " / 255" if str(getattr(x, "dtype", "")) == "uint8" else ""
        return f"Write torch.from_numpy(x){moved}{alone}.float(){scaled}."
    if kind.__module__.partition(".")[0] == "PIL":
        return "Strategies mix batches of tensors: load images with a data set and a loader first, or use featmix.Pipeline."
    return "Strategies mix a batch in one tensor, (B, C, H, W) for images."


def how_to_float(dtype: torch.dtype) -> str:
    """Return what to do about values of a dtype that is not computed with.

    Example:
        >>> how_to_float(torch.uint8)
        'It computes with the values, and the results are not integers: convert first, x.float() / 255.'
    """
    if dtype.is_complex:
        return "Mix real values: x.abs(), or both parts as channels, torch.view_as_real(x).movedim(-1, 1).flatten(1, 2)."
    if dtype.is_floating_point:
        return "It is too narrow to compute with: x.to(torch.bfloat16)."
    if dtype in (torch.int32, torch.int64):
        return "It computes with the values, and ids of tokens have none: mix what the embedding returns. Convert counts first."
    scale = " / 255" if dtype == torch.uint8 else ""
    return f"It computes with the values, and the results are not integers: convert first, x.float(){scale}."
