import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import featmix as fm
from featmix.errors import FeatmixError
from featmix.testing import features, features_for, from_torch_norm, normalizers, params_for, strategies, targets
from featmix.testing.inputs import TARGET_KINDS

quick = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@quick
@given(features(layout="bnc", dtype=torch.bfloat16, channel_multiple=3, min_batch=2))
def test_features(x):
    assert x.ndim == 3
    assert x.shape[2] % 3 == 0
    assert 2 <= len(x) <= 6
    assert x.dtype == torch.bfloat16
    assert x.isfinite().all()


@quick
@given(features(batch=9, shapes=[(2, 3, 4), (4, 3, 2)]))
def test_features_of_ones_own_size(x):
    assert x.shape in ((9, 2, 3, 4), (9, 4, 3, 2))


@quick
@given(features(layout="bhwc", channels=7, batch=2))
def test_features_with_so_many_channels(x):
    assert x.shape[3] == 7
    assert len(x) == 2


@quick
@given(st.data())
def test_features_fit_the_subject(data):
    norm = data.draw(normalizers(layout=data.draw(st.sampled_from(["bchw", "bnc", "bct", "bc"]))))
    x = data.draw(features_for(norm, dtype=torch.float64))
    assert norm.moments(x).mean.dtype == torch.float64
    strategy = data.draw(strategies())
    x = data.draw(features_for(strategy))
    params = data.draw(params_for(strategy, x.shape))
    assert strategy.transform(x, params).shape == x.shape


@quick
@given(features_for(from_torch_norm(torch.nn.InstanceNorm2d(4), min_group=2)))
def test_groups_that_are_too_small_are_not_drawn(x):
    assert x.shape[2] * x.shape[3] > 1


@pytest.mark.parametrize("kind", TARGET_KINDS)
def test_targets(kind):
    @quick
    @given(st.integers(0, 5), st.data())
    def drawn(batch, data):
        y = data.draw(targets(batch, kind=kind, num_classes=4))
        assert y.shape == ((batch,) if kind in ("indices", "regression") else (batch, 4))
        assert y.is_floating_point() == (kind not in ("indices", "one-hot"))
        if kind == "indices":
            assert ((y >= 0) & (y < 4)).all()
        if kind in ("one-hot", "soft"):
            assert torch.allclose(y.float().sum(1), torch.ones(batch))
        if kind == "multi-label":
            assert ((y == 0) | (y == 1)).all()
        mixture = fm.Mixture.identity(batch)
        assert mixture.dense(y, 4 if kind == "indices" else None).shape[0] == batch

    drawn()


@quick
@given(targets(3))
def test_any_kind_of_target(y):
    assert len(y) == 3


def test_unknown_targets():
    @given(targets(2, kind="sofft"))
    def drawn(y):
        pass

    with pytest.raises(FeatmixError, match="Did you mean 'soft'"):
        drawn()


@quick
@given(st.data())
def test_decisions_belong_to_their_seed(data):
    strategy = fm.Mixup(lam_per="sample")
    params = data.draw(params_for(strategy, (5, 3, 4, 4)))
    assert params.partner.shape == params.lam.shape == (5,)


@quick
@given(normalizers(exchangeable=True, layout="bhwc"))
def test_normalizers(norm):
    assert norm.exchangeable
    assert norm.layout == "bhwc"


@quick
@given(strategies(layout="bnc", mixes_labels=True))
def test_strategies(strategy):
    assert strategy.layout == "bnc"
    assert strategy.tags.mixes_labels
    assert not strategy.tags.spatial
    again = fm.create(strategy.name, **strategy.settings())
    assert again.settings() == strategy.settings()


def test_both_sorts_of_normalizer_are_drawn():
    seen = set()

    @quick
    @given(normalizers())
    def drawn(norm):
        seen.add((norm.kind, norm.unbiased, norm.positive_only))

    drawn()
    assert len(seen) > 10


def test_no_strategy_has_these_tags():
    @given(strategies(layout="bc", spatial=True))
    def drawn(strategy):
        pass

    with pytest.raises(FeatmixError, match="tags"):
        drawn()
