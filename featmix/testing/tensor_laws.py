"""Laws of every strategy: shapes, values, gradients and memory of the tensors that it returns."""

from __future__ import annotations

import copy

import torch
from torch import Generator
from torch.nn import functional as F  # noqa: N812

from featmix.strategies.base import Strategy
from featmix.strategies.moments import MomentStrategy
from featmix.testing.allowances import gradient, memory_formats, slack
from featmix.testing.inputs import noise
from featmix.testing.inputs import rows as structured
from featmix.testing.law import (
    Case,
    channel_multiple,
    demand,
    demand_close,
    law,
    layout_name,
    same_bits,
    sample_shape,
    takes,
    transformed,
    without_prefix,
)
from featmix.testing.needs import needs


@law(
    "strategy",
    cause="A variance over n - 1 with n = 1, a reshape with -1 on an empty batch, or an index of a partner that is not there.",
    drawn=False,
)
def degenerate(strategy: Strategy) -> None:
    """Empty batches, single rows, odd batches, single positions and single channels keep their shape and stay finite.

    No tolerance: finite or not.
    """
    ordinary = sample_shape(strategy)
    single = sample_shape(strategy, positions=1, groups=1)
    mixed = tuple(5 if letter == "c" else n for letter, n in zip(layout_name(strategy)[1:], single, strict=True))
    thin = tuple(n if letter == "c" else 4 for letter, n in zip(layout_name(strategy)[1:], single, strict=True))
    shapes = {ordinary, single, thin, *needs(strategy).shapes, *([mixed] if channel_multiple(strategy) == 1 else [])}
    for sample in sorted(shape for shape in shapes if takes(strategy, shape)):
        for batch in (0, 1, 2, 5):
            x = noise(batch, *sample, seed=0).requires_grad_()
            y = Case(strategy, x, 1).transform()
            demand(y.shape == x.shape, f"shape {tuple(x.shape)} became {tuple(y.shape)}")
            demand(y.isfinite(), f"not finite for shape {tuple(x.shape)}")
            torch.autograd.backward(y.square().sum())
            demand(gradient(x).isfinite(), f"gradient not finite for shape {tuple(x.shape)}")


@law(
    "strategy",
    cause="The gradient of sqrt at 0: eps stands outside the root, or statistics are differentiated in half precision.",
    drawn=False,
    every_dtype=True,
)
def constant_channel(strategy: Strategy, dtype: torch.dtype) -> None:
    """Constant features give finite output and gradient in every dtype.

    No tolerance: finite or not.
    """
    x = structured(
        ["constant", "normal", "constant"], sample_shape(strategy), seed=0, magnitude=3.0, dtype=dtype
    ).requires_grad_()
    y = Case(strategy, x, 0).transform()
    demand(y.isfinite(), f"not finite in {dtype}")
    torch.autograd.backward(y.float().sum())
    demand(gradient(x).isfinite(), f"gradient not finite in {dtype}")


@law(
    "strategy",
    cause="The result is computed in float32 and not cast back, an in-place operation touches the input, or "
    "expand() comes out.",
)
def contract(case: Case) -> None:
    """Same shape, dtype, device and memory format; the input is not touched; no expanded view and no alias comes out.

    No tolerance: metadata and bits.
    """
    for x in memory_formats(case.x):
        before = x.clone()
        y = case.transform(x)
        demand(
            y.shape == x.shape and y.dtype == x.dtype and y.device == x.device,
            f"{x.dtype} {x.shape} became {y.dtype} {y.shape}",
        )
        demand(same_bits(x, before), "the input was changed")
        demand(x.numel() == 0 or y.data_ptr() != x.data_ptr(), "the result is the input's own memory")
        for form in (torch.contiguous_format, torch.channels_last):
            if x.ndim == 4 or form is torch.contiguous_format:
                demand(not x.is_contiguous(memory_format=form) or y.is_contiguous(memory_format=form), f"lost {form}")
        demand(all(s != 0 or n <= 1 for s, n in zip(y.stride(), y.shape, strict=True)), "an expanded view came out")


@law(
    "strategy",
    cause="A row is written before another row has taken from it, or the result is not written back.",
    applies=lambda strategy: strategy.inplace,
    whom="strategies with inplace=True",
)
def in_place(case: Case) -> None:
    """With ``inplace=True`` the input itself comes back, with the same values as without.

    No tolerance: the same arithmetic in other memory.
    """
    without = copy.copy(case.strategy)
    without.inplace = False
    for x in memory_formats(case.x.clone()):
        expected = without.transform(x, case.params)
        demand(case.strategy.transform(x, case.params) is x, "another tensor came out")
        demand(same_bits(x, expected), "not what comes out of place")


@law(
    "strategy",
    cause="The result shares memory with the input, or backward needs an output that the next layer overwrites.",
    drawn=False,
)
def inplace_safe(strategy: Strategy) -> None:
    """An in-place ReLU right after the layer gives the same gradient as an ordinary one.

    1e-6: the same arithmetic on gradients of order 1.
    """
    x = noise(5, *sample_shape(strategy), seed=3)
    gradients = []
    for inplace in (False, True):
        leaf = x.clone().requires_grad_()
        torch.autograd.backward(F.relu(Case(strategy, leaf * 1.0, 3).transform(), inplace=inplace).square().sum())
        gradients.append(gradient(leaf))
    demand_close(gradients[1], gradients[0], 1e-6, "gradient through an in-place ReLU")


@law(
    "strategy",
    cause="view() where reshape is meant, or an axis counted from the wrong end of the strides.",
)
def layout(case: Case) -> None:
    """channels_last, sliced and transposed input give what contiguous input gives, within rounding.

    As in ``identity``: sums may run in another order.
    """
    expected = case.transform(case.x.contiguous())
    for x in memory_formats(case.x):
        demand_close(case.transform(x), expected, slack(case), f"input with strides {x.stride()}")


@law(
    "strategy",
    cause="A detach() too many or too few, or a hand-written backward that forgets the moments' own gradient.",
    drawn=False,
    feeds=(torch.float64,),
    slow=True,
    applies=lambda s: s.exact_gradient,
    whom="strategies that say their gradient is exact",
)
def gradcheck(strategy: Strategy) -> None:
    """Gradients in float64 are right: of the whole result, or, if moments are constants, of the rest.

    torch's own tolerances for finite differences in float64; against frozen moments 1e-10, for both sides are analytic.
    """
    strategy = without_prefix(strategy)
    x = noise(3, *sample_shape(strategy, positions=2), seed=5, dtype=torch.float64)
    if isinstance(strategy, MomentStrategy) and strategy.positive_only:
        x = x + 0.1 * x.sign()  # no element crosses zero under the finite difference
    params = Case(strategy, x, 5).params
    if not (isinstance(strategy, MomentStrategy) and (strategy.detach or strategy.detach_partner)):
        leaf = x.clone().requires_grad_()
        demand(
            torch.autograd.gradcheck(lambda z: transformed(strategy, z, params), (leaf,), raise_exception=False),
            "gradcheck failed",
        )
        return
    norm, leaf, frozen = strategy.normalizer, x.clone().requires_grad_(), x.clone().requires_grad_()
    own = strategy.moments_of(x if strategy.detach else frozen, params)
    lent = strategy.lent_moments(x, params, strategy.moments_of(x, params))
    new = strategy.new_moments(own, lent.take(params.partner), params)
    affine = (norm.view(frozen) - own.mean) / own.std * new.std + new.mean
    content, restyled = strategy.content(params), params.active.view(-1, *[1] * (x.ndim - 1))
    if content is not None:
        restyled = restyled & strategy.layout_of(x.shape).spread(content)
    expected = torch.where(restyled, affine.reshape(x.shape), frozen)
    weight = torch.randn(x.shape, dtype=torch.float64, generator=Generator().manual_seed(6))
    torch.autograd.backward((transformed(strategy, leaf, params) * weight).sum())
    torch.autograd.backward((expected * weight).sum())
    demand_close(gradient(leaf), gradient(frozen), 1e-10, "gradient with frozen moments")
