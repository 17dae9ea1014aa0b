import dataclasses

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

import featmix as fm


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def decision(mixup, x, partner=(2, 0, 1), lam=None, seed=0):
    g = torch.Generator().manual_seed(seed)
    params = mixup.make_params(x.shape, generator=g, partner=torch.tensor(partner))
    return params if lam is None else dataclasses.replace(params, lam=torch.tensor(lam))


def test_published_formula():
    mixup, x = fm.Mixup(alpha=0.5, lam_per="sample"), draw(3, 4, 5, 6)
    for seed in range(5):
        params = decision(mixup, x, seed=seed)
        lam = params.lam.double().view(3, 1, 1, 1)
        torch.testing.assert_close(mixup.transform(x, params), lam * x + (1 - lam) * x[[2, 0, 1]], rtol=0, atol=1e-9)


def test_label_shares_are_the_content():
    mixup, rows = fm.Mixup(lam_per="sample"), torch.eye(5, dtype=torch.float64)  # features that are the label itself
    params = mixup.make_params((5, 5), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mixup.transform(rows, params), params.mixture.dense(rows), rtol=0, atol=1e-6)
    assert bool((params.mixture.matrix().diagonal() == params.lam).all())


def test_values_lie_between_the_two():
    mixup, x = fm.Mixup(lam_per="sample"), draw(6, 4, 5, 6)
    params = mixup.make_params(x.shape, generator=torch.Generator().manual_seed(0))
    y, other = mixup.transform(x, params), x[params.partner]
    slack = 1e-12
    assert bool((y >= torch.minimum(x, other) - slack).all())
    assert bool((y <= torch.maximum(x, other) + slack).all())


def test_swapping_the_two_and_their_shares_changes_nothing():
    mixup, x = fm.Mixup(), draw(2, 4, 5, 6)
    one = mixup.transform(x, decision(mixup, x, partner=(1, 0), lam=[0.25, 0.25]))
    other = mixup.transform(x.flip(0), decision(mixup, x, partner=(1, 0), lam=[0.75, 0.75]))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_alpha_0_is_identity():
    mixup, x = fm.Mixup(alpha=0), draw(3, 4, 5, 6)
    params = decision(mixup, x)
    assert torch.equal(mixup.transform(x, params), x)
    assert torch.equal(params.mixture.matrix(), torch.eye(3))


def test_lam_1_is_exact_and_lam_0_is_the_partner():
    mixup, x = fm.Mixup(), draw(3, 4, 5, 6)
    y = mixup.transform(x, decision(mixup, x, lam=[1.0, 0.0, 1.0]))
    assert torch.equal(y, x[[0, 0, 2]])


@pytest.mark.parametrize(("lam_per", "different"), [("sample", 16), ("batch", 1)])
def test_strength_per_sample_or_batch(lam_per, different):
    params = fm.Mixup(lam_per=lam_per).make_params((16,), generator=torch.Generator().manual_seed(0))
    assert len(params.lam.unique()) == different


def test_gradient():
    mixup, x = fm.Mixup(), draw(3, 2, 3).requires_grad_()
    params = decision(mixup, x, lam=[0.3, 0.6, 0.9])
    assert gradcheck(lambda x: mixup.transform(x, params), x)
    (grad,) = torch.autograd.grad(mixup.transform(x, params)[0].sum(), x)
    torch.testing.assert_close(grad[:, 0, 0], torch.tensor([0.3, 0.0, 0.7], dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 8), (4, 4, 8), (4, 4, 4, 4), (4, 3, 4, 4, 4)], ids=str)
def test_any_number_of_axes_even_where_the_width_is_the_batch(shape):
    mixup, x = fm.Mixup(), draw(*shape)
    params = decision(mixup, x, partner=(1, 2, 3, 0), lam=[0.1, 0.4, 0.7, 1.0])
    y = mixup.transform(x, params)
    for i, (j, lam) in enumerate([(1, 0.1), (2, 0.4), (3, 0.7), (0, 1.0)]):
        torch.testing.assert_close(y[i], lam * x[i] + (1 - lam) * x[j], rtol=0, atol=1e-6)


def test_loss_is_the_two_weighted_losses():
    mixup, logits, target = fm.Mixup(), draw(3, 4), torch.tensor([0, 3, 1])
    mx = decision(mixup, logits).mixture
    lam = float(mx.weight[0, 0])
    expected = lam * F.cross_entropy(logits, target) + (1 - lam) * F.cross_entropy(logits, target[[2, 0, 1]])
    torch.testing.assert_close(mx.loss(F.cross_entropy, logits, target), expected, rtol=0, atol=1e-6)


def test_integer_images_are_refused_with_the_reason():
    with pytest.raises(fm.FeatmixError, match=r"Mixup: x: expected a floating tensor.*the results are not integers.*/ 255"):
        fm.Mixup()(torch.ones(2, 3, 4, 4, dtype=torch.uint8))


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf"), "1"])
def test_bad_alpha_is_refused(alpha):
    with pytest.raises(fm.FeatmixError, match="Mixup: alpha: expected a number in"):
        fm.Mixup(alpha=alpha)


def test_bad_lam_per_is_refused():
    with pytest.raises(fm.FeatmixError, match="Mixup: lam_per: expected one of batch, sample, got 'row'"):
        fm.Mixup(lam_per="row")
