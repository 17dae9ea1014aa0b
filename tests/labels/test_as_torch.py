"""The loss as torch's: its own where nothing is mixed, the mean weighted by shares where something is, on each way there is."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from featmix import Mixture
from tests.attaching import images, labels, net

WEIGHT = torch.tensor([0.2, 1.0, 3.0, 5.0, 0.5])
SETTINGS = {
    "plain": {},
    "weights": {"weight": WEIGHT},
    "smoothed": {"label_smoothing": 0.1},
    "ignored": {"ignore_index": 3},
    "all": {"weight": WEIGHT, "label_smoothing": 0.1, "ignore_index": 3},
}
settings = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
LAM = 0.75
PARTNER = torch.tensor([1, 2, 3, 4, 5, 0])
Y = torch.tensor([0, 3, 1, 2, 3, 4])


class Logged(nn.CrossEntropyLoss):
    """Derived from torch's, with a forward of its own: called once for each column of shares."""

    def forward(self, output, target):
        self.last = super().forward(output, target)
        return self.last


def ways(settings, reduction):
    """The same criterion in one call, once a column, and as one number that only the criterion knows."""
    module = nn.CrossEntropyLoss(**settings, reduction=reduction)
    plain = functools.partial(F.cross_entropy, **settings, reduction=reduction)
    found = {"one call": module, "a function": plain, "columns": Logged(**settings, reduction=reduction)}
    if reduction == "mean":
        found["one number"] = lambda output, target: plain(output, target)
    return found


def scores(*positions, seed=0):
    return torch.randn(6, 5, *positions, generator=torch.Generator().manual_seed(seed))


def expected(settings, output, target, reduction):
    """By torch alone: numerators of both labels, and for a mean what torch divides by, in the same shares."""
    each = functools.partial(F.cross_entropy, **settings, reduction="none")
    losses = LAM * each(output, target) + (1 - LAM) * each(output, target[PARTNER])
    if reduction != "mean":
        return losses if reduction == "none" else losses.sum()
    weight = settings.get("weight", torch.ones(5))
    counts = weight[target] * (target != settings.get("ignore_index", -100))
    return losses.sum() / (LAM * counts + (1 - LAM) * counts[PARTNER]).sum()


@settings
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("positions", [(), (2, 3)], ids=["rows", "maps"])
def test_mixed_it_is_the_mean_weighted_by_shares(settings, reduction, positions):
    mixture = Mixture.pair(PARTNER, torch.full((6,), LAM))
    output = scores(*positions)
    target = torch.stack([Y.roll(k) for k in range(6)], 1).view(6, 2, 3) if positions else Y
    for name, criterion in ways(settings, reduction).items():
        found = mixture.loss(criterion, output, target)
        torch.testing.assert_close(
            found, expected(settings, output, target, reduction), msg=lambda said, n=name: f"{n}: {said}"
        )


@pytest.mark.parametrize("name", ["plain", "smoothed"])
def test_without_weights_that_is_the_loss_of_torchs_soft_targets(name):
    mixture = Mixture.pair(PARTNER, torch.full((6,), LAM))
    soft = F.cross_entropy(scores(), mixture.dense(Y, 5), **SETTINGS[name])
    for criterion in ways(SETTINGS[name], "mean").values():
        torch.testing.assert_close(mixture.loss(criterion, scores(), Y), soft)


@pytest.mark.parametrize("name", ["weights", "all"])
def test_with_weights_it_is_their_sum_divided_by_what_counts(name):
    """Torch divides soft targets by the rows, whatever these weigh: plain steps and mixed ones would differ in scale."""
    given = {key: value for key, value in SETTINGS[name].items() if key != "ignore_index"}
    mixture = Mixture.pair(PARTNER, torch.full((6,), LAM))
    counts = LAM * WEIGHT[Y] + (1 - LAM) * WEIGHT[Y][PARTNER]
    soft = F.cross_entropy(scores(), mixture.dense(Y, 5), **given)
    for criterion in ways(given, "mean").values():
        torch.testing.assert_close(mixture.loss(criterion, scores(), Y), soft * 6 / counts.sum())


@settings
@pytest.mark.parametrize("how", ["eval", "p = 0", "no draw"])
def test_where_nothing_is_mixed_it_is_torchs_own(settings, how):
    model, x, y = net(), images(), torch.tensor([0, 3, 1, 2, 3, 4])
    with fm.attach(model, {"stem": fm.MoEx(p=0.0 if how == "p = 0" else 1.0)}, seed=0) as mixer:
        model.train(how != "eval")
        mix = mixer if how == "no draw" else mixer.draw(x, target=y)
        output = model(x)
        for reduction in ("mean", "sum", "none"):
            for criterion in ways(settings, reduction).values():
                if how == "no draw":
                    model.eval()  # where a loss without a draw is no mistake
                assert torch.equal(mix.loss(criterion, output, y), criterion(output, y))


def test_logits_of_classes_that_cannot_be_stay_finite_at_p_0():
    """Minus infinity times a share of nothing is not a number; torch never looks at such a class."""
    params = fm.MoEx(p=0.0).make_params((6, 5))
    output = scores().masked_fill(torch.arange(5) == 2, -torch.inf)
    y = torch.tensor([0, 3, 1, 4, 3, 4])
    found = params.mixture.loss(F.cross_entropy, output, y)
    assert torch.equal(found, F.cross_entropy(output, y))
    assert found.isfinite()


@pytest.mark.parametrize("strategy", [fm.CutMix(), fm.Mixup(alpha=1.0), fm.MoEx(lam=0.75)], ids=lambda s: s.name)
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_maps_with_what_is_ignored(strategy, p):
    model, x = nn.Conv2d(3, 5, 1), images()
    maps = (torch.arange(6 * 64).view(6, 8, 8) * 7) % 5
    maps[:, :3] = 255
    criterion = nn.CrossEntropyLoss(WEIGHT, ignore_index=255)
    strategy = fm.create(strategy.name, **{**strategy.settings(), "p": p})
    with fm.attach(model, {"input": strategy}, seed=0) as mixer:
        mix, output = mixer.draw(x, target=maps), model(x)
        found = mix.loss(criterion, output, maps)
        if p == 0.0:
            assert torch.equal(found, criterion(output, maps))
        elif strategy.name == "cutmix":
            torch.testing.assert_close(found, criterion(output, mix.dense_targets(maps)))
        else:
            lam, partner = mix.own_weight[0], mix.params["input"].partner
            weight = torch.zeros(256).index_copy(0, torch.arange(5), WEIGHT)
            each = nn.CrossEntropyLoss(WEIGHT, ignore_index=255, reduction="none")
            losses = lam * each(output, maps) + (1 - lam) * each(output, maps[partner])
            counts = lam * weight[maps] + (1 - lam) * weight[maps[partner]]
            torch.testing.assert_close(found, losses.sum() / counts.sum())


def test_a_derived_criterion_whose_mean_nobody_knows_is_refused():
    mixture = Mixture.pair(PARTNER, torch.linspace(0.5, 0.9, 6))
    for criterion, y in ((Logged(WEIGHT), Y), (Logged(ignore_index=3), Y)):
        with pytest.raises(fm.FeatmixError, match=r"criterion: expected a mean that divides.*Logged with.*reduction='none'"):
            mixture.loss(criterion, scores(), y)
    each = functools.partial(F.cross_entropy, weight=WEIGHT, reduction="none")
    lam = mixture.weight[:, 0]
    losses = lam * each(scores(), Y) + (1 - lam) * each(scores(), Y[PARTNER])
    torch.testing.assert_close(mixture.loss(Logged(WEIGHT, reduction="none"), scores(), Y), losses)
    torch.testing.assert_close(mixture.loss(Logged(), scores(), Y), mixture.loss(F.cross_entropy, scores(), Y))


def test_shapes_that_torch_would_spread_over_each_other_are_refused():
    mixture, output, y = Mixture.pair(PARTNER, torch.full((6,), LAM)), scores()[:, :1], Y.float()
    for each in (mixture, Mixture.identity(6)):
        for criterion in (F.mse_loss, nn.L1Loss(), nn.HuberLoss(), F.smooth_l1_loss):
            with pytest.raises(fm.FeatmixError, match=r"target: expected a target of the output's shape.*view_as\(output\)"):
                each.loss(criterion, output, y)


@pytest.mark.parametrize("strategy", ["moex", "mixup", "cutmix"])
def test_the_effective_lambda(strategy):
    model, x, y = net(), images(), labels()
    with fm.attach(model, {"input": fm.create(strategy), "stem": fm.MoEx(lam=0.5)}, seed=0) as mixer:
        mix = mixer.draw(x, target=y)
        torch.testing.assert_close(mix.own_weight, mix.mixture.matrix().diagonal())
        model.eval()
        mixer.discard()
        assert torch.equal(mixer.draw(x, target=y).own_weight, torch.ones(6))
    one = fm.Mixup(alpha=1.0).make_params((6, 3))
    assert torch.equal(one.mixture.own_weight, one.lam)
