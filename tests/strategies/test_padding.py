"""What becomes of padded rows and of their labels."""

import torch

import featmix as fm

X = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
REAL = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]]).bool()


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
