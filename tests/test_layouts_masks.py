import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from featmix.layouts import checked_mask, layout
from featmix.normalizers.moments import compute_moments

X = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
REAL = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]]).bool()


@pytest.mark.parametrize("norm", ["in", "ln", "gn2"])
@pytest.mark.parametrize("unbiased", [True, False])
def test_moments_count_real_positions_only(norm, unbiased):
    made = fm.normalizer(norm, layout="bnc", unbiased=unbiased)
    spoilt = torch.where(REAL.unsqueeze(2), X, float("nan"))
    masked = made.moments(spoilt, REAL)
    for i in range(3):
        alone = made.moments(X[i : i + 1, REAL[i]])
        torch.testing.assert_close(masked.mean[i], alone.mean[0])
        torch.testing.assert_close(masked.std[i], alone.std[0])
    xh, m = made.normalize(X, REAL)
    torch.testing.assert_close(made.denormalize(xh, m), X)


def test_a_row_without_real_positions_has_mean_0_and_variance_0():
    m = fm.normalizer("in", layout="bnc", eps=1e-4).moments(X, torch.zeros(3, 6, dtype=torch.bool))
    assert torch.equal(m.mean, torch.zeros(3, 1, 4))
    torch.testing.assert_close(m.std, torch.full((3, 1, 4), 1e-2))


def test_masked_variance_survives_a_large_mean():
    x = torch.randn(64, generator=torch.Generator().manual_seed(1)) + 1e5
    mask = torch.arange(64) < 50
    m = compute_moments(x, (0,), eps=1e-30, mask=mask)
    exact = compute_moments(x[:50].double(), (0,), eps=1e-30)
    torch.testing.assert_close(m.std.double(), exact.std, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (REAL.float(), "a bool tensor"),
        (REAL[:, :5], r"shape \(3, 6\): the batch and the positions"),
        (REAL[:2], r"shape \(3, 6\)"),
        ([True], "a bool tensor"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask, expected):
    with pytest.raises(fm.FeatmixError, match=f"mask: expected {expected}"):
        fm.MoEx("in", layout="bnc").make_params(X.shape, mask=mask)


def test_features_without_positions_have_no_mask():
    with pytest.raises(fm.FeatmixError, match="features with positions"):
        checked_mask(torch.ones(3, 1).bool(), layout("bc"), (3, 4), "MoEx")


def test_attention_masks_of_integers_are_masks():
    assert torch.equal(checked_mask(REAL.long(), layout("bnc"), X.shape, "MoEx"), REAL)


def test_rows_with_a_single_real_position_keep_features_and_label():
    real = REAL.clone()
    real[2] = torch.tensor([1, 0, 0, 0, 0, 0])
    moex = fm.MoEx("in", layout="bnc", lam=0.6)
    params = moex.make_params(X.shape, mask=real, partner=torch.tensor([1, 2, 0]))
    assert params.active.tolist() == [True, False, False]  # row 1 would take from row 2, which has no spread
    assert torch.equal(moex.transform(X, params)[1:], X[1:])
    assert params.mixture.matrix()[1:].tolist() == torch.eye(3)[1:].tolist()


def test_label_shares_count_real_positions():
    mixup = fm.Mixup(layout="bnc", alpha=0)  # lam is 1
    params = mixup.make_params(X.shape, mask=REAL)
    assert torch.equal(params.mixture.matrix(), torch.eye(3))
    segment = fm.CutMix(layout="btc")
    for seed in range(10):
        params = segment.make_params(X.shape, mask=REAL, generator=torch.Generator().manual_seed(seed))
        y = segment.transform(X, params)
        kept = ((y == X).all(2) & REAL).sum(1) / REAL.sum(1)
        torch.testing.assert_close(params.mixture.matrix().diagonal(), kept)


def test_the_drop_in_call_takes_a_mask():
    moex = fm.MoEx("in", layout="bnc", num_classes=3)
    y, soft = moex(X, torch.tensor([0, 1, 2]), mask=REAL, generator=torch.Generator().manual_seed(0))
    assert torch.equal(y[~REAL], X[~REAL])
    assert not torch.equal(y[REAL], X[REAL])
    torch.testing.assert_close(soft.sum(1), torch.ones(3))


def test_a_mask_at_transform_serves_a_decision_made_without():
    moex = fm.MoEx("in", layout="bnc")
    params = moex.make_params(X.shape, partner=torch.tensor([1, 2, 0]))
    torch.testing.assert_close(
        moex.transform(X, params, REAL), moex.transform(X, moex.make_params(X.shape, partner=params.partner, mask=REAL))
    )


class Reader(nn.Module):
    """Embeds tokens behind a class token; its head reads that one."""

    def __init__(self):
        super().__init__()
        self.embed, self.block, self.head = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.block(self.embed(x))[:, 0])


def test_a_mixer_hands_the_mask_to_the_sites():
    model, y = Reader(), torch.tensor([0, 1, 2])
    mixer = fm.attach(model, {"block": fm.MoEx("in", prefix=1)}, seed=0)
    seen = []
    model.head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    mix = mixer.draw(X, target=y, mask=REAL)
    mix.loss(F.cross_entropy, model(X), y).backward()
    assert torch.equal(seen[0], model.block(model.embed(X))[:, 0])  # the class token is left alone
    assert torch.equal(mix.params["block"].mask, REAL[:, 1:])
    mix = mixer.draw(X, target=y, mask={"block": REAL})
    assert torch.equal(mix.params["block"].mask, REAL[:, 1:])
    mixer.discard()
    with pytest.raises(fm.FeatmixError, match="Did you mean 'block'"):
        mixer.draw(X, target=y, mask={"blok": REAL})
    mixer.draw(X, target=y, mask=REAL[:, :4])  # what the features look like there is not known yet
    with pytest.raises(fm.FeatmixError, match=r"mask: expected shape \(3, 5\)"):
        model(X)


@pytest.mark.parametrize(
    ("settings", "shape", "expected"),
    [
        ({"prefix": 1}, (3, 4, 5, 5), "one axis of positions"),
        ({"prefix": -1}, (3, 6, 4), "a whole number from 0 up"),
        ({"prefix": 6}, (3, 6, 4), "more positions than the prefix of 6"),
    ],
)
def test_prefixes_that_do_not_fit_are_refused(settings, shape, expected):
    with pytest.raises(fm.FeatmixError, match=expected):
        fm.Mixup(**settings).make_params(shape)
    if settings["prefix"] == 1:
        with pytest.raises(fm.FeatmixError, match=expected):
            fm.Mixup(layout="bchw", **settings)
