"""Laws of every strategy: who takes from whom, what is left alone, and what a tensor may expect."""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Generator, Tensor
from torch.nn import functional as F  # noqa: N812

from featmix.strategies.base import Strategy
from featmix.strategies.moments import MomentStrategy
from featmix.testing.decisions import all_idle, restrict, with_partner
from featmix.testing.inputs import rows as structured
from featmix.testing.law import (
    Case,
    channel_multiple,
    demand,
    demand_close,
    law,
    layout_name,
    rounding,
    row_by_row,
    same_bits,
    sample_shape,
    transformed,
)

_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@law(
    "strategy",
    cause="Idle rows go through the arithmetic with strength 1 instead of being selected with torch.where.",
)
def identity(case: Case) -> None:
    """Rows that are not active come out bit for bit; a row that is its own partner comes out within rounding.

    Idle rows are selected, so nothing is rounded. A row with itself goes through the arithmetic: eight roundings of its scale,
    and of float32 times the steepest gain in the batch. Strategies that do something to a row by itself say so.
    """
    params = case.params
    y = case.transform()
    idle = ~params.active
    demand(same_bits(y[idle], case.x[idle]), "a row that was not active changed")
    demand(same_bits(case.transform(params=all_idle(params)), case.x), "rows changed although none was active")
    if row_by_row(case.strategy) and case.strategy.self_is_identity:  # elsewhere the partner is not all that matters
        own = case.transform(params=with_partner(params, torch.arange(len(case.x))))
        demand_close(own, case.x, slack(case), "a row that is its own partner")


@law(
    "strategy",
    cause="The inverse permutation is used: scatter where gather is meant, or roll in the other direction.",
    applies=row_by_row,
)
def partner_direction(case: Case) -> None:
    """Row i takes from partner[i], not the other way round: on a cycle of three each row is as in a batch of those two.

    As in ``identity``: sums may run in another order in a smaller batch.
    """
    if len(case.x) < 3:
        return
    x, seed = case.x[:3], Generator().manual_seed(case.seed)
    params = case.strategy.make_params(x.shape, partner=torch.tensor([1, 2, 0]), generator=seed)
    y = case.transform(x, params)
    for i in range(3):
        two = [i, (i + 1) % 3]
        alone = case.transform(x[two], restrict(params, two))
        demand_close(y[i], alone[0], slack(case), f"row {i} beside its partner alone")


@law(
    "strategy",
    cause="A row's place in the batch matters: a loop over neighbours, a shared buffer, or one row's strength used for all.",
    applies=row_by_row,
)
def batch_equivariance(case: Case) -> None:
    """Permuting rows and decision together permutes the result, bit for bit.

    No tolerance: rows are computed one like the other, wherever they stand.
    """
    order = torch.randperm(len(case.x), generator=Generator().manual_seed(case.seed)).tolist()
    there = case.transform(case.x[order], restrict(case.params, order))
    demand(same_bits(there, case.transform()[order]), "the result depends on where a row stands in the batch")


@law(
    "strategy",
    cause="Rows are gated by arithmetic (0 * NaN is NaN), or a statistic is taken over the batch.",
    applies=row_by_row,
)
def isolation(case: Case) -> None:
    """NaN or Inf in one row leaves every row bitwise unchanged that does not take from it, and its gradient finite.

    Gradients of the rows that the spoilt row itself takes from are left out: they see it through the chain rule.
    """
    params, sick = case.params, case.seed % len(case.x)
    spoilt = case.x.clone()
    spoilt[sick] = float("nan") if case.seed % 2 else float("inf")
    rows = torch.arange(len(spoilt))
    source = torch.where(params.active, params.partner, rows)
    well = (rows != sick) & (source != sick)
    demand(
        same_bits(case.transform(spoilt)[well], case.transform()[well]), f"row {sick} leaked into rows that do not take from it"
    )
    clean, spoilt = case.x.clone().requires_grad_(), spoilt.requires_grad_()
    for x in (clean, spoilt):
        torch.autograd.backward(case.transform(x)[well].float().sum())
    apart = well & (rows != source[sick])
    finite = _gradient(spoilt).isfinite() | ~_gradient(clean).isfinite()  # steep gains overflow in float16 by themselves
    demand(finite[apart], f"row {sick} leaked into gradients")


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
    single = tuple(channel_multiple(strategy) if letter == "c" else 1 for letter in layout_name(strategy)[1:])
    mixed = tuple(5 if letter == "c" else n for letter, n in zip(layout_name(strategy)[1:], single, strict=True))
    thin = tuple(n if letter == "c" else 4 for letter, n in zip(layout_name(strategy)[1:], single, strict=True))
    shapes = {ordinary, single, thin, *([mixed] if channel_multiple(strategy) == 1 else [])}
    for sample in sorted(shapes):
        for batch in (0, 1, 2, 5):
            x = torch.randn(batch, *sample, generator=Generator().manual_seed(0), requires_grad=True)
            y = Case(strategy, x, 1).transform()
            demand(y.shape == x.shape, f"shape {tuple(x.shape)} became {tuple(y.shape)}")
            demand(y.isfinite(), f"not finite for shape {tuple(x.shape)}")
            torch.autograd.backward(y.square().sum())
            demand(_gradient(x).isfinite(), f"gradient not finite for shape {tuple(x.shape)}")


@law(
    "strategy",
    cause="The gradient of sqrt at 0: eps stands outside the root, or statistics are differentiated in half precision.",
    drawn=False,
)
def constant_channel(strategy: Strategy) -> None:
    """Constant features give finite output and gradient in every dtype.

    No tolerance: finite or not.
    """
    for dtype in _DTYPES:
        x = structured(
            ["constant", "normal", "constant"], sample_shape(strategy), seed=0, magnitude=3.0, dtype=dtype
        ).requires_grad_()
        y = Case(strategy, x, 0).transform()
        demand(y.isfinite(), f"not finite in {dtype}")
        torch.autograd.backward(y.float().sum())
        demand(_gradient(x).isfinite(), f"gradient not finite in {dtype}")


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
)
def in_place(case: Case) -> None:
    """With ``inplace=True`` the input itself comes back, and in it what comes out without.

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
    """An in-place ReLU right after the layer gives the gradient of one out of place.

    1e-6: the same arithmetic on gradients of order 1.
    """
    x = torch.randn(5, *sample_shape(strategy), generator=Generator().manual_seed(3))
    gradients = []
    for inplace in (False, True):
        leaf = x.clone().requires_grad_()
        torch.autograd.backward(F.relu(Case(strategy, leaf * 1.0, 3).transform(), inplace=inplace).square().sum())
        gradients.append(_gradient(leaf))
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
    applies=lambda s: s.exact_gradient,
)
def gradcheck(strategy: Strategy) -> None:
    """Gradients in float64 are right: of all of it, or, with moments or a partner's that are constants, of what remains.

    torch's own tolerances for finite differences in float64; against frozen moments 1e-10, for both sides are analytic.
    """
    x = torch.randn(3, *sample_shape(strategy, positions=2), dtype=torch.float64, generator=Generator().manual_seed(5))
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
    demand_close(_gradient(leaf), _gradient(frozen), 1e-10, "gradient with frozen moments")


@law(
    "strategy",
    cause="Randomness or state inside transform, or a draw that does not use the generator it is given.",
)
def replay(case: Case) -> None:
    """The same decision twice is bitwise the same, and neither deciding nor acting touches torch's global generator.

    No tolerance: the same arithmetic twice.
    """
    before = torch.get_rng_state()
    first, second = case.transform(), case.transform()
    demand(same_bits(first, second), "the same decision gave two results")
    demand(torch.equal(before, torch.get_rng_state()), "the global generator moved although one was given")
    a, b = case.draw(), case.draw()
    for field in dataclasses.fields(a):
        left, right = getattr(a, field.name), getattr(b, field.name)
        demand(not isinstance(left, Tensor) or same_bits(left, right), f"the same seed drew two {field.name}")


@law("strategy", cause="The result is the input: the decision is not used, or the gate never opens.", drawn=False)
def does_something(strategy: Strategy) -> None:
    """A decision with an active row changes the features.

    No tolerance: any change counts.
    """
    x = torch.randn(8, *sample_shape(strategy), generator=Generator().manual_seed(7))
    changed = []
    for seed in range(20):
        case = Case(strategy, x, seed)
        if bool(case.params.active.any()):
            changed.append(not torch.equal(case.transform(), x))
    can = not strategy.passes_through(x.shape)
    demand(any(changed) or not can, "nothing changed in 20 decisions")


@law(
    "strategy",
    cause="The vectorised form and the loop over samples disagree: an axis, a direction, or a gate.",
    applies=lambda s: type(s).oracle is not Strategy.oracle,
)
def oracle(case: Case) -> None:
    """The result equals the strategy's own NumPy loop over samples.

    1e-9 of the largest value, before or after, and what float64 loses inside where a gain is steep: both are float64, and
    differ in the order of sums.
    """
    x = case.x.double()
    expected = torch.from_numpy(case.strategy.oracle(x.numpy(), case.params))
    largest = torch.maximum(_reach(x), _reach(expected)).amax().clamp(min=1)
    allowed = 1e-9 * largest + arithmetic(Case(case.strategy, x, case.seed))
    demand_close(case.transform(x), expected, allowed, "float64 against the oracle")


def _gradient(x: Tensor) -> Tensor:
    if x.grad is None:
        return torch.zeros_like(x)
    return x.grad


def slack(case: Case) -> Tensor:
    """Eight roundings of a row's own scale, and of the scale that its partner lends it."""
    largest = torch.maximum(_reach(case.x), _reach(case.transform()))
    return 8 * rounding(case.x.dtype) * largest.amax() + arithmetic(case) + torch.finfo(case.x.dtype).tiny


def arithmetic(case: Case) -> Tensor:
    """What the arithmetic inside may be off by: eight of its roundings, float32 for half types, times the largest gain."""
    gain = torch.ones(())
    strategy = case.strategy
    if isinstance(strategy, MomentStrategy) and not strategy.passes_through(case.x.shape):
        own = strategy.moments_of(case.x.double(), case.params)
        lent = strategy.lent_moments(case.x.double(), case.params, own)
        new = strategy.new_moments(own, lent.take(case.params.tied().partner), case.params)
        largest = torch.maximum(lent.std.amax(), new.std.abs().amax())
        gain = (largest / own.std.flatten(1).amin(1)).clamp(min=1)
    inside = min(rounding(case.x.dtype), rounding(torch.float32))
    return (8 * inside * gain * _reach(case.x)).amax()


def _reach(x: Tensor) -> Tensor:
    """Each row's largest magnitude; what is not finite earns no slack."""
    return x.double().nan_to_num(0, 0, 0).abs().flatten(1).amax(1)


def memory_formats(x: Tensor) -> list[Tensor]:
    """The same values contiguous, sliced out of a larger tensor, transposed, and as channels_last where there are 4 axes."""
    padded = torch.zeros(*x.shape[:-1], 2 * x.shape[-1] + 1, dtype=x.dtype)
    sliced = padded[..., 1::2]  # its last two axes cannot be seen as one
    sliced.copy_(x)
    swapped = x.transpose(0, 1).contiguous().transpose(0, 1)
    formats = [x.contiguous(), sliced, swapped]
    return [*formats, x.contiguous(memory_format=torch.channels_last)] if x.ndim == 4 else formats
