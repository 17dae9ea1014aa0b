"""Laws of labels and of randomness: what the loss is told is what happened, as often as it should."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F  # noqa: N812

from featmix.strategies.base import Strategy
from featmix.testing.law import (
    Case,
    channel_count,
    decide,
    demand,
    demand_close,
    law,
    layout_name,
    mixes_content,
    sample_shape,
    without_prefix,
)
from featmix.testing.needs import class_count, decision_in_words, needs
from featmix.testing.seen import made_by, seen


@law(
    "strategy",
    cause="Shares that do not add up, labels mixed for idle rows, or a partner of the labels that is not the "
    "partner of the features.",
    every_dtype=False,
)
def labels(case: Case) -> None:
    """Rows of the mixture add up to 1, touch only the row and its partner, and idle rows keep their label.

    Four units in the last place of float32: a share, its complement and their sum are one rounding each. Strategies that take
    from more of the batch than a partner may name more of it.
    """
    params = case.params
    mixture = params.mixture
    unit = torch.finfo(torch.float32).eps
    demand_close(mixture.weight.double().sum(1), torch.ones(len(mixture)), 4 * unit, "a row of label shares")
    demand(mixture.weight >= 0, "a label share below 0")
    matrix = mixture.matrix()
    rows = torch.arange(len(matrix))
    allowed = torch.eye(len(matrix), dtype=torch.bool)
    allowed[rows, params.partner] = True
    together = case.strategy.tags.batch_coupled
    demand(allowed | (matrix == 0) | together, "a label share of a row that is neither the sample nor its partner")
    demand(matrix[~params.active] == torch.eye(len(matrix))[~params.active], "an idle row's label changed")
    if not case.strategy.tags.mixes_labels:
        demand(matrix == torch.eye(len(matrix)), "labels changed although the strategy does not mix them")


@law(
    "strategy",
    cause="The label share belongs to the partner, the share is the one drawn and not the one realised (a box "
    "clipped at the border), or rows take labels from elsewhere than features.",
    drawn=False,
    applies=mixes_content,
    whom="strategies whose labels are shares of what is in the features",
)
def labels_measure_content(strategy: Strategy) -> None:
    """Mark one sample after the other in its features: the label shares are the shares found in the result, within 1e-5.

    The content is a mean over some dozens of positions of a float32 result: 1e-5 is far above its rounding and far below
    the share of a single position.
    """
    strategy = without_prefix(strategy)
    for seed in range(30):
        marked = sources(strategy, 4 + seed % 3)
        case = Case(strategy, made_by(marked[0], f"sources(subject, {len(marked)})[0]"), seed)
        found = torch.stack([content(strategy, case.transform(each)) for each in marked], dim=1)
        demand_close(found, case.params.mixture.matrix(), 1e-5, "label share against content")


@law(
    "strategy",
    cause="p is applied twice, compared with <= (so that 0 fires), or drawn once for a batch where rows are meant.",
    drawn=False,
    of_draws=True,
    slow=True,
)
def probability(strategy: Strategy) -> None:
    """Nothing is mixed at p = 0, everything at p = 1; between, a share within five binomial sigmas of p in 2,000 draws.

    Five sigmas: a false alarm in about two million tries, and the draws are seeded. The two rows of a batch are partners: who
    draws itself may be left alone.
    """
    shape = (2, *sample_shape(strategy))
    if strategy.passes_through(shape):
        return
    kept = strategy.p
    given: list[dict[str, Tensor]] = [{}]
    if needs(strategy).needs_target:
        given = [{"target": torch.tensor([0, other])} for other in (0, class_count(strategy) - 1)]
    seen(None, 0, f"params = {decision_in_words(strategy, str(shape), 0)}")
    try:
        shares = [_demand_gates(strategy, shape, labels) for labels in given]
        demand(max(shares) == 1, "some rows were never mixed at p=1")
    finally:
        strategy.p = kept


def _demand_gates(strategy: Strategy, shape: Sequence[int], given: Mapping[str, Tensor]) -> float:
    """Hold the gates of two rows, partners of each other, to the probabilities; returns the share mixed at 1.

    That is 1, but where labels decide too.
    """
    generator, partner = Generator().manual_seed(0), torch.tensor([1, 0])
    most = 1.0
    for p, draws in ((1.0, 500), (0.0, 500), (0.3, 2000)):
        strategy.p = p
        gates = [decide(strategy, shape, generator, partner=partner, **given).active for _ in range(draws)]
        drawn = torch.stack(gates).double()
        if p == 1.0 and given:
            most = float(drawn.mean())
        sigma = (p * most * (1 - p * most) / draws) ** 0.5
        demand_close(drawn.mean(0), torch.full((2,), p * most), 5 * sigma, f"share of mixed rows at p={p}")
        if strategy.per == "batch" and not given:
            demand(drawn[:, 0] == drawn[:, 1], "rows of a batch were gated apart")
        elif 0 < p * most < 1 and strategy.per == "sample":
            demand((drawn[:, 0] != drawn[:, 1]).any(), "rows were never gated apart")
    return most


@law(
    "strategy",
    cause="Beta through gamma variates that underflow, a strength outside its range, or partners from a plain permutation.",
    drawn=False,
    of_draws=True,
    slow=True,
)
def sampler(strategy: Strategy) -> None:
    """Strengths are finite, in [0, 1] and as often near one half as Beta(alpha, alpha) is; derangements have no fixed point.

    Partners are rows of the batch; rows that are not active are their own. Where strengths are drawn raw, by a setting
    ``alpha`` and for no box, the share of 2,000 of them in (0.4, 0.6) lies within five binomial sigmas of the exact one for
    ``alpha`` in {1e-3, 0.1, 1, 1e3}; five draws are allowed on top, because the binomial is skewed where that share is small.
    Strengths mirrored at one half keep it.
    """
    shape = (6, *sample_shape(strategy))
    seen(None, 0, f"params = {decision_in_words(strategy, str(shape), 0)}")
    generator = Generator().manual_seed(0)
    for _ in range(300):
        params = decide(strategy, shape, generator)
        demand((params.partner >= 0) & (params.partner < 6), "a partner outside the batch")
        if strategy.partner == "derangement" and strategy.tags.partnered:
            demand((params.partner != torch.arange(6))[params.active], "a derangement with a fixed point")
        if params.lam is not None:
            demand((params.lam >= 0) & (params.lam <= 1), "a strength outside [0, 1]")
    raw = params.lam is not None and not strategy.tags.spatial and not strategy.passes_through(shape)
    if raw and strategy.strength_beta is not None and "alpha" in strategy.setting_names():
        for alpha in (1e-3, 0.1, 1.0, 1e3):
            _demand_mass(strategy, alpha)


def _demand_mass(strategy: Strategy, alpha: float, draws: int = 2000) -> None:
    drawing = _with_alpha(strategy, alpha)
    drawing.p = 1.0
    apart = getattr(strategy, "lam_per", "batch") == "sample"  # then the rows of one batch are as good as many batches
    batch, generator = draws if apart else 2, Generator().manual_seed(1)
    shape, partner = (batch, *sample_shape(strategy)), torch.arange(batch).roll(1)
    times = 1 if apart else draws
    drawn = [decide(drawing, shape, generator, partner=partner).lam for _ in range(times)]
    strengths = torch.cat([lam if apart else lam[:1] for lam in drawn if lam is not None])
    measured = ((strengths > 0.4) & (strengths < 0.6)).double().mean()
    exact = mass_near_half(alpha)
    allowed = 5 * (exact * (1 - exact) / draws) ** 0.5 + 5 / draws
    demand_close(measured, torch.tensor(exact), allowed, f"share of strengths in (0.4, 0.6) at alpha={alpha}")


def _with_alpha(strategy: Strategy, alpha: float) -> Strategy:
    try:
        return type(strategy)(**{**strategy.settings(), "alpha": alpha})
    except Exception:  # its constructor does not take its settings
        drawing = copy.copy(strategy)
        vars(drawing)["alpha"] = alpha
        return drawing


def mass_near_half(alpha: float, cells: int = 4000) -> float:
    """The probability of (0.4, 0.6) under Beta(alpha, alpha), by the midpoint rule along the logit, where it is smooth.

    Example:
        >>> round(mass_near_half(1.0), 6)
        0.2
    """
    a = torch.tensor(alpha, dtype=torch.float64)
    edge = torch.logit(torch.tensor(0.6, dtype=torch.float64))
    t = edge * ((2 * torch.arange(cells, dtype=torch.float64) + 1) / cells - 1)
    log_beta = 2 * torch.lgamma(a) - torch.lgamma(2 * a)
    density = (a * (F.logsigmoid(t) + F.logsigmoid(-t)) - log_beta).exp()
    return min(float(density.mean() * 2 * edge), 1.0)


def sources(strategy: Strategy, batch: int) -> Tensor:
    """``(B, B, ...)``: entry ``k`` is a batch whose row ``k`` is 1 and whose other rows are 0; no two position axes alike.

    What mixes content is linear in the features once it is decided, so that the same decision on each of them tells how much of
    row ``k`` is in each row of the result, in every channel.
    """
    name = layout_name(strategy)
    channels, own = channel_count(strategy, 3), needs(strategy).shapes
    shape = own[0] if own else [channels if letter == "c" else 8 - axis for axis, letter in enumerate(name) if axis]
    return torch.eye(batch).view(batch, batch, *[1] * len(shape)).expand(batch, batch, *shape).clone()


def content(strategy: Strategy, y: Tensor, real: Tensor | None = None) -> Tensor:
    """The mean of each row ``(B,)`` over all channels and positions, or over real positions ``(B, *positions)``."""
    values = y.double().mean(layout_name(strategy).index("c")).reshape(len(y), -1)
    weight = torch.ones_like(values) if real is None else real.flatten(1).double()
    return (values * weight).sum(1) / weight.sum(1)
