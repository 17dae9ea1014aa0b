import dataclasses

import pytest
import torch

from featmix.strategies.efdmix import EFDMix


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def decision(efdmix, x, lam=None, seed=0, **more):
    params = efdmix.make_params(x.shape, generator=torch.Generator().manual_seed(seed), **more)
    return params if lam is None else dataclasses.replace(params, lam=torch.full_like(params.lam, lam))


def sorted_channels(x):
    return x.flatten(2).sort(dim=2).values


def test_sorted_values_blend_and_order_is_kept():
    x, efdmix = draw(5, 3, 4, 6), EFDMix(p=1.0)
    params = decision(efdmix, x)
    y, lam = efdmix.transform(x, params), params.lam.double().view(-1, 1, 1)
    expected = lam * sorted_channels(x) + (1 - lam) * sorted_channels(x)[params.partner]
    torch.testing.assert_close(sorted_channels(y), expected)
    assert torch.equal(y.flatten(2).argsort(2), x.flatten(2).argsort(2))


def test_without_own_share_the_values_are_the_partners_bit_for_bit():
    x, efdmix = draw(5, 3, 4, 6).float(), EFDMix(p=1.0)
    params = decision(efdmix, x, lam=0.0)
    assert torch.equal(sorted_channels(efdmix.transform(x, params)), sorted_channels(x)[params.partner])


def test_its_own_partner_and_a_full_share_are_exact():
    x, efdmix = draw(5, 3, 4, 6).float(), EFDMix(p=1.0)
    assert torch.equal(efdmix.transform(x, decision(efdmix, x, lam=1.0)), x)
    assert torch.equal(efdmix.transform(x, decision(efdmix, x, lam=0.3, partner=torch.arange(5))), x)


@pytest.mark.parametrize(("gradient", "own"), [("published", 1.0), ("exact", 0.7)])
def test_gradient(gradient, own):
    x, efdmix = draw(4, 3, 4, 6).requires_grad_(), EFDMix(p=1.0, gradient=gradient)
    params = decision(efdmix, x, lam=0.7)
    row = 1
    partner = int(params.partner[row])
    weight = draw(3, 4, 6, seed=2)
    (efdmix.transform(x, params)[row] * weight).sum().backward()
    torch.testing.assert_close(x.grad[row], own * weight)
    assert float(x.grad[partner].sum()) == pytest.approx(0.3 * float(weight.sum()))
    rest = [k for k in range(4) if k not in (row, partner)]
    assert not x.grad[rest].any()


def test_ties_keep_their_order():
    x, efdmix = draw(4, 2, 5, 5).relu(), EFDMix(p=1.0)
    params = decision(efdmix, x, lam=0.0)
    y = efdmix.transform(x, params).flatten(2)
    order = x.flatten(2).sort(dim=2, stable=True).indices
    assert torch.equal(y.gather(2, order), sorted_channels(x)[params.partner])


@pytest.mark.parametrize("shape", [(4, 3, 1, 1), (4, 3)])
def test_a_single_position_passes_through(shape):
    x, efdmix = draw(*shape), EFDMix(p=1.0)
    params = decision(efdmix, x)
    assert not params.active.any()
    assert torch.equal(efdmix.transform(x, params), x)


def test_ranks_are_quantiles_where_numbers_of_real_positions_differ():
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 99.0, 99.0]]).unsqueeze(2)
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    efdmix = EFDMix(p=1.0, layout="bnc")
    y = efdmix.transform(x, decision(efdmix, x, lam=0.0, mask=mask, partner=torch.tensor([1, 0]))).squeeze(2)
    assert y[0].tolist() == [10.0, 10.0, 20.0, 20.0]  # each of two values serves two of four ranks
    assert y[1].tolist() == [2.0, 4.0, 99.0, 99.0]  # the upper of the two values around each half


def test_half_types_come_back_as_they_went_in():
    x, efdmix = draw(4, 3, 4, 6).half(), EFDMix(p=1.0)
    assert efdmix.transform(x, decision(efdmix, x)).dtype == torch.float16


@pytest.mark.parametrize("gradient", ["published", "exact"])
@pytest.mark.parametrize("lam", [1e-9, 1e-4, 0.1, 0.5, 0.9])
def test_a_small_share_of_large_features_does_not_drown_the_partner(lam, gradient):
    x = draw(2, 1, 40, 40).float()
    x[0] *= 1e4
    efdmix = EFDMix(p=1.0, gradient=gradient)
    params = decision(efdmix, x, lam=lam, partner=torch.tensor([1, 0]))
    exact = efdmix.transform(x.double(), params)[0]
    error = (efdmix.transform(x, params)[0] - exact).abs()
    assert bool((error <= 1e-6 * (lam * x[0].abs() + 4 + exact.abs())).all())  # some roundings of the two parts of the blend
