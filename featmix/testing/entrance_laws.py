"""Laws of every way in: called, in eval mode, under inference mode and autocast, and with everything that can be given."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F  # noqa: N812

from featmix.schedule import linear
from featmix.strategies.base import Strategy
from featmix.testing.allowances import gradient, reach, slack
from featmix.testing.inputs import noise, rows
from featmix.testing.law import (
    CannotRunError,
    Case,
    demand,
    demand_close,
    law,
    rounding,
    row_by_row,
    same_bits,
    sample_shape,
    transformed,
)
from featmix.testing.seen import made_by, seen
from featmix.testing.uses import classes_of, decide_for, decided, decides_by_labels, difference, ordinary, remade, tell, twin


@law(
    "strategy",
    cause="forward draws by itself, leaves the generator out, or makes soft labels of another decision than it acts on.",
    drawn=False,
)
def called(strategy: Strategy) -> None:
    """A call with labels of any kind gives the same as make_params, transform and dense with the same seed.

    Without a generator it is torch's global one that decides; one that is used twice decides anew. Bit for bit on features;
    1e-6 on labels. Strategies that remember other batches are tried on their first one.
    """
    number = classes_of(strategy)
    for seed in range(3):
        x, classes = ordinary(strategy, seed=seed)
        for y in [classes] if decides_by_labels(strategy) else _every_kind(classes, number, strategy.num_classes is None):
            count = number if y.ndim == 1 and not y.is_floating_point() else None
            params = decided(strategy, x, seed, target=y)
            expected, wanted = transformed(strategy, x, params), params.mixture.dense(y, count)
            mixed, soft = twin(strategy)(x.clone(), y, num_classes=count, generator=Generator().manual_seed(seed))
            _same_result(
                strategy, mixed, expected, "strategy(x, y) acts by another decision than make_params makes with that seed"
            )
            demand(
                soft.shape == wanted.shape and soft.dtype == wanted.dtype, f"soft labels are {soft.dtype} {tuple(soft.shape)}"
            )
            demand_close(soft, wanted, 1e-6, f"soft labels of strategy(x, y) for {y.dtype} labels {tuple(y.shape)}")
        if strategy.remembers or decides_by_labels(strategy):
            continue  # they ask for labels
        alone = twin(strategy)(x.clone(), generator=Generator().manual_seed(seed))
        demand(isinstance(alone, Tensor) and same_bits(alone, transformed(strategy, x, Case(strategy, x, seed).params)),
               "strategy(x) without labels is not what transform gives")  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            demand(same_bits(twin(strategy)(x.clone()), alone), "without a generator it does not go by torch's global one")
    if not strategy.remembers and not decides_by_labels(strategy):
        _decides_anew(strategy)


@law("strategy", cause="forward mixes whatever the mode, draws all the same, or never comes back from eval mode.", drawn=False)
def eval_mode(strategy: Strategy) -> None:
    """In eval mode ``strategy(x, y)`` returns its inputs and draws nothing; in training mode it mixes again.

    No tolerance.
    """
    x, y = ordinary(strategy)
    case = Case(strategy, x, 3)
    used, generator = twin(strategy).eval(), Generator().manual_seed(3)
    before = generator.get_state()
    mixed, soft = used(x.clone(), y, num_classes=classes_of(strategy), generator=generator)
    demand(same_bits(mixed, x), "features change in eval mode")
    demand(soft == F.one_hot(y, classes_of(strategy)), "labels change in eval mode")
    demand(same_bits(used(x.clone()), x), "features change in eval mode where no labels are given")
    demand(torch.equal(generator.get_state(), before), "something is drawn in eval mode")
    mixed, soft = used.train()(x.clone(), y, num_classes=classes_of(strategy), generator=generator)
    _same_result(strategy, mixed, case.transform(), "after eval mode and back it does something else")
    demand_close(soft, case.params.mixture.dense(y, classes_of(strategy)), 1e-6, "labels after eval mode and back")


@law(
    "strategy",
    cause="Gradients asked for inside, version counters read, or a branch on whether gradients are recorded.",
    drawn=False,
)
def inference_mode(strategy: Strategy) -> None:
    """Under ``torch.inference_mode`` and ``no_grad`` decisions and results are the same, also for tensors made there.

    No tolerance: the same arithmetic without a graph.
    """
    x, y = ordinary(strategy)
    case = Case(strategy, x, 4)
    expected = case.transform()
    for mode, name in ((torch.inference_mode(), "inference_mode"), (torch.no_grad(), "no_grad")):
        with mode:
            params = case.draw()
            demand(not difference(case.params, params), f"under {name} the same seed decides otherwise")
            for given in (x, x.clone()):
                demand(same_bits(case.transform(given, params), expected), f"under {name} the result is another")
            mixed, soft = twin(strategy)(x.clone(), y, num_classes=classes_of(strategy), generator=Generator().manual_seed(4))
            _same_result(strategy, mixed, expected, f"under {name} strategy(x, y) gives something else")
            demand_close(soft, params.mixture.dense(y, classes_of(strategy)), 1e-6, f"soft labels under {name}")


@law(
    "strategy",
    cause="Products under autocast of which little is left in a difference, or a result in the dtype that came out.",
    drawn=False,
    feeds=(torch.float32, torch.bfloat16),
)
def autocast_for_all(strategy: Strategy) -> None:
    """Under autocast dtypes are kept, and results are the same within the precision of bfloat16; gradients are finite.

    Eight roundings of bfloat16 to the largest value: what one product under autocast may lose, and a difference of such
    products exceeds.
    """
    for dtype in (torch.float32, torch.bfloat16):
        x = rows(["normal", "offset", "relu_ties", "offset"], sample_shape(strategy), seed=5, magnitude=300.0, dtype=dtype)
        case = Case(strategy, x, 5)
        expected, leaf = case.transform(), x.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = case.transform(leaf)
        demand(mixed.dtype == dtype and mixed.shape == x.shape, f"under autocast {dtype} became {mixed.dtype}")
        allowed = 8 * rounding(torch.bfloat16) * torch.maximum(reach(x), reach(expected)).amax()
        demand_close(mixed.detach(), expected, allowed, f"{dtype} under autocast")
        torch.autograd.backward(mixed.float().sum())
        demand(
            gradient(leaf).isfinite() & (gradient(leaf).dtype == dtype), f"under autocast the gradient of {dtype} is not finite"
        )


@law(
    "strategy",
    cause="A division by the largest value, the norm or the range of the features, which overflows where these are tiny.",
    drawn=False,
    every_dtype=True,
    reference=torch.float64,
)
def denormals(strategy: Strategy, dtype: torch.dtype) -> None:
    """Features below the smallest normal number give finite results and gradients, the same as in float64.

    The tolerance of ``identity``.
    """
    smallest = torch.finfo(dtype).tiny / 16
    shape = (5, *sample_shape(strategy))
    tiny = (noise(*shape, seed=6, dtype=torch.float64) * smallest).to(dtype)
    recipe = f"noise({', '.join(map(str, shape))}, seed=6, dtype=torch.float64)"
    x = made_by(tiny, f"({recipe} * {smallest!r}).to({dtype})")
    case = Case(strategy, x, 6)
    leaf = x.clone().requires_grad_()
    mixed = case.transform(leaf)
    demand(mixed.isfinite(), f"the smallest numbers of {dtype} give a result that is not finite")
    torch.autograd.backward(mixed.float().sum())
    demand(gradient(leaf).isfinite(), f"the smallest numbers of {dtype} give a gradient that is not finite")
    if dtype != torch.float64:
        demand_close(
            mixed.detach(), case.transform(x.double()), slack(case), f"the smallest numbers of {dtype}, against float64"
        )


@law(
    "strategy",
    cause="Partners, gates or domains drawn anew in place of those that were given.",
    drawn=False,
    applies=row_by_row,
    whom="strategies whose rows depend on themselves and their partner alone",
)
def given(strategy: Strategy) -> None:
    """Given partners are used, rows that may not be mixed stay, and with domains each row takes from another domain.

    In lists too, where they may be lists. Rows that may be mixed are gated as they would be without. No tolerance.
    """
    own, some = [2, 0, 1, 4, 5, 3], [True, False, True, True, False, True]
    for seed in range(4):
        x, _ = ordinary(strategy, seed=seed)
        plain = Case(strategy, x, seed).params
        if strategy.tags.partnered and not decides_by_labels(strategy):
            params = decided(strategy, x, seed, said=f"partner={own}", partner=own)
            demand(params.partner[params.active] == torch.tensor(own)[params.active], "partners that were given are not taken")
            as_tensor = decided(strategy, x, seed, said=f"partner=torch.tensor({own})", partner=torch.tensor(own))
            demand(not difference(params, as_tensor), "partners in a list and in a tensor give two decisions")
        params = decided(strategy, x, seed, said=f"rows={some}", rows=some)
        stay = ~torch.tensor(some)
        demand(~params.active[stay], "a row that is not to be mixed is active")
        demand(params.active == (plain.active & ~stay), "rows that may be mixed are gated otherwise than without rows=")
        demand(same_bits(transformed(strategy, x, params)[stay], x[stay]), "a row that is not to be mixed changed")
    if strategy.tags.partnered and "partner" in strategy.setting_names() and not decides_by_labels(strategy):
        _across_domains(strategy)


@law(
    "strategy",
    cause="A setting read when the strategy was made, or progress that is lost on the way to the draw.",
    drawn=False,
)
def progress(strategy: Strategy) -> None:
    """A schedule decides and acts like its value at that progress, whether progress is an argument or an attribute.

    Tried on each setting that takes a schedule, along a line from its value to the half of it. No tolerance.
    """
    tried = 0
    for name, value in _numbers(strategy).items():
        half = value / 2
        line = remade(strategy, **{name: linear(value, half)})
        if line is None or name not in line._schedules:
            continue
        for at in (0.0, 0.5, 1.0):
            now = (1 - at) * value + at * half
            fixed = remade(strategy, **{name: now})
            if fixed is None:
                continue
            tried += 1
            x, _ = ordinary(strategy, seed=tried)
            made = f"type(subject)(**{{**subject.settings(), {name!r}: {line.settings()[name]!r}}})"
            tell(x, tried, made, f"progress={at}")
            expected = decide_for(fixed, x.shape, tried, progress=at)  # of other schedules
            told = decide_for(line, x.shape, tried, progress=at)
            line.progress = at
            known = decide_for(line, x.shape, tried)
            line.progress = 0.0
            for how, params in (("given", told), ("an attribute", known)):
                found = difference(expected, params)
                demand(not found, f"{name} at progress {at}, which is {how}: another {found} than with {name}={now}")
            demand(
                same_bits(transformed(line, x, told), transformed(fixed, x, expected)),
                f"{name} at progress {at} acts otherwise",
            )
    if not tried:
        raise CannotRunError("it is for strategies that can be made again from their settings, one of which takes a schedule")


def _numbers(strategy: Strategy) -> dict[str, float]:
    """The settings that are numbers, none where settings cannot be read."""
    try:
        settings = strategy.settings()
    except AttributeError:
        return {}
    return {name: value for name, value in settings.items() if isinstance(value, int | float) and not isinstance(value, bool)}


def _every_kind(classes: Tensor, count: int, numbers: bool) -> list[Tensor]:
    """Labels of every kind; numbers to be fitted only where a strategy was not made for so many classes."""
    one_hot = F.one_hot(classes, count)
    several = torch.arange(len(classes) * count).view(-1, count) % 3 == 0
    kinds = [classes, one_hot, 0.8 * one_hot.float() + 0.2 / count, several.float(), classes.int()]
    return [*kinds, classes.float() / 4] if numbers else kinds


def _same_result(strategy: Strategy, found: Tensor, expected: Tensor, what: str) -> None:
    """Demand the same bits, or, where what is remembered is looked for, what another way to the same may lose."""
    if strategy.remembers:
        demand_close(found, expected, 16 * rounding(found.dtype) * (1 + expected.abs().amax()), what)
    else:
        demand(same_bits(found, expected), what)


def _decides_anew(strategy: Strategy) -> None:
    """Demand that a generator moves on from call to call, where seeds make a difference at all."""
    x, _ = ordinary(strategy)
    seen(x, 0)
    used, generator = twin(strategy), Generator().manual_seed(0)
    apart = [used(x.clone(), generator=Generator().manual_seed(seed)) for seed in range(6)]
    if all(same_bits(apart[0], each) for each in apart):
        return
    after = [used(x.clone(), generator=generator) for _ in range(6)]
    demand(not all(same_bits(after[0], each) for each in after), "a generator does not move on: each call decides the same")


def _across_domains(strategy: Strategy) -> None:
    domain = torch.tensor([0, 1, 2, 0, 1, 2])
    used = twin(strategy, partner="crossdomain", p=1.0)
    for seed in range(4):
        x, _ = ordinary(used, seed=seed)
        said = f"domain=torch.tensor({domain.tolist()})"
        params = decided(used, x, seed, made="twin(subject, partner='crossdomain', p=1.0)", said=said, domain=domain)
        demand((domain[params.partner] != domain)[params.active], "a row takes from its own domain")
        mixture = params.mixture.matrix().bool()
        if used.tags.mixes_labels and not used.tags.batch_coupled:
            same = (domain.unsqueeze(0) == domain.unsqueeze(1)) & ~torch.eye(len(domain), dtype=torch.bool)
            demand(~(mixture & same), "a label is shared with a row of the same domain")
