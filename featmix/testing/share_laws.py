"""Laws of label shares: every place that says how much of a label there is says the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from featmix.labels.mixture import Mixture
from featmix.strategies.base import Strategy
from featmix.testing.adapters.mixers import MixerStrategy
from featmix.testing.inputs import noise
from featmix.testing.law import CannotRunError, Case, demand, demand_close, law, same_bits
from featmix.testing.padding_laws import masked, takes_masks
from featmix.testing.uses import case_apart, classes_of, gated_apart, ordinary, remade, tell

_UNIT = torch.finfo(torch.float32).eps


@law(
    "strategy",
    cause="lam is the strength that was drawn and the labels have the one that was realised, or lam is the partner's share.",
    drawn=False,
)
def lam_is_the_share(strategy: Strategy) -> None:
    """Strengths ``lam`` are in [0, 1], 1 in rows that are not active, and the weight of the own label where labels are mixed.

    With an ``own_term`` so much of the rest is the row's own too, and labels by decree may have any share. Four units in the
    last place of float32. Half of the rows are active here.
    """
    for seed in range(10):
        x, _ = ordinary(strategy, seed=seed)
        case = case_apart(strategy, x, seed)
        used, params = case.strategy, case.params
        if params.lam is None:
            continue
        demand(params.lam.shape == (len(x),), f"lam has the shape {tuple(params.lam.shape)}")
        demand((params.lam >= 0) & (params.lam <= 1), "lam outside [0, 1]")
        demand(params.lam[~params.active] == 1, "lam of a row that is not active is not 1")
        takes = params.active & (params.partner != torch.arange(len(x)))
        if used.tags.mixes_labels and not getattr(used.tags, "labels_by_decree", False):
            own = params.lam.double()
            own = own + (1 - own) * (getattr(used, "own_term", None) or 0.0)
            shares = params.mixture.matrix().double().diagonal()
            demand_close(shares[takes], own[takes], 4 * _UNIT, "weight of the sample's own label against lam")


@law(
    "strategy",
    cause="The weight is left out, applied to rows that are not mixed, or taken from the class in place of the instance.",
    drawn=False,
    applies=lambda strategy: strategy.tags.mixes_labels and "loss_weight" in strategy.setting_names(),
    whom="strategies that mix labels and have a setting loss_weight",
)
def loss_weight(strategy: Strategy) -> None:
    """The loss of a mixed row counts ``loss_weight`` times, also under a mask, and that of another row once.

    Tried with 3 and with 1. Four units in the last place of float32 on the losses.
    """
    for weight in (3.0, 1.0):
        used = remade(strategy, loss_weight=weight)
        if used is None:
            raise CannotRunError("it is for strategies that can be made again from their settings")
        used = gated_apart(used)
        for seed in range(4):
            x, y = ordinary(used, seed=seed)
            scores = noise(len(x), classes_of(strategy), seed=seed)
            each = F.cross_entropy(scores.repeat_interleave(len(y), 0), y.repeat(len(x)), reduction="none").view(len(x), len(y))
            case = Case(used, x, seed)
            tell(x, seed, f"gated_apart(type(subject)(**{{**subject.settings(), 'loss_weight': {weight}}}))")
            for params in (case.params, *([masked(case)[1]] if takes_masks(used) else [])):
                once = (params.mixture.matrix() * each).sum(1)
                found = params.mixture.loss(partial(F.cross_entropy, reduction="none"), scores, y)
                expected = torch.where(params.active, weight * once, once)
                demand_close(found, expected, 16 * _UNIT * (1 + expected.abs()), f"losses with loss_weight={weight}")


@law(
    "strategy",
    cause="A method of one's own that forgets some of the shares: a third label, the order of two steps, or idle rows.",
    drawn=False,
)
def mixture_is_its_matrix(strategy: Strategy) -> None:
    """What ``dense``, ``loss``, ``accuracy`` and ``then`` of a decision say agrees with the matrix of its shares.

    For class indices, one-hot, soft and regression targets; whoever made the mixture. 1e-5 of values of order 1: sums of a few
    float32 terms.
    """
    for seed in range(4):
        x, classes = ordinary(strategy, seed=seed)
        mixture, batch = case_apart(strategy, x, seed).params.mixture, len(x)
        matrix = mixture.matrix().double()
        demand(
            len(mixture) == batch and matrix.shape == (batch, batch), f"{len(mixture)} rows, and a matrix {tuple(matrix.shape)}"
        )
        if isinstance(mixture, Mixture):
            listed = torch.zeros(batch, batch).scatter_add_(1, mixture.index, mixture.weight.float())
            demand_close(matrix, listed.double(), 1e-6, "the matrix against index and weight")
        scores = noise(batch, classes_of(strategy), seed=seed)
        _dense_is(mixture, matrix, classes, scores)
        _loss_is(mixture, matrix, classes, scores)
        hit = (scores.argmax(1).unsqueeze(1) == classes.unsqueeze(0)).double()
        demand_close(mixture.accuracy(scores, classes), (matrix * hit).sum(1).mean(), 1e-5, "accuracy against the matrix")
        _then_is(mixture, matrix)


@law(
    "strategy",
    cause="Soft labels taken for class indices by argmax, or labels that depend on the values of the features.",
    drawn=False,
    applies=lambda strategy: isinstance(strategy, MixerStrategy),
    whom="black boxes that from_mixer wraps",
)
def soft_labels(strategy: MixerStrategy) -> None:
    """A black box treats soft labels like one-hot labels, whatever the features are, and does not change its input.

    1e-5 on shares of order 1. One that refuses soft labels is not tried on them.
    """
    for seed in range(4):
        x, _ = ordinary(strategy, seed=seed)
        params: Any = Case(strategy, x, seed).params  # of a black box, with its seed
        if not bool(params.active.any()):
            continue
        matrix, eye = params.mixture.matrix(), torch.eye(len(x))
        demand_close(
            strategy.mixed(x, params, eye)[1], matrix, 1e-5, "labels beside these features, against those beside zeros"
        )
        demand(torch.equal(eye, torch.eye(len(x))), "it wrote into its labels")
        soft = noise(len(x), len(x), seed=seed).softmax(1)
        kept = soft.clone()
        try:
            found = strategy.mixed(x, params, soft)[1]
        except Exception as error:
            raise CannotRunError(f"it is for boxes that take soft labels: {type(error).__name__}: {error}") from error
        demand(same_bits(soft, kept), "it wrote into its labels")
        demand_close(found, matrix @ kept, 1e-5, "soft labels against what the same seed does to one-hot ones")


def _dense_is(mixture: Mixture, matrix: Tensor, classes: Tensor, scores: Tensor) -> None:
    known = scores.shape[1]
    one_hot, soft, values = F.one_hot(classes, known), scores.softmax(1), scores[:, :2].contiguous()
    kinds: dict[str, tuple[Tensor, int | None, Tensor]] = {
        "class indices": (classes, known, one_hot),
        "one-hot integers": (one_hot, None, one_hot),
        "soft targets": (soft, None, soft),
        "regression targets": (values[:, 0].contiguous(), None, values[:, 0]),
        "regression targets of two values": (values.double(), None, values),
    }
    for what, (target, count, vectors) in kinds.items():
        found = mixture.dense(target, count)
        dtype = target.dtype if target.is_floating_point() else torch.float32
        expected = (matrix @ vectors.double().view(len(vectors), -1)).view(vectors.shape)
        demand(found.dtype == dtype and found.shape == vectors.shape, f"dense of {what} is {found.dtype} {tuple(found.shape)}")
        demand_close(found, expected, 1e-5, f"dense of {what} against the matrix")


def _loss_is(mixture: Mixture, matrix: Tensor, classes: Tensor, scores: Tensor) -> None:
    scale = getattr(mixture, "scale", None)
    counts = torch.ones(len(classes), dtype=torch.float64) if scale is None else scale.double()
    values = noise(*scores.shape, seed=9)
    criteria: dict[str, tuple[Callable[..., Tensor], Tensor]] = {
        "cross entropy of class indices": (F.cross_entropy, classes),
        "cross entropy of soft targets": (F.cross_entropy, values.softmax(1)),
        "squared error": (F.mse_loss, values),
    }
    for what, (criterion, target) in criteria.items():
        pairs = [[_one(criterion, scores[i], target[j]) for j in range(len(target))] for i in range(len(target))]
        expected = (counts * (matrix * torch.tensor(pairs, dtype=torch.float64)).sum(1)).mean()
        demand_close(
            mixture.loss(criterion, scores, target), expected, 1e-5 * (1 + expected.abs()), f"loss: {what} against the matrix"
        )


def _one(criterion: Callable[..., Tensor], output: Tensor, target: Tensor) -> float:
    return float(criterion(output.unsqueeze(0), target.unsqueeze(0)))


def _then_is(mixture: Mixture, matrix: Tensor) -> None:
    batch = len(matrix)
    other = Mixture.pair(torch.arange(batch).roll(-1), torch.linspace(0.1, 0.9, batch))
    found = mixture.then(other)
    demand_close(found.matrix(), other.matrix().double() @ matrix, 1e-5, "then another, against the product of the matrices")
    demand_close(mixture.then(Mixture.identity(batch)).matrix(), matrix, 1e-5, "then nothing, against the matrix")
    if isinstance(mixture, Mixture):
        demand_close(other.then(mixture).matrix(), matrix @ other.matrix().double(), 1e-5, "after another, against the product")
