"""Laws of what is drawn: strengths, partners, gates and places are from the distributions that the settings name."""

from __future__ import annotations

import math
from collections import Counter
from itertools import permutations, product
from typing import Any

import torch
from torch import Generator, Tensor

from featmix.layouts import inside, layout
from featmix.sampling.draws import PARTNERS, PER
from featmix.strategies.base import Strategy
from featmix.strategies.content import ContentStrategy
from featmix.strategies.params import Params
from featmix.testing.chance import agreement, demand_beta, demand_centred, demand_share
from featmix.testing.large import gated, shaped
from featmix.testing.law import CannotRunError, demand, law, layout_name, mixes_content, row_by_row, transformed
from featmix.testing.needs import decide, needs
from featmix.testing.seen import seen

ALPHAS = (0.1, 1.0, 5.0)
ROWS = 4
FEW = 40  # draws that tell nothing of a distribution
SIZES, SMALL = (16, 16), (4, 4)


def draws_strengths(strategy: Strategy) -> bool:
    """Return whether the strategy names the distribution of its strengths."""
    return strategy.strength_beta is not None


def draws_partners(strategy: Strategy) -> bool:
    """Return whether partners are drawn, in one of the ways that have a name."""
    return strategy.tags.partnered and row_by_row(strategy) and strategy.partner in PARTNERS


def draws_places(strategy: Strategy) -> bool:
    """Return whether there is a grid, and the decision has places on it that can be found."""
    return strategy.needs_grid and row_by_row(strategy)


@law(
    "strategy",
    cause="Strengths that are clipped, rounded, mirrored or sorted, of another distribution, or that depend on the gate.",
    drawn=False,
    of_draws=True,
    applies=draws_strengths,
    whom="strategies with strengths from Beta(alpha, alpha), or whose strength_beta names another Beta distribution",
)
def strengths(strategy: Strategy) -> None:
    """Strengths are from the Beta distribution that the settings name, in the middle and in both tails, in each row.

    For the strategy's own ``alpha`` and for 0.1, 1 and 5, where its settings make it again. Shares below some thirty thresholds
    (a Kolmogorov-Smirnov test that is as strict in the tails), and the mean; of all, of the earlier and later draws, and of the
    first and last rows where each has its own. No more than a few in a thousand are alike at ``alpha = 1``. A comparison
    refuses what is right with a probability of at most 5e-9.
    """
    for one in [strategy, *_with_alphas(strategy)]:
        named = one.strength_beta
        if named is None or min(named) == 0:
            continue
        grain = 1e-7 if not one.tags.spatial else 1.5 / _cells(one)
        parts = _strengths(one, 450 if named == (1.0, 1.0) and not one.tags.spatial else 240)
        for what, some in parts:
            if len(some) >= FEW:
                demand_beta(some, *named, grain, what)
        _, every = parts[0]
        alike = len(every) - len(torch.unique(every))
        few = named != (1.0, 1.0) or one.tags.spatial or alike <= 3 + len(every) / 500
        demand(few, f"{alike} of {len(every)} strengths occur twice: they are rounded or clipped")


@law(
    "strategy",
    cause="One strength for the batch where each sample should have its own, or the other way round; antithetic draws.",
    drawn=False,
    of_draws=True,
    applies=lambda strategy: strategy.strength_per in PER,
    whom="strategies with a setting lam_per",
)
def strengths_apart(strategy: Strategy) -> None:
    """With ``lam_per="batch"`` mixed rows share one strength; with ``"sample"`` each has its own, independent of the others.

    Nor does a draw tell the next one. Rows, and draws, that have nothing to do with each other grow together as often as
    apart; an excess is allowed that chance brings about with 5e-9.
    """
    steps = [step for step in _decisions(strategy, 240, p=1.0) if step.lam is not None]
    if not steps:
        raise CannotRunError("its decisions have no strengths")
    rows, partnered = torch.arange(ROWS), strategy.tags.partnered
    moved = [step.active & (step.partner != rows) if partnered else step.active for step in steps]
    found = [step.own_share()[rows] for step, rows in zip(steps, moved, strict=True)]
    if strategy.strength_per == "batch":
        demand(all(len(torch.unique(lam)) <= 1 for lam in found), "rows of one batch have several strengths")
        series = torch.stack([lam[0] for lam in found if len(lam)])
    else:
        pairs = [lam[:2] for lam in found if len(lam) > 1]
        if not pairs:
            raise CannotRunError("no two rows of a batch were mixed")
        whole = torch.stack(pairs)
        if len(torch.unique(whole)) > 1:
            demand_share(int((whole[:, 0] == whole[:, 1]).sum()), len(whole), 0, 0.7, "rows of one batch with one strength")
        demand_centred(agreement(whole[:, 0], whole[:, 1]), 0.0, "strengths of two rows that grow together")
        series = whole[:, 0]
    even = series[: len(series) - len(series) % 4].view(-1, 2)
    demand_centred(agreement(even[:, 0], even[:, 1]), 0.0, "strengths of two draws, one after the other, that grow together")


@law(
    "strategy",
    cause="Partners that are always the next row, the batch reversed or shifted, all one row, or with fixed points left out.",
    drawn=False,
    of_draws=True,
    applies=draws_partners,
    whom="strategies that draw partners, one for each row, in the way that their setting partner names",
)
def partners(strategy: Strategy) -> None:
    """With four rows each derangement, permutation, or exchange of the halves occurs equally often.

    In 400 draws, each of the 9, 24 or 4 of them, and each row's own partners, within what chance brings about with 5e-9. In
    larger batches partners lie before and after a row as often as they should, and no row lends to two. Across domains nobody
    takes from its own.
    """
    _refuse_choosers(strategy)
    allowed, times = _matchings(strategy.partner, ROWS), 400
    steps = Counter(tuple(step.partner.tolist()) for step in _decisions(strategy, times, p=1.0, sizes=SMALL))
    for found in steps:
        demand(found in allowed, f"partners {list(found)} of four rows, which is no {strategy.partner}")
    for row, other in product(range(ROWS), range(ROWS)):
        hits = sum(steps[one] for one in steps if one[row] == other)
        expected = sum(one[row] == other for one in allowed) / len(allowed)
        demand_share(hits, times, expected, None, f"row {row} takes from row {other} of four", comparisons=ROWS**2)
    for one in allowed:
        demand_share(steps[one], times, 1 / len(allowed), None, f"partners {list(one)} of four rows", comparisons=len(allowed))
    rows = 33
    if strategy.partner == "crossdomain":
        _demand_domains(strategy)
        return
    ahead, others = torch.arange(rows), rows - int(strategy.partner == "derangement")
    for step in (many := _decisions(strategy, 100, p=1.0, rows=rows, sizes=SMALL)):
        demand(step.partner.sort().values == ahead, "two rows of 33 take from one")
    way = torch.stack([(step.partner - ahead) % rows for step in many])
    for where, first, last in (("stands in the half that follows", 1, 16), ("stands a quarter of the batch away", 9, 24)):
        share = ((way >= first) & (way <= last)).double().mean(1)
        what = f"twice the excess of the share of {rows} rows whose partner {where}"
        demand_centred(2 * (share - (last - first + 1) / others), 0.0, what)


@law(
    "strategy",
    cause="A fixed number of rows in each batch, rows gated in pairs, a probability that is rounded, or gates that take turns.",
    drawn=False,
    of_draws=True,
)
def gates(strategy: Strategy) -> None:
    """Rows, or batches, are mixed with the probability asked for, independently of each other.

    At ``p`` of 0.1 and 0.62, how often 0, 1, ... 4 rows of four are mixed in 200 draws, within what chance brings about with
    5e-9; with ``per="batch"`` that is none or all. A draw does not tell the next one.
    """
    if needs(strategy).needs_target:
        raise CannotRunError("it is for strategies that do not decide by labels, which may leave more rows alone")
    partner = torch.tensor([1, 0, 3, 2])
    for p in (0.1, 0.62):
        steps = _decisions(strategy, 200, p=p, sizes=SMALL, partner=partner)
        counts = torch.stack([step.active for step in steps]).sum(1)
        for mixed in range(ROWS + 1):
            expected = math.comb(ROWS, mixed) * p**mixed * (1 - p) ** (ROWS - mixed)
            if strategy.per == "batch":
                expected = {0: 1 - p, ROWS: p}.get(mixed, 0.0)
            what = f"batches of {ROWS} with {mixed} mixed rows at p={p}"
            demand_share(int((counts == mixed).sum()), len(counts), expected, None, what, comparisons=ROWS + 1)
        turns = counts.view(-1, 2).double()
        demand_centred(agreement(turns[:, 0], turns[:, 1]), 0.0, "gates of two draws, one after the other, that open together")


@law(
    "strategy",
    cause="The same box at each step, boxes in one corner or in the middle only, or one random number for both axes.",
    drawn=False,
    of_draws=True,
    applies=draws_places,
    whom="strategies that need a grid, and whose rows depend on themselves and their partner alone",
)
def places(strategy: Strategy) -> None:
    """Mixed regions are in other places at each step: equally often in both halves of each axis, independently for each axis.

    Seen in what 200 decisions do to features of zeros and ones, or, of strategies that move moments, in their boxes. Rounding
    may favour a side by two positions. The middle of a place is the same twice running less often than not.
    """
    for name, steps in _places(strategy):
        some = [place for place in steps if float(place.max() - place.min()) > 0]
        if len(some) < FEW:
            continue
        for axis in range(some[0].ndim):
            size = some[0].shape[axis]
            lie = torch.tensor([_lean(place, axis) for place in some])
            demand_centred(lie, 2 / size, f"lean of the {name} to the end of axis {axis} of the grid")
        middles = torch.stack([_middle(place) for place in some])
        same = (middles[1::2] - middles[: len(middles) - 1 : 2]).abs().amax(1) < 1e-9
        demand_share(int(same.sum()), len(same), 0, 0.4, f"{name} with the same middle as at the step before")
        for axis in range(1, middles.shape[1]):
            together = agreement(middles[:, 0], middles[:, axis])
            demand_centred(together, 0.1, f"middles of the {name} along the axes 0 and {axis} that move together")


# -- draws -------------------------------------------------------------------------------------------------------------


def _decisions(
    strategy: Strategy, times: int, *, p: float, rows: int = ROWS, sizes: tuple[int, ...] = SIZES, seed: int = 0, **given: Any
) -> list[Params]:
    """Decisions one after the other, of one generator."""
    shape = (rows, *shaped(strategy, 2, sizes))
    seen(None, seed, f"subject.p = {p}\nparams = decide(subject, {shape}, {seed})")
    if strategy.passes_through(shape):
        raise CannotRunError(f"nothing is mixed for features of shape {shape}")
    generator = Generator().manual_seed(seed)
    with gated(strategy, p):
        return [decide(strategy, shape, generator, **given) for _ in range(times)]


def _with_alphas(strategy: Strategy) -> list[Strategy]:
    """The same strategy with other settings ``alpha``, and with a strength for each sample; as far as it can be made again."""
    named, alphas = strategy.strength_beta, (1.0,) if strategy.tags.spatial else ALPHAS
    changes: list[dict[str, Any]] = [{"alpha": alpha} for alpha in alphas if named != (alpha, alpha)]
    if "lam_per" in strategy.setting_names() and not strategy.tags.spatial:
        changes += [{"alpha": alpha, "lam_per": "sample"} for alpha in ALPHAS if strategy.strength_per != "sample"]
    found: list[Strategy] = []
    for change in changes if "alpha" in strategy.setting_names() else ():
        try:
            found.append(type(strategy)(**{**strategy.settings(), **change}))
        except (TypeError, ValueError, AttributeError):
            return []
    return found


def _strengths(strategy: Strategy, times: int) -> list[tuple[str, Tensor]]:
    """Strengths of rows that are mixed, in parts that should be no different; one a draw where all rows share one."""
    apart, spatial = strategy.strength_per == "sample", strategy.tags.spatial
    rows = 2 if not apart else 4 if spatial else 64
    times = times // 8 if apart and not spatial else times
    found = []
    for seed, p in enumerate((1.0, 0.5)):
        given: dict[str, Any] = {"sizes": SIZES if spatial else SMALL, "partner": torch.arange(rows).roll(1)}
        steps = [one for one in _decisions(strategy, times, p=p, rows=rows, seed=seed, **given) if one.lam is not None]
        found.append([step.own_share()[step.active][: rows if apart else 1] for step in steps])
    if not found[0]:
        raise CannotRunError("its decisions have no strengths")
    half = len(found[0]) // 2
    parts = {"strengths": found[0], "earlier strengths": found[0][:half], "later strengths": found[0][half:]}
    if rows > 2:
        parts |= {"strengths of first rows": [lam[: rows // 4] for lam in found[0]]}
        parts |= {"strengths of last rows": [lam[rows - rows // 4 :] for lam in found[0]]}
    parts |= {"strengths of rows that are mixed at p=0.5": found[1]}
    return [(what, torch.cat(some)) for what, some in parts.items()]


def _cells(strategy: Strategy) -> int:
    lay, shape = layout(layout_name(strategy)), (1, *shaped(strategy, 2, SIZES))
    return math.prod(lay.spatial_shape(shape))


# -- partners ----------------------------------------------------------------------------------------------------------


def _refuse_choosers(strategy: Strategy) -> None:
    if getattr(strategy.tags, "needs_target", False):
        raise CannotRunError("it may choose partners by their labels")


def _matchings(kind: str, rows: int) -> list[tuple[int, ...]]:
    """All ways to choose partners of so many rows."""
    half = rows // 2

    def fits(row: int, partner: int) -> bool:
        return {"derangement": row != partner, "permutation": True}.get(kind, (row < half) != (partner < half))

    return [one for one in permutations(range(rows)) if all(fits(row, partner) for row, partner in enumerate(one))]


def _demand_domains(strategy: Strategy) -> None:
    domain = torch.tensor([3, 3, 0, 0, 5, 5])
    for step in _decisions(strategy, 60, p=1.0, rows=len(domain), domain=domain):
        demand(domain[step.partner] != domain, "a row takes from its own domain")


# -- places ------------------------------------------------------------------------------------------------------------


def _places(strategy: Strategy) -> list[tuple[str, list[Tensor]]]:
    """Maps ``(*positions)`` of what decisions do where, one a step, by name."""
    boxes: dict[str, list[Tensor]] = {}
    steps = _decisions(strategy, 200, p=1.0, partner=torch.tensor([1, 0, 3, 2]))
    drawn = [vars(step) for step in steps]
    own = set(drawn[0]) - set(vars(Params(steps[0].partner, steps[0].active, None, steps[0].mixture)))
    if isinstance(strategy, ContentStrategy) or mixes_content(strategy):
        if not any(isinstance(drawn[0][name], Tensor) for name in own):
            raise CannotRunError("its decisions have no places")
        return [("places", [_mixed_at(strategy, step) for step in steps])]
    for step in drawn:
        for name in own:
            box = step[name]
            if (
                isinstance(box, Tensor)
                and box.dtype == torch.int64
                and box.ndim == 3
                and box.shape[2] == 2
                and step.get("sizes")
            ):
                boxes.setdefault(name, []).append(inside(box[:1], step["sizes"])[0].double())
    if not boxes:
        raise CannotRunError("its decisions have no places that could be found")
    return list(boxes.items())


def _mixed_at(strategy: Strategy, params: Params) -> Tensor:
    """Return how much of the first row's positions is its partner's: zeros and ones, mixed."""
    shape = (ROWS, *shaped(strategy, 2, SIZES))
    x = torch.tensor([0.0, 1.0, 0.0, 1.0]).view(-1, *[1] * (len(shape) - 1)).expand(shape).contiguous()
    mixed = transformed(strategy, x, params)[0]
    return mixed.double().mean(layout(layout_name(strategy)).channel - 1)


def _lean(place: Tensor, axis: int) -> float:
    """Return how much more of a place lies behind the middle of an axis than before it, in [-1, 1]."""
    size = place.shape[axis]
    before, behind = (place.narrow(axis, start, size // 2).sum() for start in (0, size - size // 2))
    return float((behind - before) / (behind + before).clamp(min=1e-30))


def _middle(place: Tensor) -> Tensor:
    """Return the centre of mass along each axis."""
    weight = place / place.sum()
    others = range(place.ndim)
    along = [weight.sum([k for k in others if k != axis]) if place.ndim > 1 else weight for axis in others]
    return torch.stack([(mass * torch.arange(len(mass))).sum() for mass in along])
