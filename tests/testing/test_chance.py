"""The bounds of the laws of draws, and what strategies say of what they draw."""

import pytest
import torch

import featmix as fm
from featmix.testing import LawError, check_strategy
from featmix.testing.chance import THRESHOLDS, beta_cdf, demand_beta, demand_centred, demand_share


@pytest.mark.parametrize(("a", "b"), [(1e-3, 1e-3), (0.1, 0.1), (1.0, 1.0), (2.0, 1.0), (1e3, 1e3)])
def test_the_distribution_is_scipys(a, b):
    stats = pytest.importorskip("scipy.stats")
    for threshold in THRESHOLDS:
        assert abs(beta_cdf(threshold, a, b) - stats.beta.cdf(threshold, a, b)) < 1e-9


def test_bounds_refuse_what_is_far_off():
    uniform = (torch.arange(1000) + 0.5) / 1000
    demand_beta(uniform, 1.0, 1.0, 0.0, "strengths")
    with pytest.raises(LawError, match="below"):
        demand_beta(uniform.clamp(0.05, 0.95), 1.0, 1.0, 0.0, "strengths")
    with pytest.raises(LawError, match="0 of 100 draws"):
        demand_share(0, 100, 0.5, None, "heads")
    with pytest.raises(LawError, match="on average"):
        demand_centred(torch.ones(100), 0.0, "steps")


@pytest.mark.parametrize(
    ("strategy", "named", "per"),
    [
        (fm.Mixup(alpha=0.4), (0.4, 0.4), "batch"),
        (fm.Mixup(alpha=fm.schedule.linear(0.5, 1)), (0.5, 0.5), "batch"),
        (fm.MixStyle(), (0.1, 0.1), "sample"),
        (fm.FMix(alpha=0.5, reformulate=True), (1.5, 0.5), "batch"),
        (fm.CutMix(), None, "batch"),
        (fm.PatchUp("hard", lam_per="sample"), None, None),
        (fm.MoEx(), None, None),
    ],
    ids=repr,
)
def test_what_strategies_say_that_they_draw(strategy, named, per):
    assert strategy.strength_beta == named
    assert strategy.strength_per == per


class Otherwise(fm.Mixup):
    """Draws the larger of two strengths, and says that this is from no Beta distribution."""

    strength_beta = None

    def decide(self, shape, draw):
        params = super().decide(shape, draw)
        lam = torch.maximum(params.lam, 1 - params.lam)
        return params.replaced(lam=lam, mixture=fm.Mixture.pair(params.partner, lam))


def test_a_strategy_may_draw_otherwise_and_say_so():
    (record,) = check_strategy(Otherwise(), only=["strengths"])
    assert record.status == "skipped"
    assert "strength_beta names another" in record.reason
