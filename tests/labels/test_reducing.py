"""Means as torch makes them: class weights are divided out, what is ignored does not count, ``none`` gives every loss."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from featmix import Mixture
from featmix.labels.reducing import class_counts, reduced
from tests.attaching import images, labels, net

WEIGHT = torch.tensor([0.2, 1.0, 3.0, 5.0, 0.5])
Y = torch.tensor([0, 3, -100, 2, -100, 4])
SETTINGS = {
    "weights": {"weight": WEIGHT},
    "smoothed": {"weight": WEIGHT, "label_smoothing": 0.1},
    "ignored": {"ignore_index": 3},
    "all": {"weight": WEIGHT, "label_smoothing": 0.1, "ignore_index": 3},
}
settings = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def half(partner, lam=0.75):
    return Mixture.pair(partner, torch.full((len(partner),), lam))


@settings
@pytest.mark.parametrize("mode", ["eval", "p = 0"])
def test_where_nothing_is_mixed_the_loss_is_torchs_own(settings, mode):
    model, x, y = net(), images(), torch.where(labels() == 3, 3, labels())
    with fm.attach(model, {"stem": fm.MoEx(p=0.0 if mode == "p = 0" else 1.0)}, seed=0) as mixer:
        model.train(mode != "eval")
        mix, output = mixer.draw(x, target=y), model(x)
        for reduction in ("mean", "sum", "none"):
            criterion = nn.CrossEntropyLoss(**settings, reduction=reduction)
            torch.testing.assert_close(mix.loss(criterion, output, y), criterion(output, y))
            function = functools.partial(F.cross_entropy, **settings, reduction=reduction)
            torch.testing.assert_close(mix.loss(function, output, y), function(output, y))


@settings
def test_the_mean_passes_over_to_torchs_own_as_shares_pass_over_to_one(settings):
    criterion, output, partner = nn.CrossEntropyLoss(**settings), draw(6, 5), torch.arange(6).roll(1)
    y = torch.tensor([0, 3, 1, 2, 3, 4])
    for lam, target in ((1 - 1e-6, y), (1e-6, y[partner])):
        close = half(partner, lam).loss(criterion, output, target if lam > 0.5 else y)
        torch.testing.assert_close(close, criterion(output, target), rtol=1e-4, atol=1e-4)


def test_by_hand():
    """Two rows, two classes: the weighted mean of four losses, which count ``share * class weight``."""
    output, y, weight = torch.tensor([[0.3, -0.4], [1.0, 0.2]]), torch.tensor([0, 1]), torch.tensor([0.5, 4.0])
    each = -output.log_softmax(1)
    counts = torch.tensor([[0.75 * 0.5, 0.25 * 4.0], [0.25 * 0.5, 0.75 * 4.0]])
    expected = (counts * each).sum() / counts.sum()
    mixture, criterion = half(torch.tensor([1, 0])), nn.CrossEntropyLoss(weight)
    torch.testing.assert_close(mixture.loss(criterion, output, y), expected)
    soft = F.cross_entropy(output, mixture.dense(y, 2), weight=weight)  # torch divides soft targets by their number
    torch.testing.assert_close(mixture.loss(criterion, output, y), soft * 2 / counts.sum())


def test_what_is_ignored_does_not_dilute():
    """Rows whose labels are all ignored might as well not be there."""
    output, partner = draw(6, 5), torch.tensor([1, 0, 4, 5, 2, 3])
    keep = [0, 1, 3, 5]
    fewer = half(torch.tensor([1, 0, 3, 2])).loss(F.cross_entropy, output[keep], Y[keep])
    torch.testing.assert_close(half(partner).loss(F.cross_entropy, output, Y), fewer)
    maps, scores = Y.view(6, 1, 1).expand(6, 2, 3), output.view(6, 5, 1, 1).expand(6, 5, 2, 3)
    torch.testing.assert_close(half(partner).loss(F.cross_entropy, scores, maps), fewer)


def test_what_is_ignored_in_part_counts_in_part():
    output, y = draw(2, 5), torch.tensor([3, -100])
    own = F.cross_entropy(output, torch.tensor([3, 3]), reduction="none")
    expected = (0.75 * own[0] + 0.25 * own[1]) / (0.75 + 0.25)
    torch.testing.assert_close(half(torch.tensor([1, 0])).loss(F.cross_entropy, output, y), expected)


def test_where_everything_is_ignored_it_is_torchs_nan():
    nothing = torch.full((6,), -100)
    assert F.cross_entropy(draw(6, 5), nothing).isnan()
    assert half(torch.arange(6).roll(1)).loss(F.cross_entropy, draw(6, 5), nothing).isnan()


@settings
@pytest.mark.parametrize("form", ["module", "function"])
def test_none_gives_the_mixed_loss_of_each_row(settings, form):
    output, partner, y = draw(6, 5), torch.arange(6).roll(1), torch.tensor([0, 3, 1, 2, 3, 4])
    given = {**settings, "reduction": "none"}
    criterion = nn.CrossEntropyLoss(**given) if form == "module" else functools.partial(F.cross_entropy, **given)
    each = functools.partial(F.cross_entropy, **given)
    expected = 0.75 * each(output, y) + 0.25 * each(output, y[partner])
    torch.testing.assert_close(half(partner).loss(criterion, output, y), expected)


def test_none_in_each_kind_of_criterion():
    mixture, output, target = half(torch.arange(6).roll(1)), draw(6, 5), draw(6, 5, seed=1)

    def own(output, target, reduction="mean"):
        rows = (output - target).square().sum(1)
        return rows if reduction == "none" else rows.mean()

    cases = [
        (functools.partial(own, reduction="none"), (6,)),
        (nn.MSELoss(reduction="none"), (6, 5)),
        (nn.KLDivLoss(reduction="none"), (6, 5)),
        (lambda output, target: (output - target).abs().sum(1), ()),  # asks for nothing: averaged
    ]
    for criterion, shape in cases:
        for mx in (mixture, Mixture.identity(6)):
            assert mx.loss(criterion, output, target).shape == shape
    rows = mixture.loss(functools.partial(own, reduction="none"), output, target)
    torch.testing.assert_close(rows.mean(), mixture.loss(own, output, target))


def test_a_subclass_without_a_forward_of_its_own_is_torchs():
    class Named(nn.CrossEntropyLoss):
        """Sets defaults."""

    mixture, output, y = half(torch.arange(6).roll(1)), draw(6, 5), torch.tensor([0, 3, 1, 2, 3, 4])
    expected = mixture.loss(nn.CrossEntropyLoss(WEIGHT), output, y)
    torch.testing.assert_close(mixture.loss(Named(WEIGHT), output, y), expected)


def test_scale_multiplies_and_is_not_divided_by():
    plain, output, y = half(torch.arange(6).roll(1)), draw(6, 5), torch.tensor([0, 3, 1, 2, 3, 4])
    twice = Mixture(plain.index, plain.weight, scale=torch.full((6,), 2.0))
    criterion = nn.CrossEntropyLoss(WEIGHT)
    torch.testing.assert_close(twice.loss(criterion, output, y), 2 * plain.loss(criterion, output, y))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_indices_of_any_integer_dtype_with_weights_and_in_maps(dtype):
    mixture, y = half(torch.arange(6).roll(1)), torch.tensor([0, 3, 1, 2, 3, 4])
    maps, scores, criterion = y.view(6, 1, 1).expand(6, 2, 2), draw(6, 5, 2, 2), nn.CrossEntropyLoss(WEIGHT)
    for mx in (mixture, Mixture.identity(6)):
        torch.testing.assert_close(mx.loss(criterion, scores, maps.to(dtype)), mx.loss(criterion, scores, maps))
        one = mx.loss(criterion, scores[..., 0, 0], y.to(dtype))
        torch.testing.assert_close(one, mx.loss(criterion, scores[..., 0, 0], y))


@settings
@pytest.mark.parametrize("positions", [(), (2, 3)], ids=["rows", "maps"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_nothing_is_read_off_the_device(settings, positions, reduction):
    """Tensors on ``meta`` have no values: reading one is an error."""
    mixture = half(torch.arange(6).roll(1)).then(half(torch.arange(6).roll(2))).to("meta")
    output, y = torch.empty(6, 5, *positions, device="meta"), torch.empty(6, *positions, dtype=torch.int64, device="meta")
    loss = mixture.loss(nn.CrossEntropyLoss(**settings, reduction=reduction).to("meta"), output, y)
    assert loss.shape == ((6, *positions) if reduction == "none" else ())


def test_reductions():
    losses = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert reduced(losses, None, "mean", None) == 3.0
    assert reduced(losses, None, "batchmean", None) == 6.0
    assert reduced(losses, torch.tensor(2.0), "mean", torch.tensor([1.0, 2.0])) == 10.5
    assert torch.equal(reduced(losses, None, "none", None), losses)
    assert class_counts(torch.tensor([0, 1, 7]), torch.tensor([1.0, 1.0, 0.5]), 0, None, torch.float64) == 1.5
