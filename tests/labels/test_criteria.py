"""The loss of a mixed batch against its definition: the sum over columns, with torch's criteria called once."""

import functools
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from featmix import FeatmixError, Mixture
from featmix.labels.criteria import recognised

BATCH, CLASSES = 6, 4


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def pair(seed=0):
    """Shares are eighths, so that float32 holds their products exactly."""
    g = torch.Generator().manual_seed(seed)
    return Mixture.pair(torch.randperm(BATCH, generator=g), torch.randint(1, 8, (BATCH,), generator=g) / 8)


MIXTURES = {
    "identity": Mixture.identity(BATCH),
    "pair": pair(),
    "four columns": pair(1).then(pair(2)),
    "scaled": Mixture(pair().index, pair().weight, scale=torch.arange(1.0, BATCH + 1)),
}
INDICES = torch.tensor([0, 3, 1, 2, 0, 3])
SOME_IGNORED = torch.tensor([0, 3, -100, 2, -100, 3])
SOFT = draw(BATCH, CLASSES, seed=1).softmax(1)
HOT = (draw(BATCH, CLASSES, seed=2) > 0).double()
MAPS = torch.randint(CLASSES, (BATCH, 3, 2), generator=torch.Generator().manual_seed(3))
SOME_OF_MAPS_IGNORED = torch.where(draw(BATCH, 3, 2, seed=4) > 0, MAPS, 1)
WEIGHT = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64)
LOGITS, SCORES, PLAIN = draw(BATCH, CLASSES), draw(BATCH, CLASSES, 3, 2), draw(BATCH)
SMOOTH = {"label_smoothing": 0.1}

# torch's own: function, class of the module, settings, output, target
OWN = {
    "cross entropy": (F.cross_entropy, nn.CrossEntropyLoss, {}, LOGITS, INDICES),
    "cross entropy, class weights": (F.cross_entropy, nn.CrossEntropyLoss, {"weight": WEIGHT}, LOGITS, INDICES),
    "cross entropy, smoothed": (F.cross_entropy, nn.CrossEntropyLoss, SMOOTH, LOGITS, INDICES),
    "cross entropy, both": (F.cross_entropy, nn.CrossEntropyLoss, {"weight": WEIGHT, **SMOOTH}, LOGITS, INDICES),
    "cross entropy, ignored": (F.cross_entropy, nn.CrossEntropyLoss, {"weight": WEIGHT, **SMOOTH}, LOGITS, SOME_IGNORED),
    "cross entropy, another ignored": (F.cross_entropy, nn.CrossEntropyLoss, {"ignore_index": 3}, LOGITS, INDICES),
    "nll": (F.nll_loss, nn.NLLLoss, {}, LOGITS.log_softmax(1), INDICES),
    "nll, ignored": (F.nll_loss, nn.NLLLoss, {"weight": WEIGHT}, LOGITS.log_softmax(1), SOME_IGNORED),
    "nll, maps": (F.nll_loss, nn.NLLLoss, {"weight": WEIGHT, "ignore_index": 1}, SCORES.log_softmax(1), MAPS),
    "cross entropy, soft": (F.cross_entropy, nn.CrossEntropyLoss, {}, LOGITS, SOFT),
    "cross entropy, soft, both": (F.cross_entropy, nn.CrossEntropyLoss, {"weight": WEIGHT, **SMOOTH}, LOGITS, SOFT),
    "cross entropy, maps": (F.cross_entropy, nn.CrossEntropyLoss, {"weight": WEIGHT, **SMOOTH}, SCORES, MAPS),
    "cross entropy, ignored in maps": (F.cross_entropy, nn.CrossEntropyLoss, {"ignore_index": 1}, SCORES, SOME_OF_MAPS_IGNORED),
    "cross entropy, soft maps": (F.cross_entropy, nn.CrossEntropyLoss, {}, SCORES, SCORES.flip(0).softmax(1)),
    "bce of logits": (F.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss, {}, LOGITS, HOT),
    "bce of logits, weights": (
        F.binary_cross_entropy_with_logits,
        nn.BCEWithLogitsLoss,
        {"weight": WEIGHT, "pos_weight": WEIGHT.flip(0)},
        LOGITS,
        HOT,
    ),
    "bce of logits, one a row": (F.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss, {}, PLAIN, HOT[:, 0]),
    "bce": (F.binary_cross_entropy, nn.BCELoss, {"weight": WEIGHT}, LOGITS.sigmoid(), HOT),
    "mse": (F.mse_loss, nn.MSELoss, {}, LOGITS, draw(BATCH, CLASSES, seed=5)),
    "mse, one a row": (F.mse_loss, nn.MSELoss, {}, PLAIN, draw(BATCH, seed=5)),
    "mse of maps": (F.mse_loss, nn.MSELoss, {}, SCORES, draw(BATCH, CLASSES, 3, 2, seed=5)),
    "l1": (F.l1_loss, nn.L1Loss, {}, LOGITS, draw(BATCH, CLASSES, seed=5)),
    "smooth l1": (F.smooth_l1_loss, nn.SmoothL1Loss, {"beta": 0.3}, LOGITS, draw(BATCH, CLASSES, seed=5)),
    "huber": (F.huber_loss, nn.HuberLoss, {"delta": 0.4}, LOGITS, draw(BATCH, CLASSES, seed=5)),
}
FORMS = {
    "function": lambda function, _, settings, reduction: functools.partial(function, **settings, reduction=reduction),
    "module": lambda _, module, settings, reduction: module(**settings, reduction=reduction).double(),
}
REDUCTIONS = ["mean", "sum", "none"]


def by_columns(each, mixture, output, target, reduction="mean", counts=None):
    """The definition. ``each`` gives the losses of single samples, ``counts`` what single targets count in a mean."""
    total, counted = 0, 0
    for k in range(mixture.index.shape[1]):
        part = each(output, target[mixture.index[:, k]])
        share = mixture.weight[:, k].double().view(-1, *[1] * (part.ndim - 1))
        total = total + part * share
        counted = counted + (part.new_ones(part.shape) if counts is None else counts(target[mixture.index[:, k]])) * share
    if mixture.scale is not None:
        total = total * mixture.scale.double().view(-1, *[1] * (total.ndim - 1))
    by_name = {"sum": total.sum(), "batchmean": total.sum() / len(output), "none": total}
    return by_name.get(reduction, total.sum() / counted.sum())


def counts_of(settings, target):
    """What torch's means over class indices divide by; ``None`` where it is the number of losses."""
    ignored, weight = settings.get("ignore_index", -100), settings.get("weight", torch.ones(CLASSES, dtype=torch.float64))
    if target.dtype != torch.int64:
        return None
    return lambda target: weight[target.clamp(min=0)] * (target != ignored)


def with_gradient(loss_of, output):
    output = output.clone().requires_grad_()
    loss = loss_of(output)
    return loss.detach(), torch.autograd.grad(loss.sum(), output)[0]


def check(criterion, each, mixture, output, target, reduction="mean", counts=None):
    found = with_gradient(lambda out: mixture.loss(criterion, out, target), output)
    expected = with_gradient(lambda out: by_columns(each, mixture, out, target, reduction, counts), output)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float64
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert (found[0].ndim == 0) == (reduction != "none")
    assert bool((found[1] != 0).any())


@pytest.mark.parametrize("mixture", MIXTURES.values(), ids=MIXTURES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", OWN)
def test_torchs_own_criteria_by_their_definition(name, form, reduction, mixture):
    function, module, settings, output, target = OWN[name]
    each = functools.partial(function, **settings, reduction="none")
    criterion = FORMS[form](function, module, settings, reduction)
    check(criterion, each, mixture, output, target, reduction, counts_of(settings, target))


class Calls(TorchFunctionMode):
    """Counts calls of one function of torch's."""

    def __init__(self, function):
        super().__init__()
        self.function, self.count = function, 0

    def __torch_function__(self, function, _types, args=(), kwargs=None):
        self.count += function is self.function
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("mixture", ["pair", "four columns", "scaled"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", OWN)
def test_torchs_own_criteria_are_called_once(name, form, mixture):
    function, module, settings, output, target = OWN[name]
    criterion = FORMS[form](function, module, settings, "mean")
    with Calls(function) as calls:
        MIXTURES[mixture].loss(criterion, output, target)
    assert calls.count == 1


@pytest.mark.parametrize("mixture", MIXTURES.values(), ids=MIXTURES)
def test_plain_functions_are_means(mixture):
    for function, target in ((F.cross_entropy, INDICES), (F.mse_loss, LOGITS.flip(0))):
        check(function, functools.partial(function, reduction="none"), mixture, LOGITS, target)


class Squares(nn.Module):
    """A loss of somebody's own, one number a sample, with something learned in it."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
        self.seen = 0

    def forward(self, output, target):
        self.seen += 1
        return self.factor * (output - target).square().sum(1)


class Reduced(Squares):
    """The same with a reduction like those of torch."""

    def __init__(self, reduction):
        super().__init__()
        self.reduction = reduction

    def forward(self, output, target):
        rows = super().forward(output, target)
        return {"mean": rows.mean(), "sum": rows.sum(), "none": rows}[self.reduction]


class Focal(nn.CrossEntropyLoss):
    """A subclass of torch's own is another criterion."""

    def forward(self, output, target):
        return super().forward(output, target) ** 2


@dataclass
class Scaled:
    """A callable that is not hashable."""

    factor: float

    def __call__(self, output, target):
        return self.factor * (output - target).abs().mean(1)


@pytest.mark.parametrize("mixture", MIXTURES.values(), ids=MIXTURES)
def test_criteria_of_ones_own_are_called_once_a_column(mixture):
    columns, target, calls = mixture.index.shape[1], draw(BATCH, CLASSES, seed=5), []

    def own(output, target, reduction="mean"):
        calls.append(reduction)
        rows = (output - target).abs().sum(1)
        return rows if reduction == "none" else rows.mean()

    check(own, functools.partial(own, reduction="none"), mixture, LOGITS, target)
    assert calls == (["mean"] if mixture is MIXTURES["identity"] else ["none"] * columns) + ["none"] * columns
    squares = Squares()
    check(squares, squares, mixture, LOGITS, target)
    assert squares.seen == 2 * columns
    for reduction in REDUCTIONS:
        check(Reduced(reduction), Reduced("none"), mixture, LOGITS, target, reduction)
        if mixture is not MIXTURES["identity"]:  # where it says itself what its mean is
            check(Focal(reduction=reduction), Focal(reduction="none"), mixture, LOGITS, INDICES, reduction)


def test_lambdas_and_callables_that_cannot_be_hashed():
    target, mixture = draw(BATCH, CLASSES, seed=5), MIXTURES["four columns"]
    fourth = lambda out, wanted: (out - wanted).pow(4).mean(1)  # noqa: E731 - a lambda is what is tested
    check(fourth, fourth, mixture, LOGITS, target)
    check(Scaled(3.0), Scaled(3.0), mixture, LOGITS, target)
    check(functools.partial(Scaled(3.0)), Scaled(3.0), mixture, LOGITS, target)


@pytest.mark.parametrize(
    ("criterion", "each", "output", "target", "reduction"),
    [
        (nn.KLDivLoss(reduction="batchmean"), nn.KLDivLoss(reduction="none"), LOGITS.log_softmax(1), SOFT, "batchmean"),
        (nn.NLLLoss(WEIGHT, reduction="sum"), nn.NLLLoss(WEIGHT, reduction="none"), LOGITS.log_softmax(1), INDICES, "sum"),
        (nn.MultiMarginLoss(), nn.MultiMarginLoss(reduction="none"), LOGITS, INDICES, "mean"),
        (F.soft_margin_loss, functools.partial(F.soft_margin_loss, reduction="none"), LOGITS, 2 * HOT - 1, "mean"),
        # weights of single samples: no broadcasting over columns
        (
            nn.BCEWithLogitsLoss(HOT + 1),
            nn.BCEWithLogitsLoss(HOT + 1, reduction="none"),
            LOGITS,
            HOT.flip(0),
            "mean",
        ),
        (
            functools.partial(F.cross_entropy, reduce=False),
            functools.partial(F.cross_entropy, reduction="none"),
            LOGITS,
            INDICES,
            "mean",
        ),
    ],
    ids=["kl", "nll", "margin", "soft margin", "weights of samples", "reduce=False"],
)
@pytest.mark.parametrize("mixture", MIXTURES.values(), ids=MIXTURES)
@pytest.mark.filterwarnings("ignore:size_average and reduce args:UserWarning")
def test_other_criteria_of_torchs(criterion, each, output, target, reduction, mixture):
    check(criterion, each, mixture, output, target, reduction)


def test_what_is_recognised():
    assert recognised(F.cross_entropy).reduction == "mean"
    assert recognised(functools.partial(F.mse_loss, reduction="sum")).reduction == "sum"
    assert recognised(nn.HuberLoss(delta=0.3)).settings == {"delta": 0.3}
    for other in (Focal(), F.kl_div, nn.KLDivLoss(), Scaled(1.0), print, functools.partial(F.cross_entropy, LOGITS)):
        assert recognised(other) is None


def test_modules_stay_as_they_were():
    for criterion in (Reduced("mean"), nn.CrossEntropyLoss(), nn.NLLLoss()):
        before = dict(vars(criterion))
        MIXTURES["pair"].loss(criterion, LOGITS, SOFT if isinstance(criterion, Reduced) else INDICES)
        assert criterion.reduction == "mean"
        assert vars(criterion).keys() == before.keys()


def test_a_parameter_of_the_criterion_gets_its_gradient():
    squares, target, mixture = Squares(), draw(BATCH, CLASSES, seed=5), MIXTURES["pair"]
    mixture.loss(squares, LOGITS, target).backward()
    expected = by_columns(squares, mixture, LOGITS, target)
    torch.testing.assert_close(squares.factor.grad, torch.autograd.grad(expected, squares.factor)[0])


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.uint8])
def test_class_indices_of_any_integer_dtype(dtype):
    mixture = MIXTURES["four columns"]
    found = mixture.loss(F.cross_entropy, LOGITS, INDICES.to(dtype))
    torch.testing.assert_close(found, mixture.loss(F.cross_entropy, LOGITS, INDICES))


def test_shares_are_not_rounded_to_half_under_autocast():
    mixture = Mixture.pair(torch.arange(BATCH).roll(1), torch.full((BATCH,), 0.7001))
    linear, x = nn.Linear(CLASSES, CLASSES), LOGITS.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = linear(x)
        loss = mixture.loss(F.cross_entropy, output, INDICES)
    assert output.dtype == torch.bfloat16
    exact = by_columns(functools.partial(F.cross_entropy, reduction="none"), mixture, output.detach().double(), INDICES)
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=0)


def test_a_class_that_the_output_does_not_have_is_an_error():
    with pytest.raises(FeatmixError, match=r"target: expected class indices in \[0, 4\), got 1 to 4\. .*write labels - 1"):
        MIXTURES["pair"].loss(F.cross_entropy, LOGITS, INDICES + 1)


def test_a_loss_that_is_none_a_sample_is_refused():
    for mixture in ("pair", "identity"):
        for criterion in (lambda *_: 1.0, lambda out, _: out[:2]):
            with pytest.raises(FeatmixError, match="a loss for each of the 6 samples"):
                MIXTURES[mixture].loss(criterion, LOGITS, INDICES)
