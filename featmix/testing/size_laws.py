"""Laws of size: what holds for a few rows, channels and positions holds for many."""

from __future__ import annotations

import torch
from torch import Tensor

from featmix.normalizers.base import Normalizer
from featmix.strategies.base import Strategy
from featmix.strategies.content import ContentStrategy
from featmix.strategies.moments import MomentStrategy
from featmix.testing.allowances import arithmetic, memory_formats, reach, slack
from featmix.testing.decisions import restrict
from featmix.testing.label_laws import content, labels, sources
from featmix.testing.large import (
    MANY_ROWS,
    SIXES,
    case_of,
    large,
    large_samples,
    many_positions,
    shaped,
    size_of,
)
from featmix.testing.law import (
    Case,
    LawError,
    demand_close,
    law,
    mixes_content,
    rounding,
    row_by_row,
)
from featmix.testing.moment_laws import moments
from featmix.testing.needs import without_prefix
from featmix.testing.padding_laws import takes_masks
from featmix.testing.precision_laws import half_types
from featmix.testing.seen import made_by, seen
from featmix.testing.strategy_laws import oracle

SHORT_SUM = 16.0  # whose square of terms torch adds up, scattered in memory, to as many bits as the law of moments asks for
SLOW_ORACLE = 2000  # means, which a loop over samples takes one after the other


@law(
    "strategy",
    cause="Another way for many rows: indices in a byte, a loop over blocks that loses the last one, partners drawn anew.",
    drawn=False,
    applies=row_by_row,
    whom="strategies whose rows depend on themselves and their partner alone",
)
def many_rows(strategy: Strategy) -> None:
    """In a batch of 300, and of 17, each row and its label become the same as in a batch of six.

    Partners are among each six rows. As in ``identity``: sums may run in another order. Labels are those of ``labels``.
    """
    for rows, p, sizes in ((MANY_ROWS, 1.0, (4, 5)), (17, 1.0, (8, 9)), (MANY_ROWS, 0.5, (2, 3))):
        x = large((rows, *shaped(strategy, 2, sizes)), seed=rows)
        case = _in_sixes(strategy, x, p)
        whole, allowed, params = case.transform(), slack(case), case.params
        labels(case)
        step = len(SIXES)
        for start in range(0, rows - rows % step, step):
            six = list(range(start, start + step))
            alone = case.transform(x[six], restrict(params, six))
            demand_close(whole[six], alone, allowed, f"rows {start} to {start + 5} of {rows}, against themselves alone")


@law(
    "strategy",
    cause="Another way for large features: blocks of which the last is lost, moments of some elements only, small integers.",
    drawn=False,
    feeds=(torch.float32, torch.float64),
    reference=torch.float64,
    slow=True,
)
def large_features(strategy: Strategy) -> None:
    """With a thousand channels, 50,000 positions, or 17 large rows, the result is right, also in float32.

    What it says is its ``oracle``, the moments of the law of that name, or the share of the partner at each position, and what
    it does in float64 and in other memory formats. A mask that is true everywhere changes no feature. Tolerances of the laws
    ``oracle``, ``layout`` and ``moments``, the last times a 16th of the root of the count; a strategy's oracle is left out
    where a mean is over a few of very many elements.
    """
    for seed, shape in enumerate(large_samples(strategy)):
        case = case_of(strategy, large(shape, seed=seed), seed)
        with _told(shape):
            _as_it_says(case)
            y, allowed = case.transform(), slack(case)
            wide = strategy.transform(case.x.double(), case.params)
            demand_close(y, wide, allowed, "float32 against float64")
            other = memory_formats(case.x)[1]
            demand_close(case.transform(other), y, allowed, f"input with strides {other.stride()}")
            if takes_masks(strategy):
                _demand_full_mask(case, y, allowed)


@law(
    "strategy",
    cause="A long sum in half precision, which stops growing once a term is less than its last bit.",
    drawn=False,
    feeds=(torch.float16, torch.bfloat16),
    reference=torch.float32,
)
def long_sums(strategy: Strategy) -> None:
    """With 50,000 positions, and with a thousand channels, half types give the same as float32, cast.

    Tolerance of ``half_types``, which does not grow with the number of elements: sums are float32, and pairwise.
    """
    channels, _, *positions = large_samples(strategy)
    for dtype, shapes in ((torch.bfloat16, [channels, *positions]), (torch.float16, positions or [channels])):
        for seed, shape in enumerate(shapes):
            with _told(shape):
                half_types(case_of(strategy, large(shape, seed=seed, dtype=dtype), seed))


@law(
    "strategy",
    cause="An area or a place in integers of 16 bits or in half precision, or a label that counts rows in a byte.",
    drawn=False,
    applies=mixes_content,
    whom="strategies whose labels are shares of what is in the features",
)
def labels_at_scale(strategy: Strategy) -> None:
    """On 50,000 positions, and in 17 rows, label shares are the shares of content found in the result, within 1e-5.

    As ``labels_measure_content``: a single position is a share of 2e-5 here.
    """
    strategy = without_prefix(strategy)
    for seed in range(8):
        marked = large_sources(strategy) if seed else made_by(sources(strategy, 17), "sources(subject, 17)")
        case = Case(strategy, made_by(marked[0], f"{'large_sources(subject)' if seed else 'sources(subject, 17)'}[0]"), seed)
        found = torch.stack([content(strategy, case.transform(each)) for each in marked], dim=1)
        demand_close(found, case.params.mixture.matrix(), 1e-5, f"label share against content of {size_of(marked[0].shape)}")


@law(
    "normalizer",
    cause="A long sum in half precision or one term after the other, blocks weighed wrongly, counts in small integers.",
    drawn=False,
    every_dtype=True,
)
def large_groups(norm: Normalizer, dtype: torch.dtype) -> None:
    """Moments of a thousand channels, of 50,000 positions and of 17 rows are mean and root of variance plus eps.

    Computed here in float64, over the axes that moments share, as the normalizer's ``unbiased``, ``positive_only`` and ``eps``
    say. As ``statistics_in_float32``: eight roundings of float32 on ``max|x|``, and on a standard deviation four times the root
    of the count, for torch adds up scattered elements one after the other; 1e-12 for float64 features.
    """
    off = 1e-12 if dtype == torch.float64 else 8 * rounding(torch.float32)
    for seed, shape in enumerate(large_samples(norm)):
        x = large(shape, seed=seed, dtype=dtype)
        seen(x)
        found, values = norm.moments(x), norm.view(x).double()
        mean, std = _moments(norm, values, found.mean)
        largest = values.abs().amax()
        with _told(shape):
            demand_close(found.mean, mean, off * largest, "mean")
            plain = 0.5 * off * (values.numel() / found.mean.numel()) ** 0.5
            demand_close(found.std, std, off * (std + largest) + plain * std, "standard deviation")


def large_sources(strategy: Strategy) -> Tensor:
    """What ``sources`` makes, of three rows and 50,000 positions."""
    shape = many_positions(strategy)
    return torch.eye(3).view(3, 3, *[1] * len(shape)).expand(3, 3, *shape).clone()


class _told:  # noqa: N801 - used like a function, in a with statement
    """Says which size it was that a law did not hold for."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, LawError):
            raise LawError(f"{error}, for features of {size_of(self._shape)}") from error


def _in_sixes(strategy: Strategy, x: Tensor, p: float) -> Case:
    """A case with partners among each six rows: the first of four seeds that mixes labels, which a small box need not."""
    for seed in range(4):
        case = case_of(strategy, x, seed, "in_sixes", p)
        if bool((case.params.mixture.weight.amax(1) < 1).any()):
            break
    return case


def _as_it_says(case: Case) -> None:
    """Hold a case to what its strategy says of itself: its moments, its shares, or its loop over samples."""
    strategy = case.strategy
    if isinstance(strategy, MomentStrategy):
        moments(case, max(1.0, strategy.normalizer.group_size(case.x.shape) ** 0.5 / SHORT_SUM))
    elif isinstance(strategy, ContentStrategy) and type(strategy).partner_share is not ContentStrategy.partner_share:
        _demand_shares(case, strategy)
    if type(strategy).oracle is not Strategy.oracle and _quick(case):
        oracle(case)


def _quick(case: Case) -> bool:
    """Whether a loop over samples, and over the means of each, ends soon."""
    strategy = case.strategy
    if not isinstance(strategy, MomentStrategy):
        return not isinstance(strategy, ContentStrategy)
    return case.x.numel() < SLOW_ORACLE * max(strategy.normalizer.group_size(case.x.shape), 1)


def _demand_full_mask(case: Case, y: Tensor, allowed: Tensor) -> None:
    """Demand that a mask that is true everywhere changes no feature."""
    sizes = case.strategy.layout_of(case.x.shape).spatial_shape(case.x.shape)
    params = case.params.replaced(mask=torch.ones(len(y), *sizes, dtype=torch.bool))
    demand_close(case.transform(params=params), y, allowed, "result under a full mask")


def _demand_shares(case: Case, strategy: ContentStrategy) -> None:
    """Demand that each position is the sample's and the partner's, by the share of the partner that the strategy names."""
    lay, params = strategy.layout_of(case.x.shape), case.params
    maps = case.x.double().movedim(lay.channel, 1)
    share = strategy.partner_share(params, lay.spatial_shape(case.x.shape)).double()
    lent = strategy.partner_map(maps, params)
    active = params.active.view(-1, *[1] * (maps.ndim - 1))
    expected = torch.where(active & (share > 0), maps + share * (lent - maps), maps).movedim(1, lay.channel)
    allowed = 16 * rounding(case.x.dtype) * torch.maximum(reach(case.x), reach(expected)).amax() + arithmetic(case)
    demand_close(case.transform(), expected, allowed, "the result against the partner's share of each position")


def _moments(norm: Normalizer, values: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and ``sqrt(var + eps)`` over the axes that moments share."""
    dims = tuple(axis for axis, (size, kept) in enumerate(zip(values.shape, like.shape, strict=True)) if size != kept)
    counted = values > 0 if norm.positive_only else torch.ones_like(values, dtype=torch.bool)
    n = counted.sum(dims, keepdim=True) if dims else counted.long()
    mean = torch.where(counted, values, 0).sum(dims, keepdim=True) / n.clamp(min=1) if dims else values * counted
    squares = torch.where(counted, values - mean, 0).square()
    squares = squares.sum(dims, keepdim=True) if dims else squares
    divisor = n - int(norm.unbiased and not norm.positive_only)
    return mean, (squares / divisor.clamp(min=1) + norm.eps).sqrt()
