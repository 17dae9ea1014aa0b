"""Criteria that give one number for the batch: passed through, summed by weights that all rows share, or refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from featmix import FeatmixError, Mixture
from featmix.labels.sharing import OnHost, is_identity, shared_scale, shared_weights
from tests.attaching import images, labels, net

OUTPUT = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([0, 2, 1, 2])
PARTNER = torch.tensor([1, 2, 3, 0])


class Smoothing(nn.Module):
    """As timm's ``LabelSmoothingCrossEntropy``: a mean, and no ``reduction``."""

    def forward(self, output, target):
        logs = output.log_softmax(-1)
        own = -logs.gather(-1, target.unsqueeze(1)).squeeze(1)
        return (0.9 * own + 0.1 * -logs.mean(-1)).mean()


class Composite(nn.Module):
    """Says ``reduction``, and does not go by it."""

    def __init__(self):
        super().__init__()
        self.reduction, self.inner = "mean", Smoothing()

    def forward(self, output, target):
        return self.inner(output, target)


def total(output, target):
    return F.cross_entropy(output, target, reduction="sum")


def contrast(output, target):
    """Of pairs, as metric learning has it: no loss of single rows could give it."""
    unit = F.normalize(output)
    return ((unit @ unit.T - (target[:, None] == target[None]).double()) ** 2).mean()


CRITERIA = {"timm's": Smoothing(), "composite": Composite(), "sum": total, "contrast": contrast}
by_name = pytest.mark.parametrize("criterion", CRITERIA.values(), ids=CRITERIA)


def pair(*lam, partner=PARTNER):
    return Mixture.pair(partner, torch.tensor(lam))


@by_name
@pytest.mark.parametrize(
    "mixture", [Mixture.identity(4), pair(1.0, 1.0, 1.0, 1.0), pair(0.5, 0.5, 0.5, 0.5, partner=torch.arange(4))]
)
def test_where_no_label_is_mixed_it_is_the_criterion_itself(criterion, mixture):
    assert torch.equal(mixture.loss(criterion, OUTPUT, TARGET), criterion(OUTPUT, TARGET))


@by_name
def test_rows_that_share_their_weights(criterion):
    found = pair(0.75, 0.75, 0.75, 0.75).loss(criterion, OUTPUT, TARGET)
    torch.testing.assert_close(found, 0.75 * criterion(OUTPUT, TARGET) + 0.25 * criterion(OUTPUT, TARGET[PARTNER]))


def test_a_mean_of_rows_is_their_weighted_mean():
    mixture = pair(0.75, 0.75, 0.75, 0.75)
    rows = mixture.loss(nn.CrossEntropyLoss(label_smoothing=0.1, reduction="none"), OUTPUT, TARGET)
    torch.testing.assert_close(mixture.loss(Smoothing(), OUTPUT, TARGET), rows.mean())


def test_a_row_that_takes_from_nobody_shares_any_weights():
    partner = torch.tensor([1, 0, 2, 3])
    found = pair(0.75, 0.75, 1.0, 0.5, partner=partner).loss(Smoothing(), OUTPUT, TARGET)
    torch.testing.assert_close(found, 0.75 * Smoothing()(OUTPUT, TARGET) + 0.25 * Smoothing()(OUTPUT, TARGET[partner]))


def test_two_mixes_after_each_other_and_rows_that_count_twice():
    first, second = pair(0.75, 0.75, 0.75, 0.75), pair(0.5, 0.5, 0.5, 0.5, partner=PARTNER.flip(0))
    both = first.then(second)
    twice = Mixture(both.index, both.weight, scale=torch.full((4,), 2.0))
    rows = nn.CrossEntropyLoss(label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(both.loss(Smoothing(), OUTPUT, TARGET), both.loss(rows, OUTPUT, TARGET).mean())
    torch.testing.assert_close(twice.loss(Smoothing(), OUTPUT, TARGET), 2 * both.loss(rows, OUTPUT, TARGET).mean())


@by_name
@pytest.mark.parametrize(
    "mixture",
    [
        pair(0.75, 0.5, 0.75, 0.75),
        Mixture(pair(*[0.5] * 4).index, pair(*[0.5] * 4).weight, scale=torch.tensor([2.0, 2.0, 1.0, 1.0])),
    ],
    ids=["weights", "scale"],
)
def test_rows_that_do_not_are_refused_with_both_ways_out(criterion, mixture):
    with pytest.raises(FeatmixError, match=r"one number.*do not share their weights.*reduction='none'.*lam_per='batch'"):
        mixture.loss(criterion, OUTPUT, TARGET)


def test_what_only_the_device_knows_is_not_read_off_it():
    mixture = pair(0.75, 0.75, 0.75, 0.75)
    there = mixture.to("meta")
    assert there._on_host() is not None  # what it was sent from
    assert shared_weights(there._on_host()) == [0.75, 0.25]
    assert there.to("meta").to("meta")._on_host() is not None
    born_there = Mixture(torch.empty(4, 2, dtype=torch.int64, device="meta"), torch.empty(4, 2, device="meta"))
    assert born_there._on_host() is None
    output, target = OUTPUT.to("meta"), TARGET.to("meta")
    assert there.loss(Smoothing(), output, target).ndim == 0
    with pytest.raises(FeatmixError, match="only the device knows"):
        born_there.loss(Smoothing(), output, target)
    assert is_identity(Mixture.identity(4, "meta")._on_host())


def test_what_the_host_knows():
    one = OnHost(pair(1.0, 1.0, 1.0, 1.0).index.numpy(), pair(1.0, 1.0, 1.0, 1.0).weight.numpy(), None)
    assert is_identity(one)
    assert shared_scale(one) == 1.0
    scaled = Mixture(torch.arange(4).unsqueeze(1), torch.ones(4, 1), scale=torch.full((4,), 2.0))._on_host()
    assert not is_identity(scaled)
    assert shared_scale(scaled) == 2.0


@pytest.mark.parametrize("strategy", [fm.Mixup(), fm.MoEx(), fm.CutMix(), fm.Mixup(p=0.5, per="sample"), fm.Mixup(p=0.0)])
def test_in_a_training_step(strategy):
    model, x, y = net(), images(), labels()
    rows = nn.CrossEntropyLoss(label_smoothing=0.1, reduction="none")
    with fm.attach(model, {"stem": strategy}, example=x, seed=0) as mixer:
        for _ in range(3):
            mix, output = mixer.draw(x, target=y), model(x)
            torch.testing.assert_close(mix.loss(Smoothing(), output, y), mix.loss(rows, output, y).mean())
        model.eval()
        mix, output = mixer.draw(x, target=y), model(x)
        assert torch.equal(mix.loss(Smoothing(), output, y), Smoothing()(output, y))


def test_a_strength_for_each_sample_is_refused_in_a_training_step():
    model, x, y = net(), images(), labels()
    with fm.attach(model, {"stem": fm.Mixup(lam_per="sample")}, seed=0) as mixer:
        mix, output = mixer.draw(x, target=y), model(x)
        with pytest.raises(FeatmixError, match="do not share their weights"):
            mix.loss(Smoothing(), output, y)
