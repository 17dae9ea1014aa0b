"""Laws of gradients: in each dtype, for partners that lend twice, of any cotangent, and differentiated once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor

from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy
from featmix.strategies.moments import MomentStrategy
from featmix.testing.allowances import steepest
from featmix.testing.decisions import restrict
from featmix.testing.inputs import noise
from featmix.testing.large import case_of, many_of_all, shaped, spaced
from featmix.testing.law import CannotRunError, Case, demand_close, law, rounding, row_by_row, transformed
from featmix.testing.needs import sample_shape
from featmix.testing.seen import seen

Function: TypeAlias = Callable[[Tensor], Tensor]
STEP = 1e-7  # of central differences in float64, on values that lie further apart
ONCE = "once_differentiable"  # what torch says of a backward that says itself that it cannot be differentiated


def differentiable_function(strategy: Strategy) -> bool:
    """Return whether backward differentiates the function itself, with no moment that is a constant in it."""
    constants = isinstance(strategy, MomentStrategy) and (strategy.detach or strategy.detach_partner)
    return strategy.exact_gradient and not constants


@law(
    "strategy",
    cause="Another backward for float32, or for many elements; half types that add up gradients in half precision.",
    drawn=False,
    every_dtype=True,
    reference=torch.float64,
)
def gradient_precision(strategy: Strategy, dtype: torch.dtype) -> None:
    """The gradient in float32 equals that in float64, and that of half types equals that in float32, also for large features.

    In float64 it is that of central differences along a direction, 1e-4 relative, where no moment is a constant in backward.
    Else 1e-5 of the largest entry, or 16 roundings of the half type, and eight roundings of the cotangent times the gain and
    its square, which matter in groups of a few elements.
    """
    large = [(17, *many_of_all(strategy)), (3, *shaped(strategy, 2, (182, 183)))]
    for seed, shape in enumerate([(5, *sample_shape(strategy)), *large]):
        if seed and dtype in (torch.float16, torch.bfloat16):
            return
        x = spaced(shape, seed=seed) if dtype == torch.float64 else noise(*shape, seed=seed, dtype=dtype)
        case = case_of(strategy, x, seed)
        weight = _noise_like(case.x, seed)
        if dtype == torch.float64:
            if differentiable_function(strategy):
                _demand_differences(_by(case), case.x, weight, "gradient")
            continue
        wide = torch.float64 if dtype == torch.float32 else torch.float32
        found = _gradient(_by(case), case.x, weight)
        expected = _gradient(_by(case), case.x.to(wide), weight.to(wide))
        off = 1e-5 if dtype == torch.float32 else 16 * rounding(dtype)
        allowed = off * expected.abs().amax() + _steep(steepest(case), weight)
        demand_close(found, expected, allowed, f"gradient in {dtype} against {wide}")


@law(
    "strategy",
    cause="The inverse of a permutation in backward, where partners need be none; writing where adding is meant.",
    drawn=False,
    applies=lambda strategy: row_by_row(strategy) and strategy.tags.partnered,
    whom="strategies whose rows depend on themselves and their partner alone",
)
def repeated_partners(strategy: Strategy) -> None:
    """If several rows take from one row, its gradient is the sum of those from each of these rows alone.

    As ``gradient_precision``, in float32: sums run in another order.
    """
    for seed, shape in enumerate(((6, *sample_shape(strategy)), (7, *many_of_all(strategy)))):
        case = case_of(strategy, noise(*shape, seed=seed), seed, "repeated")
        weight, partner = _noise_like(case.x, seed), case.params.partner.tolist()
        found, expected = _gradient(_by(case), case.x, weight), torch.zeros(case.x.shape, dtype=torch.float64)
        for row, other in enumerate(partner):
            two = [row, other] if row != other else [row]
            alone = Case(strategy, case.x[two], seed)
            vars(alone)["params"] = restrict(case.params, two)
            only = torch.zeros_like(alone.x)
            only[0] = weight[row]
            expected[two] += _gradient(_by(alone), alone.x, only).double()
        case_of(strategy, case.x, seed, "repeated")  # what a failure shows
        allowed = 1e-5 * expected.abs().amax() + _steep(steepest(case), weight)
        demand_close(
            found, expected, allowed, f"gradient where rows take from {partner}, against rows beside their partner alone"
        )


@law(
    "strategy",
    cause="A gradient that is clipped, normalized or flushed to zero inside.",
    drawn=False,
)
def gradient_scales(strategy: Strategy) -> None:
    """A cotangent that is 2^20 times larger or smaller gives a gradient that is 2^20 times larger or smaller.

    Within four roundings of float32 of the largest entry, and what ``gradient_precision`` leaves to steep gains: a power of two
    changes no digit.
    """
    case = case_of(strategy, noise(5, *sample_shape(strategy), seed=3), 3)
    weight = _noise_like(case.x, 3)
    usual = _gradient(_by(case), case.x, weight)
    allowed = 4 * rounding(torch.float32) * usual.abs().amax() + _steep(steepest(case), weight)
    for factor in (2.0**20, 2.0**-20):
        found = _gradient(_by(case), case.x, factor * weight) / factor
        demand_close(found, usual, allowed, f"gradient of {factor:.3g} times the cotangent, divided by that")


@law(
    "strategy",
    cause="A backward of one's own whose operations are not seen, or whose own backward is wrong.",
    drawn=False,
    feeds=(torch.float32, torch.float64),
    reference=torch.float64,
)
def second_derivative(strategy: Strategy) -> None:
    """Backward can be differentiated: with respect to the cotangent, and, where no moment is a constant, to the features.

    The gradient is linear in the cotangent, so that its derivative is a gradient again: 1e-4 in float32, and 1e-6 in float64,
    where strengths may be float32. With respect to features it is that of central differences of the gradient in float64,
    1e-4 relative.
    """
    for dtype, positions in ((torch.float64, 3), (torch.float32, 5), (torch.float32, 40)):
        shape = (4, *shaped(strategy, 4, (positions, positions)))
        case = case_of(strategy, spaced(shape, seed=4, dtype=dtype), 4)
        f, off = _by(case), 1e-6 if dtype == torch.float64 else 1e-4
        _demand_linear(f, case.x, off)
        if differentiable_function(strategy) and dtype == torch.float64:
            _demand_second(f, case.x)


# -- normalizers -------------------------------------------------------------------------------------------------------


@law(
    "normalizer",
    cause="Moments that are constants in backward, in moments() or denormalize(), or a mean taken under no_grad.",
    drawn=False,
    every_dtype=True,
    reference=torch.float64,
)
def moments_gradient(norm: Normalizer, dtype: torch.dtype) -> None:
    """Gradients through moments, normalize and denormalize equal central differences in float64, for any cotangent.

    1e-4 relative. In float32 they are those in float64 within 1e-4 of the largest entry; of a cotangent 2^20 times larger or
    smaller they are as many times larger or smaller, within four roundings. Half types: 32 roundings against float32. Steep
    gains are given what ``gradient_precision`` gives them, in the dtype of the features.
    """
    for seed, shape in enumerate(((3, *sample_shape(norm, positions=4)), (5, *shaped(norm, 17, (17, 19))))):
        if seed and dtype in (torch.float16, torch.bfloat16):
            return
        x = spaced(shape, seed=seed, dtype=dtype)
        seen(x)
        for what, f in _functions(norm, x).items():
            weight = torch.randn(f(x).shape, generator=Generator().manual_seed(seed)).to(f(x).dtype)
            found = _gradient(f, x, weight)
            if dtype == torch.float64:
                _demand_differences(f, x, weight, f"gradient of {what}")
                continue
            wide = torch.float64 if dtype == torch.float32 else torch.float32
            exact = _functions(norm, x.to(wide))[what]
            expected = _gradient(exact, x.to(wide), weight.to(exact(x.to(wide)).dtype))
            off = 1e-4 if dtype == torch.float32 else 32 * rounding(dtype)
            largest, gain = expected.abs().amax(), 1 / norm.moments(x.double()).std
            steep = _steep(gain, weight, dtype)
            demand_close(found, expected, off * largest + steep, f"gradient of {what} in {dtype} against {wide}")
            if dtype == torch.float32:
                for factor in (2.0**20, 2.0**-20):
                    scaled = _gradient(f, x, factor * weight) / factor
                    allowed = 4 * rounding(dtype) * largest + steep
                    demand_close(scaled, found, allowed, f"gradient of {what} at {factor:.3g} times the cotangent")


@law(
    "normalizer",
    cause="A backward of one's own whose operations are not seen, or whose own backward is wrong.",
    drawn=False,
    feeds=(torch.float64,),
)
def moments_second_derivative(norm: Normalizer) -> None:
    """Backward of moments, normalize and denormalize can be differentiated, with respect to cotangents and to features.

    As ``second_derivative``, in float64.
    """
    x = spaced((3, *sample_shape(norm, positions=3)), seed=2)
    seen(x)
    for f in _functions(norm, x).values():
        _demand_linear(f, x, 1e-10)
        _demand_second(f, x)


def _functions(norm: Normalizer, x: Tensor) -> dict[str, Function]:
    """What a normalizer computes of features, by name; ``x`` gives constants where one is needed."""
    content = x.detach().flip(0) * 0.5

    def moments(z: Tensor) -> Tensor:
        m = norm.moments(z)
        return torch.cat([m.mean.flatten(), 2 * m.std.flatten()])

    fixed = norm.moments(x.detach())
    return {
        "moments": moments,
        "normalize": lambda z: norm.normalize(z)[0],
        "denormalize, to its features": lambda z: norm.denormalize(z, fixed),
        "denormalize, to its moments": lambda z: norm.denormalize(content, norm.moments(z)),
    }


# -- derivatives -------------------------------------------------------------------------------------------------------


def _by(case: Case) -> Function:
    """The strategy with the decision of a case, as a function of features."""
    return lambda z: transformed(case.strategy, z, case.params)


def _noise_like(x: Tensor, seed: int) -> Tensor:
    return torch.randn(x.shape, generator=Generator().manual_seed(seed + 100), dtype=torch.float32).to(x.dtype)


def _gradient(f: Function, x: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient of ``sum(weight * f(x))``; zeros where there is none."""
    leaf = x.detach().clone().requires_grad_()
    y = f(leaf)
    if not y.requires_grad:
        return torch.zeros_like(leaf)
    (found,) = torch.autograd.grad(y, leaf, weight, allow_unused=True)
    return torch.zeros_like(leaf) if found is None else found


def _steep(gain: Tensor, weight: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return what steep gains add to the roundings of a gradient: differences that are small are off by more of themselves."""
    gain = gain.double().amax()
    return 8 * rounding(dtype) * (gain + gain.square()) * weight.double().abs().amax()


def _demand_differences(f: Function, x: Tensor, weight: Tensor, what: str) -> None:
    """Demand that a gradient, along a direction, is what central differences of the function are."""
    along = _noise_like(x, 7)
    with torch.no_grad():
        ahead, behind = (float((weight * f(x + side * STEP * along)).sum()) for side in (1, -1))
    found = float((_gradient(f, x, weight) * along).sum())
    scale = float(_gradient(f, x, weight).abs().amax() * along.norm()) + 1e-9
    demand_close(
        torch.tensor(found), torch.tensor((ahead - behind) / (2 * STEP)), 1e-4 * scale + 1e-8, f"{what} along a direction"
    )


def _demand_linear(f: Function, x: Tensor, off: float) -> None:
    """Demand that the derivative of a gradient with respect to its cotangent is what backward gives for another one."""
    leaf, along = x.detach().clone().requires_grad_(), _noise_like(x, 8)
    y = f(leaf)
    weight, other = _noise_like(y.detach(), 9).requires_grad_(), _noise_like(y.detach(), 10)
    first = _differentiable(y, leaf, weight)
    expected = (_gradient(f, x, other) * along).sum()
    found = torch.zeros(())
    if first is not None and first.requires_grad:
        (slope,) = _again((first * along).sum(), weight)
        found = (slope * other).sum()
    scale = _gradient(f, x, other).abs().amax() * along.norm()
    demand_close(found.detach(), expected, off * float(scale), "gradient differentiated with respect to the cotangent")


def _demand_second(f: Function, x: Tensor) -> None:
    """Demand that a gradient differentiated with respect to features is what its central differences are."""
    leaf, along, other = x.detach().clone().requires_grad_(), _noise_like(x, 8), _noise_like(x, 11)
    y = f(leaf)
    weight = _noise_like(y.detach(), 9)
    first = _differentiable(y, leaf, weight)
    ahead, behind = (float((_gradient(f, x + side * STEP * other, weight) * along).sum()) for side in (1, -1))
    found = torch.zeros(())
    if first is not None and first.requires_grad:
        (slope,) = _again((first * along).sum(), leaf)
        found = (slope * other).sum()
    scale = float(_gradient(f, x, weight).abs().amax() * along.norm() * other.norm())
    expected = torch.tensor((ahead - behind) / (2 * STEP))
    demand_close(found.detach(), expected, 1e-4 * scale + 1e-7, "gradient differentiated with respect to features")


def _differentiable(y: Tensor, leaf: Tensor, weight: Tensor) -> Tensor | None:
    """Return the gradient, to be differentiated again; ``None`` where there is none."""
    if not y.requires_grad:
        return None
    (found,) = torch.autograd.grad(y, leaf, weight, create_graph=True, allow_unused=True)
    return found


def _says_once(value: Tensor) -> bool:
    """Return whether torch put an error into the graph, in place of what cannot be differentiated again."""
    left: list[Any] = [value.grad_fn]
    known = set()
    while left:
        node = left.pop()
        if node is not None and node not in known:
            known.add(node)
            if node.name().endswith("Error"):
                return True
            left += [parent for parent, _ in node.next_functions]
    return False


def _again(value: Tensor, leaf: Tensor) -> tuple[Tensor]:
    """Return the gradient of what backward gave; a backward that says it has none is no wrong one."""
    try:
        (found,) = torch.autograd.grad(value, leaf, allow_unused=True)
        if _says_once(value):
            raise RuntimeError(ONCE)
    except RuntimeError as error:
        if ONCE in str(error):
            raise CannotRunError(f"its backward says that it is differentiable once: {error}") from error
        raise
    return (torch.zeros_like(leaf) if found is None else found,)
